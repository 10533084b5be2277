"""What a run costs: network forwards, network backwards and operator calls, counted where they happen."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Kind = Literal["forwards", "backwards", "operator"]


@dataclass
class Calls:
    """Totals over images: one image through the network once is one forward.

    `operator` counts A, Aᵀ and closed-form solves, not the transforms of methods that live in spectral coordinates.
    """

    forwards: int = 0
    backwards: int = 0
    operator: int = 0

    def __add__(self, more: "Calls") -> "Calls":
        return Calls(**{k: n + getattr(more, k) for k, n in vars(self).items()})


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


_inside: ContextVar[frozenset[str]] = ContextVar("inside", default=frozenset())


@contextmanager
def one_call(kind: Kind, n: int) -> Iterator[bool]:
    """Counts one call on `n` images; calls of the same kind that it is made of, inside the block, count no more.

    Yields whether this call is the outermost one, which counted.
    """
    outermost = kind not in _inside.get()
    tally(kind, n)
    token = _inside.set(_inside.get() | {kind})
    try:
        yield outermost
    finally:
        _inside.reset(token)


def tally(kind: Kind, n: int) -> None:
    """Adds `n` to every counter that is open, unless this is a part of a call that has been counted."""
    if kind in _inside.get():
        return
    for calls in _active.get():
        setattr(calls, kind, getattr(calls, kind) + n)
