"""The driver: cells that are not yet in the file are computed and added to it, one line each."""

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import torch

from ..files.rows import Row, Rows
from .cell import Cell, evaluate, made, stale

Key = tuple[str, str, int, int]


class Results(Rows[Key]):
    """The rows of a file by the key of their cell."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, key)

    def left(self, cells: Iterable[Cell]) -> list[Cell]:
        """The cells without a row, each once; those that broke are tried again, and so are stale ones."""
        wanted = {cell.key: cell for cell in cells}
        missing = self.missing(wanted) | {cell.key for cell in self.stale(wanted.values())}
        return [c for k, c in wanted.items() if k in missing]

    def stale(self, cells: Iterable[Cell]) -> list[Cell]:
        """The cells whose row was made by other code, other versions or on another kind of processor."""
        return [c for c in cells if c.key in self.rows and stale(self.rows[c.key], made(*c.key[:2]))]

    def of(self, cells: Iterable[Cell]) -> list[Row]:
        """The rows of `cells`, in their order, each once."""
        keys = dict.fromkeys(cell.key for cell in cells)
        return [self.rows[k] for k in keys if k in self.rows]


def key(row: Row) -> Key:
    """The key of the cell from which `row` comes."""
    return row["problem"], row["solver"], row["seed"], row["samples"]


def run(cells: Sequence[Cell], results: Results, jobs: int = 1, watch: Callable[[Row], None] | None = None) -> int:
    """Computes the missing cells in `jobs` processes and returns how many there were.

    `watch` is called with each row once it is in the file.
    """
    missing = results.left(cells)
    for row in computed(missing, min(jobs, len(missing))):
        results.add(row)
        if watch:
            watch(row)
    return len(missing)


def computed(cells: Sequence[Cell], jobs: int) -> Iterator[Row]:
    """Yields the rows of `cells` as they are finished.

    One job runs in this process; more run in a pool of processes with one thread each, in any order.
    """
    if jobs <= 1:
        yield from map(evaluate, cells)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, _quiet) as pool:  # the processes end with the block
        yield from pool.imap_unordered(evaluate, cells)


def _quiet() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
