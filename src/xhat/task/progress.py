"""The progress bar: noise level, residual against the expected one, network calls, time left."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..likelihoods import Likelihood
from ..loop import Step
from ..numerics.calls import Calls
from .run import Watch, residuals


@contextmanager
def bar(
    steps: int, batches: int = 1, finished: int = 0, visible: bool | str = True, every: float = 0.5
) -> Iterator[Watch | None]:
    """A bar on stderr over `batches` runs of `steps` steps, of which some are `finished`; a text stands before it.

    Gives the function that `run` calls after each step, or None if the bar is not `visible`. The residual is computed
    at most every `every` seconds, because A may cost more than a step.
    """
    if not visible:
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(
            escape(visible) if isinstance(visible, str) else "",
            total=steps * batches,
            completed=steps * finished,
            note="",
        )
        batch, previous, looked, ratio = finished, 0, 0.0, ""

        def watch(step: Step, like: Likelihood, calls: Calls) -> None:
            nonlocal batch, previous, looked, ratio
            batch += step.index < previous
            previous = step.index
            if time.monotonic() - looked > every or step.index == step.total:  # A may cost more than a step
                ratio, looked = against_expected(step, like), time.monotonic()
            note = f"sigma {step.s.ratio:7.3g}  residual {ratio}  calls {calls.forwards + calls.backwards}"
            progress.update(task, completed=batch * steps + step.index, note=note)

        yield watch


def against_expected(step: Step, like: Likelihood) -> str:
    """The mean residual of the batch as a multiple of the expected one, as text."""
    found, expected = residuals(like, step.state.estimate)
    f, e = float(found.mean()), float(expected.mean())
    return f"{f / e:.2f}x expected" if e > 0 else f"{f:.2g}"
