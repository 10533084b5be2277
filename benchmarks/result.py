"""Tables of the pages from the records of `xhat bench`, between `<!-- NAME -->` and `<!-- end -->`.

python -m benchmarks.result tasks docs/results/faces docs/map_ga.md
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from xhat.bench.folder import open_run
from xhat.bench.report.payload import names
from xhat.bench.report.text import table_line
from xhat.bench.stats import Mean, digits, higher, summary
from xhat.bench.tables import overviews
from xhat.files.markup import markdown

from .page import fill

Line = dict[str, Any]
WITHIN = 0.3  # dB of the best: not told apart
ENOUGH = 3  # images for an interval
COSTS = (  # name, title, digits
    ("residual_ratio", "residual / expected", 2),
    ("forwards", "forwards", 0),
    ("backwards", "backwards", 0),
    ("operator", "operator calls", 0),
    ("seconds", "s", 0),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("headline", "tasks"))
    parser.add_argument("run", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("--name", help="of the place; default: the run's folder")
    args = parser.parse_args()
    content, rows = open_run(args.run)
    body = headline(content, rows) if args.kind == "headline" else "\n\n".join(tasks(content, rows))
    fill(args.page, args.name or args.run.name, body)


def headline(content: Line, rows: Sequence[Line]) -> str:
    """The first metric, a row a solver and a column a task, and what an image costs."""
    metric, lines = content["metrics"][0], summary(rows)
    view = next(v for v in overviews(rows, [metric]))
    best = [max(m.value for line in lines if (m := at(line, metric)) and line["task"] == t) for t in view.tasks]
    out = [
        table_line(["solver", "gives", *map(markdown, view.tasks), "forwards", "backwards", "s/image"]),
        "|---" * (5 + len(best)) + "|",
    ]
    for kind, block in view.blocks.items():
        for label, cells in block:
            numbers = [m.value if c and (m := at(c, metric)) else None for c in cells]
            shown = [marked(x, top) for x, top in zip(numbers, best, strict=True)]
            mine = [line for line in lines if line["label"] == label]
            out.append(
                table_line(
                    [markdown(label), kind, *shown, *(spread(mine, n) for n in ("forwards", "backwards", "seconds"))]
                )
            )
    return "\n".join(out)


def tasks(content: Line, rows: Sequence[Line]) -> Iterator[str]:
    """For every task a row a solver and a column a metric, with the published numbers of the same name beside them."""
    lines = summary(rows)
    metrics = [*dict.fromkeys(name for row in rows for name in row["metrics"])]
    for task in dict.fromkeys(line["task"] for line in lines):
        mine = [line for line in lines if line["task"] == task and line["fits"]]
        tables = [t for t in content.get("published", []) if any(task in row for row in t["rows"])]
        columns = [(m, m, digits(m)) for m in metrics]
        columns += [c for c in COSTS if any(at(line, c[0]) for line in mine)]
        best = {m: (max if higher(m) else min)(n.value for s in mine if (n := at(s, m))) for m in metrics}
        out = [
            table_line(
                [
                    markdown(task),
                    "gives",
                    *(title for _, title, _ in columns),
                    *(f"{markdown(t['metric'])}, published" for t in tables),
                ]
            )
        ]
        out.append("|---" * (2 + len(columns) + len(tables)) + "|")
        for s in mine:
            failed = f" ({s['failed']} of {s['records']} failed)" if s["failed"] else ""
            cells = [plain(at(s, name), places, best.get(name)) for name, _, places in columns]
            theirs = [published(t, task, lambda row, s=s: names(row.get("ours", ""), s["label"])) for t in tables]
            out.append(table_line([markdown(s["label"] + failed), s["returns"], *cells, *theirs]))
        for method in dict.fromkeys(r["method"] for t in tables for r in t["rows"] if "ours" not in r and task in r):
            theirs = [published(t, task, lambda row, method=method: row["method"] == method) for t in tables]
            out.append(table_line([f"{markdown(method)} (published only)", *["–"] * (1 + len(columns)), *theirs]))
        yield "\n".join(out)


def published(table: Line, task: str, wanted: Callable[[Line], bool]) -> str:
    """The number of the first row that is `wanted`."""
    return next((markdown(row[task]) for row in table["rows"] if task in row and wanted(row)), "–")


def at(line: Line, name: str) -> Mean | None:
    found: Mean | None = line["numbers"].get(name)
    return found


def marked(x: float | None, best: float) -> str:
    """Bold: the best; italic: within `WITHIN` of it."""
    if x is None:
        return "–"
    return f"**{x:.2f}**" if x == best else f"*{x:.2f}*" if x > best - WITHIN else f"{x:.2f}"


def plain(m: Mean | None, places: int, best: float | None) -> str:
    """A mean, bold where it is the best of a metric, with its 95 % interval where enough images tell one."""
    if m is None:
        return "–"
    shown = f"**{m.value:.{places}f}**" if m.value == best else f"{m.value:.{places}f}"
    return shown if best is None or m.half is None or m.images < ENOUGH else f"{shown} ± {m.half:.{places}f}"


def spread(lines: Sequence[Line], name: str) -> str:
    """A number, or its range over tasks."""
    found = sorted(m.value for line in lines if (m := at(line, name)))
    low, high = (f"{v:.0f}" for v in (found[0], found[-1]))
    return low if low == high else f"{low}–{high}"


if __name__ == "__main__":
    main()
