"""What a run costs: network forwards, network backwards and operator calls, counted where they happen."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal


@dataclass
class Calls:
    """Totals over images: one image through the network once is one forward.

    `operator` counts A, Aᵀ and closed-form solves, not the transforms of methods that live in spectral coordinates.
    """

    forwards: int = 0
    backwards: int = 0
    operator: int = 0


_active: ContextVar[tuple[Calls, ...]] = ContextVar("calls", default=())


@contextmanager
def counting() -> Iterator[Calls]:
    """Counts everything inside the `with` block; blocks may nest."""
    calls = Calls()
    token = _active.set((*_active.get(), calls))
    try:
        yield calls
    finally:
        _active.reset(token)


def tally(kind: Literal["forwards", "backwards", "operator"], n: int) -> None:
    """Adds `n` to every counter that is open."""
    for calls in _active.get():
        setattr(calls, kind, getattr(calls, kind) + n)
