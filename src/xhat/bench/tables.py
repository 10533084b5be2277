"""Records as tables: for the terminal, Markdown and LaTeX."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..files.rows import Row
from .stats import Mean, digits, row_for, summary, written

ORDER = ("point", "sample")  # PSNR favours point estimates over samples, so they are not ranked together


@dataclass(frozen=True)
class Overview:
    """One metric, a row for each solver and a column for each task, point estimators before samplers."""

    metric: str
    prior: str
    data: str
    tasks: list[str]
    blocks: dict[str, list[tuple[str, list[dict[str, Any] | None]]]]  # point, sample → (label, cell by task)

    def top(self, cell: dict[str, Any] | None) -> bool:
        """Whether a cell is the best of its block in its column, or is not told from it."""
        return bool(cell) and self.metric in cell["top"]  # type: ignore[index]


def number(cell: dict[str, Any] | None, metric: str) -> Mean | None:
    """The mean of `metric` in a cell of `summary`; the metrics of whole sets have no interval."""
    return cell["numbers"].get(metric) if cell else None


def overviews(rows: Sequence[Row], metrics: Sequence[str]) -> Iterator[Overview]:
    """One overview for each metric, prior and data."""
    lines = summary(rows)
    for prior, data in dict.fromkeys((s["prior"], s["data"]) for s in lines):
        mine = [s for s in lines if (s["prior"], s["data"]) == (prior, data)]
        tasks = list(dict.fromkeys(s["task"] for s in mine))
        at = {(s["label"], s["task"]): s for s in mine}
        blocks = {}
        for kind in ORDER:
            labels = dict.fromkeys(s["label"] for s in mine if s["returns"] == kind)
            found = [(label, [at.get((label, t)) for t in tasks]) for label in labels]
            if found:
                blocks[kind] = found
        for metric in metrics:
            if any(metric in s["numbers"] for s in mine):
                yield Overview(metric, prior, data, tasks, blocks)


def text(cell: dict[str, Any] | None, metric: str, pm: str = " ± ") -> str:
    """A cell as a table shows it: the mean, its interval, how many failed; n/a if the solver does not fit."""
    if cell is None:
        return ""
    if not cell["fits"]:
        return "n/a"
    failed = f" ({cell['failed']} failed)" if cell["failed"] else ""
    return written(number(cell, metric), digits(metric), pm) + failed


def arrow(metric: str) -> str:
    """The heading of a metric: its name, its unit, and an arrow in the direction that is better."""
    return row_for(metric).arrow


def terminal(rows: Sequence[Row], metrics: Sequence[str]) -> None:
    """Prints the tables to stdout."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 200)
    for view in overviews(rows, metrics):
        table = Table(title=escape(f"{arrow(view.metric)}, {view.prior} on {view.data}"), title_justify="left")
        table.add_column("solver")
        for task in view.tasks:
            table.add_column(escape(task), justify="right")
        for kind, block in view.blocks.items():
            for i, (label, cells) in enumerate(block):
                shown = [text(c, view.metric) for c in cells]
                table.add_row(escape(f"{label} ({kind})"), *shown, end_section=i + 1 == len(block))
        console.print(table)
