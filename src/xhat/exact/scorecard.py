"""`xhat exact`: computes what is missing, then writes the table, the Parquet file and the plot."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from ..checks import whole
from ..files.extras import install
from ..files.folder import check_folder, check_free, undone
from ..files.rows import Row, begun, parquet
from ..files.writing import atomic
from ..notes import tell
from .cell import FLOOR, Cell, check_cost, paced
from .report import markdown, overview, summary, tables
from .run import Results, key, run


def scorecard(cells: Sequence[Cell], out: Path, jobs: int = 1, quiet: bool = False) -> list[str]:
    """Computes the missing cells and returns the names of the files that were written to the folder `out`.

    Files that need a package which is not installed are left out with a note. Raises SpecError if `jobs` is less than
    1.
    """
    whole("jobs", jobs, 1, 4096)
    check_folder(out)
    names = ("results.jsonl", "results.md", "results.parquet", "results.png")
    check_free(out, names, ours=lambda: begun(out / "results.jsonl", key))
    with undone(out, ["results.jsonl"]):
        results = Results(out / "results.jsonl")
        left = results.left(cells)
        jobs = min(jobs, max(1, len(left)))
        check_cost(left, jobs)
    if stale := results.stale(cells):
        text = f"{len(stale)} rows of {results.path} are of other code, versions or processor; they are computed again"
        tell(text)
    with bar(len(left), not quiet and sys.stderr.isatty()) as watch:
        run(cells, results, jobs, paced(watch, left, jobs))
    rows = results.of(cells)
    for line in broken(rows):
        tell(line)
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
            tell(f"{out / name} not written, it needs {e.name}: {install('bench')}")
    return written


def broken(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each solver that broke or diverged somewhere: in how many of its runs, and how the first one did."""
    for label in dict.fromkeys(r["label"] for r in rows):
        runs = [r for r in rows if r["label"] == label and r["status"] != "n/a"]
        bad = [r for r in runs if r["status"] in ("error", "diverged")]
        if bad:
            first = bad[0]
            where = f"the first is {first['problem']} with seed {first['seed']}: {first['error']}"
            yield f"{label} broke in {len(bad)} of {len(runs)} runs; {where}"


@contextmanager
def bar(total: int, visible: bool) -> Iterator[Callable[[Row], None] | None]:
    """A progress bar on stderr over the `total` cells to compute; gives a function to call with each row, or None."""
    if not visible or not total:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total)
        yield lambda row: progress.update(task, advance=1, description=f"{row['problem']} {row['label']}")


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plots the median sliced W1 against network calls, one panel per problem.

    The floor is a line.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    found = {k: [r for r in v if r["sw1"] is not None and not r["point"]] for k, v in summary(rows).items()}
    labels = [label for label in dict.fromkeys(r["label"] for rs in found.values() for r in rs) if label != FLOOR]
    looks = {label: (colormaps["tab10"](i % 10), "os^Dv<>p*h"[i // 10 % 10]) for i, label in enumerate(labels)}
    across = min(3, max(1, len(found)))
    down = max(1, -(-len(found) // across))
    figure = Figure(figsize=(4.6 * across + 3, max(4.0 * down, 0.19 * len(labels))), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).flatten()
    for panel in axes[len(found) :]:
        panel.set_axis_off()
    drawn = {}
    for panel, (problem, records) in zip(axes, found.items(), strict=False):
        panel.set_title(problem, parse_math=False)
        panel.set(xscale="log", yscale="log", xlabel="network calls per sample", ylabel="sliced W1")
        for r in records:
            if r["label"] == FLOOR:
                panel.axhline(r["sw1"], color="grey", linestyle=":")
                continue
            colour, marker = looks[r["label"]]
            (drawn[r["label"]],) = panel.plot(r["calls"], r["sw1"], marker, color=colour, alpha=0.8, linestyle="")
    legend = figure.legend([drawn[k] for k in labels], labels, loc="outside right upper", fontsize=8)
    for label in legend.get_texts():
        label.set_parse_math(False)
    atomic(path, lambda file: figure.savefig(file, dpi=110, format="png"))
