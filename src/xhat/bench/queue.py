"""What is left to compute, shared with other processes at the same folder."""

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
    """The cell in batches of images of one shape, always the same: a resumed run repeats them bit for bit."""
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
    """Hands out works of which records are missing, or `redo` asks for, each to one process at a time.

    A claim is a lock that ends with its process: what a killed one had in hand is handed out again.
    """

    def __init__(self, all_works: Iterable[Work], folder: RunFolder, redo: Iterable[str] = ()) -> None:
        self.folder, self.redo = folder, set(redo)
        self.failed_once: set[str] = set()  # broken here and now: not again in this run
        self.waiting = deque(w for w in all_works if self.wanted(w))
        self.held: dict[Work, ExitStack] = {}

    def wanted(self, work: Work) -> set[str]:
        """The keys of the work that are to be computed."""
        missing = self.folder.missing(work.keys) - self.failed_once
        return missing | (self.redo & set(work.keys))

    def take(self, wait: bool = True) -> Work | None:
        """The next work, claimed; None where nothing is left. While others have all the rest: waits, or None."""
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
        """Adds what was wanted of a finished work to the folder and gives the claim back."""
        wanted = self.wanted(work)
        new = [d for d in done if d.row["key"] in wanted]
        self.folder.add(new)
        self.redo -= set(work.keys)
        self.failed_once |= {d.row["key"] for d in new if d.row["status"] == "error"}
        self.held.pop(work).close()
        return new

    def give_back(self, work: Work) -> None:
        """A work that came to nothing, to be taken again."""
        self.held.pop(work).close()
        self.waiting.appendleft(work)

    def close(self) -> None:
        """Gives all claims back."""
        for stack in self.held.values():
            stack.close()
        self.held.clear()
        claims = self.folder.path / ".claims"
        for left in claims.glob("*"):  # of processes that were killed
            with claim(left):
                pass
        with suppress(OSError):  # others are at work
            claims.rmdir()
