"""From rows to tables: samplers in one, point estimators in another, each with medians over the measurements."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import mean, median, stdev
from typing import Any

from rich.markup import escape
from rich.table import Table

from ..files.markup import markdown as md
from ..files.rows import Row
from .cell import FLOOR
from .verdict import verdict

FIRST = {"label": "solver", "runs": "runs", "failed": "failed"}
LAST = {"calls": "calls", "seconds": "seconds"}
SAMPLERS: Mapping[str, str] = {
    **FIRST,
    "sw1": "SW1 median",
    "mean": "mean ± 95 %",
    "seen_w1_worst": "seen W1",
    "seen_var": "seen variance",
    "unseen_w1_worst": "unseen W1",
    "unseen_var": "unseen variance",
    "chi2": "χ²",
    "modes_tv": "modes",
    "cover90": "90 %",
    "ess": "ESS",
    "ancestors": "ancestors",
    **LAST,
    "verdict": "fails",
}
POINTS: Mapping[str, str] = {
    **FIRST,
    "to_mean": "to mean",
    "to_local_map": "to local MAP",
    "to_global_map": "to global MAP",
    "at_global": "in global mode",
    "chi2": "χ²",
    **LAST,
}
RANGES = {"seen_var": ("seen_var_low", "seen_var_high"), "unseen_var": ("unseen_var_low", "unseen_var_high")}
MEDIANS = tuple(dict.fromkeys(k for k in (*SAMPLERS, *POINTS) if k not in (*FIRST, *RANGES, "mean", "verdict")))
SHARES = ("at_global", "ess", "ancestors")  # shown in per cent


def summary(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """One record per solver for each problem: exact samples, then samplers by their median SW1, then point estimators
    by their distance to the highest mode; what does not fit comes last.
    """
    out: dict[str, list[Row]] = {}
    for row in rows:
        out.setdefault(f"{row['problem']} ({row['samples']} samples)", []).append(row)
    for name, found in out.items():
        solvers = dict.fromkeys(r["solver"] for r in found)
        out[name] = sorted((one([r for r in found if r["solver"] == s]) for s in solvers), key=_order)
    return out


def _order(record: Row) -> tuple[Any, ...]:
    score = record["to_global_map"] if record["point"] else record["sw1"]
    return record["label"] != FLOOR, record["point"], score is None, score or 0.0


def one(rows: Sequence[Row]) -> Row:
    """The seeds of one solver on one problem in one record, with None for what is unknown."""
    out: dict[str, Any] = {"label": rows[0]["label"], "runs": len(rows)}
    out["fits"] = any(r["status"] != "n/a" for r in rows)
    out["point"] = any(r.get("returns") == "point" for r in rows)
    out["failed"] = sum(r["status"] in ("far", "diverged", "error") for r in rows)
    scores = [r["sw1"] for r in rows if r.get("sw1") is not None]
    out["mean"] = mean(scores) if scores else None
    out["half"] = 1.96 * stdev(scores) / math.sqrt(len(scores)) if len(scores) > 1 else None
    for name in (*MEDIANS, *(k for pair in RANGES.values() for k in pair)):
        values = [r[name] for r in rows if r.get(name) is not None]
        out[name] = median(values) if values else None
    for name, (low, high) in RANGES.items():
        out[name] = None if out[low] is None else (out[low], out[high])
    out["verdict"] = verdict(rows)
    return out


def _cell(record: Row, name: str) -> str:
    v = record[name]
    if name == "label":
        return str(v)
    if not record["fits"]:
        return "n/a" if name == "runs" else ""
    if v is None:
        return "–"
    if name == "verdict":
        return str(v)
    if name in ("runs", "failed", "calls"):
        return f"{v:.0f}"
    if name in SHARES:
        return f"{100 * v:.0f} %"
    if name in RANGES:
        return "–".join(f"{x:.2g}" if x < 99.5 else f"{x:.0f}" for x in v)
    if name == "mean" and record["half"] is not None:
        return f"{v:.2f} ± {record['half']:.2f}"
    return f"{v:.2f}"


def parts(rows: Sequence[Row]) -> Iterator[tuple[str, dict[str, str], list[Row]]]:
    """The tables: a title, the columns in which there is something, and the records."""
    for problem, records in summary(rows).items():
        for point, title, columns in ((False, problem, SAMPLERS), (True, f"{problem}: point estimators", POINTS)):
            found = [r for r in records if r["point"] == point]
            shown = {k: v for k, v in columns.items() if any(r[k] is not None for r in found)}
            if found:
                yield title, shown, found


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """The tables for the terminal."""
    for title, columns, records in parts(rows):
        table = Table(title=escape(title), title_justify="left")
        for name, text in columns.items():
            table.add_column(text, justify="left" if name in ("label", "verdict") else "right")
        for record in records:
            table.add_row(*[escape(_cell(record, name)) for name in columns])
        yield table


def markdown(rows: Sequence[Row]) -> str:
    """The same tables as Markdown."""
    lines = []
    for title, columns, records in parts(rows):
        lines += [f"### {md(title)}", "", f"| {' | '.join(columns.values())} |"]
        lines += ["|" + "|".join("---" if k in ("label", "verdict") else "---:" for k in columns) + "|"]
        lines += [f"| {' | '.join(md(_cell(r, name)) for name in columns)} |" for r in records] + [""]
    return "\n".join(lines)


def overview(rows: Sequence[Row]) -> str:
    """All problems in one Markdown table, samplers by problems: the median SW1, and in brackets the failures."""
    found = summary(rows)
    samplers = (r["label"] for records in found.values() for r in records if not r["point"])
    lines = [f"| sampler | {' | '.join(map(md, found))} |", "|---" + "|---:" * len(found) + "|"]
    for label in dict.fromkeys(samplers):
        records = [next((r for r in rs if r["label"] == label), None) for rs in found.values()]
        texts = [f"{_cell(r, 'sw1')} ({r['failed']})" if r and r["fits"] else "–" for r in records]
        lines.append(f"| {md(label)} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"
