"""What a caller gave, checked before it is used: each function returns the value or raises a SpecError that says what
would be right.
"""

import math
import operator
from typing import Any, TypeVar

from .errors import SpecError

T = TypeVar("T")
SEEDS = 2**63 - 1  # the largest seed


def whole(name: str, v: Any, low: int = 0, high: int | None = None) -> int:
    """`v` as an int from `low` to `high`. Raises SpecError for anything else; `name` is the name of the value."""
    try:
        found = None if isinstance(v, bool) else operator.index(v)
    except (TypeError, RuntimeError):  # torch has the second one for a tensor of several numbers
        found = None
    if found is None or found < low or (high is not None and found > high):
        most = "" if high is None else f" and at most {high}"
        raise SpecError(f"{name} must be a whole number of at least {low}{most}, not {shown(v)}")
    return found


def number(name: str, v: Any, low: int | float = 0.0, strict: bool = True) -> float:
    """`v` as a finite float above `low`, or equal to it unless `strict`. Raises SpecError for anything else."""
    try:
        found = math.nan if isinstance(v, bool | str | bytes) else float(v)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        found = math.nan
    if not math.isfinite(found) or found < low or (strict and found == low):
        where = "" if low == -math.inf else f" {'above' if strict else 'of at least'} {low:g}"
        raise SpecError(f"{name} must be a finite number{where}, not {shown(v)}")
    return found


def seed(v: Any, name: str = "seed") -> int:
    """`v` as a seed: a whole number from 0 to 2⁶³ − 1. Raises SpecError for anything else."""
    return whole(name, v, 0, SEEDS)


def instance(name: str, v: T, kind: Any, words: str) -> T:
    """`v` if it is of the `kind` that `words` describe. Raises SpecError for anything else, a class of it among it."""
    if not isinstance(v, kind):
        raise SpecError(f"{name} must be {words}, not {shown(v)}")
    return v


def shown(v: Any) -> str:
    """A value as a message shows it: short ones as Python writes them, others by what they are."""
    if isinstance(v, type):
        return f"the class {v.__name__}"
    text = repr(v) if isinstance(v, str | bytes | int | float | tuple | list | dict | None) else ""
    return (
        text
        if text and len(text) <= 60
        else f"{'an' if type(v).__name__[0] in 'aeiouAEIO' else 'a'} {type(v).__name__}"
    )
