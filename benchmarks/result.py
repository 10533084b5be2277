"""Tables of the pages from the records of `xhat bench`, between `<!-- NAME -->` and `<!-- end -->`.

python -m benchmarks.result headline docs/results/lmaps-table1 README.md
python -m benchmarks.result tasks docs/results/science-mri docs/mri.md
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xhat.bench.folder import open_run
from xhat.bench.report.payload import names
from xhat.bench.stats import Mean, digits, higher, summary
from xhat.bench.tables import overviews

from .page import fill

Line = dict[str, Any]
WITHIN = 0.3  # dB of the best: not told apart


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
        line_of(["solver", "gives", *view.tasks, "forwards", "backwards", "s/image"]),
        "|---" * (5 + len(best)) + "|",
    ]
    for kind, block in view.blocks.items():
        for label, cells in block:
            numbers = [m.value if c and (m := at(c, metric)) else None for c in cells]
            shown = [marked(x, top) for x, top in zip(numbers, best, strict=True)]
            mine = [line for line in lines if line["label"] == label]
            out.append(line_of([label, kind, *shown, *(spread(mine, n) for n in ("forwards", "backwards", "seconds"))]))
    return "\n".join(out)


def tasks(content: Line, rows: Sequence[Line]) -> Iterator[str]:
    """For every task a row a solver and a column a metric, with the published numbers of the same name beside them."""
    lines = summary(rows)
    metrics = list(
        dict.fromkeys(n for line in lines for n in line["numbers"] if n in {m for r in rows for m in r["metrics"]})
    )
    for task in dict.fromkeys(line["task"] for line in lines):
        tables = [t for t in content.get("published", []) if any(task in row for row in t["rows"])]
        mine = [line for line in lines if line["task"] == task and line["fits"]]
        best = {m: (max if higher(m) else min)(n.value for s in mine if (n := at(s, m))) for m in metrics}
        head = [f"{task}", "gives", *metrics, "residual / expected", "forwards", "backwards", "operator calls", "s"]
        out = [line_of([*head, *(f"{t['metric']}, published" for t in tables)])]
        out.append("|---" * (len(head) + len(tables)) + "|")
        for s in mine:
            scores = [score(at(s, m), m, best[m]) for m in metrics]
            costs = [
                plain(at(s, n), d)
                for n, d in (("forwards", 0), ("backwards", 0), ("operator_calls", 0), ("seconds", 0))
            ]
            theirs = [
                next((str(r[task]) for r in t["rows"] if task in r and names(r.get("ours", ""), s["label"])), "–")
                for t in tables
            ]
            failed = f" ({s['failed']} of {s['records']} failed)" if s["failed"] else ""
            ratio = plain(at(s, "residual_ratio"), 2)
            out.append(line_of([s["label"] + failed, s["returns"], *scores, ratio, *costs, *theirs]))
        for row in {r["method"]: r for t in tables for r in t["rows"] if "ours" not in r and task in r}.values():
            theirs = [
                next((str(r[task]) for r in t["rows"] if r["method"] == row["method"] and task in r), "–")
                for t in tables
            ]
            out.append(line_of([f"{row['method']} (published only)", *["–"] * (len(head) - 1), *theirs]))
        yield "\n".join(out)


def at(line: Line, name: str) -> Mean | None:
    found: Mean | None = line["numbers"].get(name)
    return found


def marked(x: float | None, best: float) -> str:
    """Bold: the best; italic: within `WITHIN` of it."""
    if x is None:
        return "–"
    return f"**{x:.2f}**" if x == best else f"*{x:.2f}*" if x > best - WITHIN else f"{x:.2f}"


def score(m: Mean | None, metric: str, best: float) -> str:
    text = plain(m, digits(metric))
    return f"**{text}**" if m and m.value == best else text


def plain(m: Mean | None, places: int) -> str:
    return "–" if m is None else f"{m.value:.{places}f}"


def spread(lines: Sequence[Line], name: str) -> str:
    """A number, or its range over tasks."""
    found = sorted(m.value for line in lines if (m := at(line, name)))
    low, high = (f"{v:.0f}" for v in (found[0], found[-1]))
    return low if low == high else f"{low}–{high}"


def line_of(cells: Sequence[str]) -> str:
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


if __name__ == "__main__":
    main()
