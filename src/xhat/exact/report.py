"""From rows to tables: medians, means with 95 % intervals, failures."""

import math
from collections.abc import Iterator, Sequence
from statistics import mean, median, stdev
from typing import Any

from rich.markup import escape
from rich.table import Table

from ..files.markup import markdown as md
from ..files.rows import Row
from .cell import FLOOR

COLUMNS = {
    "label": "solver",
    "runs": "runs",
    "failed": "failed",
    "median": "SW1 median",
    "mean": "mean ± 95 %",
    "mean_error": "mean error",
    "var_ratio": "variance",
    "cover50": "50 %",
    "cover90": "90 %",
    "to_mean": "to mean",
    "to_local_map": "to local MAP",
    "to_global_map": "to global MAP",
    "calls": "calls",
    "seconds": "seconds",
}
MEDIANS = tuple(list(COLUMNS)[5:])  # the columns after the first five are medians over the seeds


def summary(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """One record per solver for each problem, best median first; solvers that do not fit come last."""
    out: dict[str, list[Row]] = {}
    for row in rows:
        out.setdefault(f"{row['problem']} ({row['samples']} samples)", []).append(row)
    for name, found in out.items():
        solvers = dict.fromkeys(r["solver"] for r in found)
        lines = [one([r for r in found if r["solver"] == s]) for s in solvers]
        out[name] = sorted(lines, key=lambda r: (r["label"] != FLOOR, r["median"] is None, r["median"]))
    return out


def one(rows: Sequence[Row]) -> Row:
    """The seeds of one solver on one problem in one record, with None for what is unknown."""
    done = [r for r in rows if r.get("sw1") is not None]
    out: dict[str, Any] = {"label": rows[0]["label"], "runs": len(rows)}
    out["fits"] = any(r["status"] != "n/a" for r in rows)
    out["point"] = any(r.get("returns") == "point" for r in rows)
    out["failed"] = sum(r["status"] in ("far", "diverged", "error") for r in rows)
    scores = [r["sw1"] for r in done]
    out["median"] = median(scores) if scores else None
    out["mean"] = mean(scores) if scores else None
    out["half"] = 1.96 * stdev(scores) / math.sqrt(len(scores)) if len(scores) > 1 else None
    for name in MEDIANS:
        values = [r[name] for r in done if r.get(name) is not None]
        out[name] = median(values) if values else None
    return out


def _cell(record: Row, name: str) -> str:
    v = record[name]
    if name == "label":
        return f"{v} (point)" if record["point"] else str(v)
    if not record["fits"]:
        return "n/a" if name == "runs" else ""
    if v is None:
        return "–"
    if name in ("runs", "failed", "calls"):
        return f"{v:.0f}"
    if name == "mean" and record["half"] is not None:
        return f"{v:.2f} ± {record['half']:.2f}"
    return f"{v:.2f}"


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """One table per problem, for the terminal."""
    for problem, records in summary(rows).items():
        shown = [name for name in COLUMNS if any(r[name] is not None for r in records)]
        table = Table(title=escape(problem), title_justify="left")
        for name in shown:
            table.add_column(COLUMNS[name], justify="left" if name == "label" else "right")
        for record in records:
            table.add_row(*[escape(_cell(record, name)) for name in shown])
        yield table


def markdown(rows: Sequence[Row]) -> str:
    """The same tables as Markdown."""
    lines = []
    for problem, records in summary(rows).items():
        shown = [name for name in COLUMNS if any(r[name] is not None for r in records)]
        lines += [f"### {md(problem)}", "", f"| {' | '.join(COLUMNS[name] for name in shown)} |"]
        lines += ["|---" + "|---:" * (len(shown) - 1) + "|"]
        lines += [f"| {' | '.join(md(_cell(r, name)) for name in shown)} |" for r in records] + [""]
    return "\n".join(lines)


def overview(rows: Sequence[Row]) -> str:
    """All problems in one Markdown table, solvers by problems: the median of each and, in brackets, the failures."""
    found = summary(rows)
    labels = dict.fromkeys(r["label"] for records in found.values() for r in records)
    lines = [f"| solver | {' | '.join(map(md, found))} |", "|---" + "|---:" * len(found) + "|"]
    for label in labels:
        records = [next((r for r in rs if r["label"] == label), None) for rs in found.values()]
        texts = [f"{_cell(r, 'median')} ({r['failed']})" if r and r["fits"] else "–" for r in records]
        lines.append(f"| {md(label)} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"
