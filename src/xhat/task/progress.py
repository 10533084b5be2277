"""How far a run is: a bar in a terminal or in a notebook, or your own function."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape as html
from typing import Any

from ..likelihoods import Likelihood
from ..loop import Step
from ..numerics.calls import Calls
from .run import Watch, residuals


@dataclass(frozen=True)
class Progress:
    """How far a run is: `done` of `total` steps, of all batches together."""

    done: int
    total: int
    note: str  # the noise level, the residual as a multiple of the expected one, the calls of the network
    left: float | None  # seconds, as far as they can be told; None before the first step is timed


Tell = Callable[[Progress], object]


@contextmanager
def bar(
    steps: int, batches: int = 1, finished: int = 0, visible: bool | str | Tell | None = True, every: float = 0.5
) -> Iterator[Watch | None]:
    """Tells about `batches` runs of `steps` steps, of which some runs are `finished`.

    `visible` is true for a bar, below the cell of a notebook, otherwise on stderr, or a text that stands before it;
    None shows it in notebooks only; a function is called with a `Progress` after each step, and what it raises ends the
    run. Gives the function that `run` calls after each step, or None if nothing is to be shown. The residual is
    computed at most every `every` seconds, because A may cost more than a step.
    """
    if callable(visible):
        yield _watch(visible, steps, batches, finished, every)
    elif visible is False or (visible is None and not _notebook()):
        yield None
    elif _notebook():
        yield _watch(_below_cell(), steps, batches, finished, every)
    else:
        title = visible if isinstance(visible, str) else ""
        with _terminal(title, steps * batches, steps * finished) as tell:
            yield _watch(tell, steps, batches, finished, every)


def _watch(tell: Tell, steps: int, batches: int, finished: int, every: float) -> Watch:
    batch, previous, looked, ratio = finished, 0, 0.0, ""
    began, before = time.monotonic(), finished * steps

    def watch(step: Step, like: Likelihood, calls: Calls) -> None:
        nonlocal batch, previous, looked, ratio, began, before
        batch += step.index < previous
        done = batch * steps + step.index
        if previous == 0:
            before = done - 1  # a run that is resumed begins later
        previous = step.index
        if time.monotonic() - looked > every or step.index == step.total:
            ratio, looked = against_expected(step, like), time.monotonic()
        note = f"sigma {step.s.ratio:7.3g}  residual {ratio}  calls {calls.forwards + calls.backwards}"
        left = (time.monotonic() - began) / (done - before) * (steps * batches - done)
        tell(Progress(done, steps * batches, note, left))

    return watch


@contextmanager
def _terminal(title: str, total: int, finished: int) -> Iterator[Tell]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(escape(title), total=total, completed=finished, note="")
        yield lambda p: progress.update(task, completed=p.done, note=p.note)


def _notebook() -> bool:
    """Whether this is a notebook: a kernel of IPython, which is never imported here."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")


def _below_cell() -> Tell:
    display: Any = sys.modules["IPython.display"]
    handle = display.display(display.HTML(""), display_id=True)

    def tell(p: Progress) -> None:
        left = "" if p.left is None else f", {p.left:.0f} s left"
        handle.update(
            display.HTML(
                f'<progress value="{p.done}" max="{p.total}"></progress> '
                f"<code>{p.done}/{p.total}{left}  {html(p.note)}</code>"
            )
        )

    return tell


def against_expected(step: Step, like: Likelihood) -> str:
    """The mean residual of the batch as a multiple of the expected one, as text."""
    found, expected = residuals(like, step.state.estimate)
    f, e = float(found.mean()), float(expected.mean())
    return f"{f / e:.2f}x expected" if e > 0 else f"{f:.2g}"
