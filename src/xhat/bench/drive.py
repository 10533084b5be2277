"""`xhat bench`: checks everything, computes what is missing, and writes the results."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import DataError, MismatchError, ShapeError, SpecError
from ..files.folder import undone
from ..files.record import versions
from ..files.rows import Row
from ..metrics.registry import choose, metric
from ..metrics.sets import SETS
from ..notes import tell as say
from ..numerics.device import pick_device
from ..task.account import provenance
from ..task.checkpoint import digest
from ..task.parts import as_noise, as_operator
from .clock import Clock, showing
from .cluster import computed
from .cost import check_cost, paced
from .evaluate import Done, Work, code, drawn_operator, evaluate, prior_of, truth_of
from .folder import RunFolder, check_ours
from .grid import Cell, Grid
from .images import open_images
from .memory import batch_size
from .options import Options
from .queue import Queue, works
from .schema import origin
from .sets import add_sets

RECORDS = 10_000_000  # of a grid, at most
MADE = ("records.jsonl", "bench.json", ".claims", ".space")  # what a run makes before its first record
NAMED = 3  # a note names the old values of what has changed if there are at most this many


def bench(
    grid: Grid,
    out: Path,
    options: Options,
    watch: Callable[[Row], None] | None = None,
    cells: Sequence[Cell] | None = None,
) -> RunFolder:
    """Computes every record of the grid that the folder `out` does not hold yet; `watch` is called with each new one.

    `cells` are those of the grid by default. Raises an XhatError, before anything is computed, if the grid, a prior,
    the data or the folder cannot be used.
    """
    cells, metrics = grid.cells() if cells is None else cells, [m for m in grid.metrics if m not in SETS]
    sets = [m for m in grid.metrics if m in SETS]
    check_ours(out)
    check(cells, metrics, sets)
    records, picture = size(cells, options.keep or bool(sets))
    if records > RECORDS:
        raise SpecError(
            f"{grid.title}: the grid has {records} records, more than {RECORDS}; take fewer seeds or images"
        )
    place = options.device if options.ray is None else "cpu"  # the workers have the GPUs
    pick_device(place)
    for spec in dict.fromkeys(c.prior for c in cells):
        prior_of(spec, place)
    made: list[RunFolder] = []
    with undone(out, MADE, worth=lambda: any(folder.records.rows for folder in made)):
        made.append(RunFolder(out))
        made[0].check_space(records, picture)
        _computed(grid, cells, metrics, made[0], options, watch)
    return made[0]


def _computed(
    grid: Grid,
    cells: Sequence[Cell],
    metrics: Sequence[str],
    folder: RunFolder,
    options: Options,
    watch: Callable[[Row], None] | None,
) -> None:
    """Computes what the folder lacks, and completes it."""
    sets = [m for m in grid.metrics if m in SETS]
    keep, place = options.keep or bool(sets), options.device if options.ray is None else "cpu"
    check_cost(cells, folder, options)
    folder.describe(grid, cells)
    todo = [w for c in cells for w in works(c, _batch(c, folder, options))]
    old = tell(folder, todo, metrics, place, options)
    queue = Queue(todo, folder, redo=old if options.fresh else ())
    compute = _local if options.ray is None else computed
    look, began, busy = paced(queue.waiting), time.monotonic(), 0.0
    try:
        with showing(Clock(queue.waiting), not options.quiet) as seen:
            for work, done in compute(queue, metrics, options, keep):
                for d in done:  # a worker of a cluster does not know how it came to be started
                    d.row["provenance"]["command"] = provenance()["command"]
                new = queue.finish(work, done)
                rows = [d.row for d in new]
                seen(work, rows)
                busy += sum(row["seconds"] or 0.0 for row in rows)
                look(work, rows, max(1.0, busy / (time.monotonic() - began)) if options.ray else 1.0)
                for d in new:
                    if watch:
                        watch(d.row)
    finally:
        queue.close()
    add_sets(folder, sets)
    folder.finish()


def _local(queue: Queue, metrics: Sequence[str], options: Options, keep: bool) -> Iterator[tuple[Work, list[Done]]]:
    while work := queue.take():
        yield work, evaluate(work, metrics, options.device, keep)


def check(cells: Sequence[Cell], metrics: Sequence[str], sets: Sequence[str]) -> None:
    """Checks every name and option of the grid on the first image of its data.

    Raises SpecError, DataError, MismatchError or ShapeError that names the task.
    """
    for name in metrics:
        metric(name, SETS)
    for cell in {(c.data, c.operator): c for c in cells}.values():
        try:
            first = truth_of(cell, open_images(cell.data).names()[0])
            kind = as_operator(drawn_operator(cell.operator, [0]), tuple(first.shape)).modality
            choose([kind.metric(m) for m in metrics], first, kind)
        except (DataError, MismatchError, ShapeError, SpecError) as e:
            raise type(e)(f"task {cell.task!r} on {cell.data}: {e}") from e
    for spec in dict.fromkeys(c.noise for c in cells):
        as_noise(spec)
    for name in sets:
        SETS[name]()


def size(cells: Sequence[Cell], keep: bool) -> tuple[int, int]:
    """The number of records of the cells, and the most bytes that the pictures of one record may take."""
    records = sum(len(c.seeds) * len(open_images(c.data).names()[: c.images]) for c in cells)
    largest = max(open_images(s).load(open_images(s).names()[0]).numel() for s in {c.data for c in cells})
    return records, 2 * largest if keep else 0


def _batch(cell: Cell, folder: RunFolder, options: Options) -> int:
    """The batch size given, or the one found for this prior and solver, kept for the next time."""
    if options.batch_size is not None:
        return options.batch_size
    images = open_images(cell.data)
    names = tuple(images.names()[: cell.images])
    device = pick_device(options.device).type
    key = f"{cell.prior} {cell.data} {cell.solver} {cell.samples} {device}"
    sizes = folder.batch_sizes()
    if key not in sizes:
        sizes = folder.batch_sizes({key: batch_size(Work(cell, cell.seeds[0], names), options.device)})
    return sizes[key]


def tell(
    folder: RunFolder, todo: Sequence[Work], metrics: Sequence[str], device: str, options: Options
) -> Iterable[str]:
    """Prints notes on stderr about stale and unreadable records, and returns the keys of the stale ones."""
    old: dict[str, list[tuple[str, str]]] = {}  # key → what has changed, and what it was
    for work in todo:
        for name, key in zip(work.images, work.keys, strict=True):
            row = folder.records.rows.get(key)
            if row is None or row["status"] == "error":
                continue
            was, now = origin(row), current(work.cell, name, metrics, device)
            if changed := [(what, was[what]) for what, v in now.items() if was[what] != v]:
                old[key] = changed
    if folder.records.broken:
        say(f"{folder.records.broken} lines of {folder.records.path} are no records (cut off by a crash?), left out")
    found = Counter(change for changes in old.values() for change in changes)
    for what in dict.fromkeys(what for what, _ in found):
        values = {value: n for (name, value), n in found.items() if name == what}
        named = f" {', '.join(values)}" if len(values) <= NAMED else ""
        fate = "made again" if options.fresh else "kept"
        say(f"{sum(values.values())} records were made with another {what}{named}; they are {fate}")
    if old and not options.fresh:
        say("--fresh makes them again")
    return old


def current(cell: Cell, image: str, metrics: Sequence[str], device: str) -> dict[str, str]:
    """What a record of this image would be made from now, in the form of `schema.origin`."""
    x = truth_of(cell, image)
    return {
        "code": code(cell, tuple(x.shape), metrics, device),
        "torch": versions()["torch"],
        "weights": prior_of(cell.prior, device)[1],
        "image": digest([x]),
    }
