"""The progress of a grid, with the time left as judged by what each solver has taken so far."""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from ..files.rows import Row
from ..task.parts import as_solver
from .evaluate import Work

EVERY = 10.0  # seconds between two lines of a log


class Clock:
    """The seconds left: a solver that has been seen goes on at its own pace, others at the common pace per step."""

    def __init__(self, works: Iterable[Work]) -> None:
        self.left: dict[str, float] = defaultdict(float)
        self.taken: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])  # seconds, weight
        self.total = self.finished = 0
        self.began = time.monotonic()
        for work in works:
            self.left[work.cell.label] += weight(work)
            self.total += len(work.images)

    def note(self, work: Work, seconds: float) -> None:
        """Counts `work` as finished after `seconds`."""
        self.left[work.cell.label] -= weight(work)
        self.finished += len(work.images)
        self.taken[work.cell.label][0] += seconds
        self.taken[work.cell.label][1] += weight(work)

    def seconds_left(self, workers: float = 1.0) -> float | None:
        """The seconds left, or None before anything is finished; `workers` is how many works run at the same time."""
        seconds, weighed = (sum(v[i] for v in self.taken.values()) for i in (0, 1))
        if not weighed:
            return None
        pace = {k: s / w for k, (s, w) in self.taken.items() if w}
        return sum(w * pace.get(label, seconds / weighed) for label, w in self.left.items()) / workers


def weight(work: Work) -> float:
    """Steps times images times samples: what the cost of most solvers is proportional to."""
    return float(max(1, as_solver(work.cell.solver).steps) * len(work.images) * work.cell.samples)


def in_words(seconds: float | None) -> str:
    """A duration in everyday words."""
    if seconds is None:
        return "time left unknown"
    if seconds < 90:
        return f"{seconds:.0f} s left"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min left"
    return f"{seconds / 3600:.1f} h left"


@contextmanager
def showing(clock: Clock, visible: bool) -> Iterator[Callable[[Work, Sequence[Row]], None]]:
    """A bar on a terminal, a line now and then elsewhere; gives a function to call after each work with its rows."""

    def after(work: Work, rows: Sequence[Row]) -> str:
        clock.note(work, sum(r["seconds"] or 0.0 for r in rows))
        elapsed = time.monotonic() - clock.began
        busy = sum(s for s, _ in clock.taken.values())
        return f"{work.cell.label} on {work.cell.task}, {in_words(clock.seconds_left(max(1.0, busy / elapsed)))}"

    if not visible or not clock.total:
        yield lambda work, rows: None
        return
    if not sys.stderr.isatty():
        said = 0.0

        def line(work: Work, rows: Sequence[Row]) -> None:
            nonlocal said
            text = after(work, rows)
            if time.monotonic() - said > EVERY or clock.finished == clock.total:
                print(f"{clock.finished}/{clock.total} images, {text}", file=sys.stderr, flush=True)
                said = time.monotonic()

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (MofNCompleteColumn(), BarColumn(bar_width=20), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=clock.total)
        yield lambda work, rows: progress.update(task, description=after(work, rows), completed=clock.finished)
