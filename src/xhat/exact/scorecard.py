"""`xhat exact`: compute what is missing, then write the table, the Parquet file and the plot."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from ..data import atomic
from ..errors import SpecError
from .cell import FLOOR, Cell
from .report import markdown, overview, summary, tables
from .run import Results, Row, run

EXTRA = "needs more packages: pip install xhat[exact]"


def scorecard(cells: Sequence[Cell], out: Path, jobs: int = 1, quiet: bool = False) -> list[str]:
    """The names of the files written to `out`; those of absent packages are left out with a note."""
    if jobs < 1:
        raise SpecError(f"jobs must be at least 1, not {jobs}")
    results = Results(out / "results.jsonl")
    with bar(len(results.missing(cells)), not quiet and sys.stderr.isatty()) as watch:
        run(cells, results, jobs, watch)
    rows = results.of(cells)
    if not quiet:
        console = Console(width=None if sys.stdout.isatty() else 200)
        for table in tables(rows):
            console.print(table)
    text = overview(rows) + "\n" + markdown(rows)
    atomic(out / "results.md", lambda file: file.write_text(text, encoding="utf-8"))
    written = ["results.jsonl", "results.md"]
    for name, write in (("results.parquet", parquet), ("results.png", plot)):
        try:
            write(rows, out / name)
            written.append(name)
        except ImportError as e:
            print(f"xhat: note: {out / name} not written, it {EXTRA} ({e.name} is missing)", file=sys.stderr)
    return written


@contextmanager
def bar(total: int, visible: bool) -> Iterator[Callable[[Row], None] | None]:
    """A progress bar on stderr over the cells to compute."""
    if not visible or not total:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total)
        yield lambda row: progress.update(task, advance=1, description=f"{row['problem']} {row['label']}")


def parquet(rows: Sequence[Row], path: Path) -> None:
    """One row a run, for pandas, polars or DuckDB."""
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    names = dict.fromkeys(name for row in rows for name in row)
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in names})
    atomic(path, lambda file: pyarrow.parquet.write_table(table, file))


def plot(rows: Sequence[Row], path: Path) -> None:
    """Median sliced W1 against network calls, a panel a problem, the floor as a line."""
    from matplotlib.figure import Figure

    found = summary(rows)
    across = min(3, max(1, len(found)))
    down = max(1, -(-len(found) // across))
    figure = Figure(figsize=(5.5 * across, 4.5 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).flatten()
    for panel in axes[len(found) :]:
        panel.set_axis_off()
    for panel, (problem, records) in zip(axes, found.items(), strict=False):
        panel.set(title=problem, xscale="log", yscale="log", xlabel="network calls a sample", ylabel="sliced W1")
        for record in (r for r in records if r["median"] is not None):
            if record["label"] == FLOOR:
                panel.axhline(record["median"], color="grey", linestyle=":")
                continue
            marker = "x" if record["point"] else "o"
            (dot,) = panel.plot(record["calls"], record["median"], marker, markersize=4)
            panel.annotate(
                record["label"], (record["calls"], record["median"]), fontsize=5, color=dot.get_color(), rotation=20
            )
    atomic(path, lambda file: figure.savefig(file, dpi=130, format="png"))
