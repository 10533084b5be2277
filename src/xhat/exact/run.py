"""The driver: cells that are not in the file yet are computed and added to it, one line each."""

import json
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import DataError
from ..record import finite
from .cell import Cell, evaluate

Row = dict[str, Any]


class Results:
    """A JSON-lines file of records, the last one of a key counting; a line cut off by a crash is skipped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[tuple[str, str, int, int], Row] = {}
        try:
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write("\n" if text and not text.endswith("\n") else "")
        except (OSError, UnicodeDecodeError) as e:
            raise DataError(f"{path}: cannot be used for the results ({e})") from e
        for line in text.splitlines():
            try:
                row = json.loads(line)
                self.rows[key(row)] = row
            except (ValueError, KeyError, TypeError):
                continue

    def add(self, row: Row) -> None:
        self.rows[key(row)] = row
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite(row), ensure_ascii=False, allow_nan=False) + "\n")

    def missing(self, cells: Iterable[Cell]) -> list[Cell]:
        """The cells without a row, each once; those that broke are tried again."""
        wanted = {cell.key: cell for cell in cells}
        return [c for k, c in wanted.items() if self.rows.get(k, {"status": "error"})["status"] == "error"]

    def of(self, cells: Iterable[Cell]) -> list[Row]:
        """The rows of the cells, in their order, each once."""
        keys = dict.fromkeys(cell.key for cell in cells)
        return [self.rows[k] for k in keys if k in self.rows]


def key(row: Row) -> tuple[str, str, int, int]:
    return row["problem"], row["solver"], row["seed"], row["samples"]


def run(cells: Sequence[Cell], results: Results, jobs: int = 1, watch: Callable[[Row], None] | None = None) -> int:
    """How many cells were computed; `watch` sees each row after it is in the file."""
    missing = results.missing(cells)
    for row in computed(missing, min(jobs, len(missing))):
        results.add(row)
        if watch:
            watch(row)
    return len(missing)


def computed(cells: Sequence[Cell], jobs: int) -> Iterator[Row]:
    """In this process for one job, else in a pool of processes with one thread each."""
    if jobs <= 1:
        yield from map(evaluate, cells)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, _quiet) as pool:  # leaving it ends the processes
        yield from pool.imap_unordered(evaluate, cells)


def _quiet() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
