"""What is left to compute, shared with other processes that work on the same folder."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from itertools import groupby

from ..files.rows import claim
from .evaluate import Done, Work
from .folder import RunFolder
from .grid import Cell, short
from .images import open_images


def works(cell: Cell, batch_size: int) -> list[Work]:
    """The cell in batches of images of one shape.

    The batches are always the same, so that a resumed run repeats them bit for bit.
    """
    images = open_images(cell.data)
    names = images.names()[: cell.images]
    shape = (lambda name: ()) if images.one_shape else (lambda name: tuple(images.load(name).shape))
    out = []
    for seed in cell.seeds:
        for _, group in groupby(sorted(names, key=shape) if not images.one_shape else names, key=shape):
            part = tuple(group)
            out += [Work(cell, seed, part[i : i + batch_size]) for i in range(0, len(part), batch_size)]
    return out


class Queue:
    """Hands out the works whose records are missing or listed in `redo`, each to one process at a time.

    A claim is a lock that ends with its process, so the work of a killed process is handed out again.
    """

    def __init__(self, all_works: Iterable[Work], folder: RunFolder, redo: Iterable[str] = ()) -> None:
        self.folder, self.redo = folder, set(redo)
        self.failed_once: set[str] = set()  # records that ended with an error are not tried again in this run
        self.waiting = deque(w for w in all_works if self.wanted(w))
        self.held: dict[Work, ExitStack] = {}

    def wanted(self, work: Work) -> set[str]:
        """The keys of the records of `work` that have to be computed."""
        missing = self.folder.missing(work.keys) - self.failed_once
        return missing | (self.redo & set(work.keys))

    def take(self, wait: bool = True) -> Work | None:
        """The next work, claimed; None if nothing is left.

        If other processes hold everything that is left, it waits for them, or returns None without `wait`.
        """
        while self.waiting:
            for _ in range(len(self.waiting)):
                work = self.waiting.popleft()
                stack = ExitStack()
                mine = stack.enter_context(claim(self.folder.path / ".claims" / short({"keys": work.keys})))
                self.folder.records.refresh()
                if mine and self.wanted(work):
                    self.held[work] = stack
                    return work
                stack.close()
                if self.wanted(work):
                    self.waiting.append(work)
            if not wait or not self.waiting:
                return None
            time.sleep(0.5)
        return None

    def finish(self, work: Work, done: Sequence[Done]) -> list[Done]:
        """Adds the wanted records of a finished work to the folder, releases the claim, and returns what was added."""
        wanted = self.wanted(work)
        new = [d for d in done if d.row["key"] in wanted]
        self.folder.add(new)
        self.redo -= set(work.keys)
        self.failed_once |= {d.row["key"] for d in new if d.row["status"] == "error"}
        self.held.pop(work).close()
        return new

    def give_back(self, work: Work) -> None:
        """Releases the claim on a work that was not finished, so that it is taken again."""
        self.held.pop(work).close()
        self.waiting.appendleft(work)

    def close(self) -> None:
        """Releases all claims."""
        for stack in self.held.values():
            stack.close()
        self.held.clear()
        claims = self.folder.path / ".claims"
        for left in claims.glob("*"):  # left behind by processes that were killed
            with claim(left):
                pass
        with suppress(OSError):  # the folder is not empty while other processes hold claims
            claims.rmdir()
