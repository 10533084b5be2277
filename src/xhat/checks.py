"""What a caller gave, checked before it is used: each function returns the value or raises a SpecError that says what
would be right.
"""

import math
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from .errors import MismatchError, SpecError, XhatError, out_of_memory

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


def image_shape(v: Any, name: str = "shape") -> tuple[int, ...]:
    """`v` as the shape of an image: up to eight positive whole numbers. Raises SpecError for anything else."""
    if not isinstance(v, tuple | list) or not 1 <= len(v) <= 8:
        raise SpecError(f"{name} must be the shape of an image such as (3, 256, 256), not {shown(v)}")
    return tuple(whole(f"{name}: a side", n, 1, 2**40) for n in v)


def path(v: Any, name: str = "path") -> Path:
    """`v` as a path. Raises SpecError for anything but text or a path that names something."""
    if not isinstance(v, str | Path) or not str(v).strip() or "\0" in str(v):
        raise SpecError(f"{name} must be the path of a file or folder, not {shown(v)}")
    return Path(v)


def result(what: str, call: Callable[[], Any], given: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
    """What a function of the user returns for the batch `given`, (b, *).

    It must be a floating-point tensor with the batch first and, if `shape` is not None, of that shape behind it.
    Raises MismatchError, which names `what`, if it is not, or if the function raises an error of its own.
    """
    try:
        out = call()
    except Exception as e:
        if isinstance(e, XhatError) or out_of_memory(e):
            raise
        raise MismatchError(f"{what} raised {type(e).__name__}: {e}") from e
    if not isinstance(out, Tensor):
        raise MismatchError(f"{what} must return a tensor, not {shown(out)}")
    wanted = (len(given), *(out.shape[1:] if shape is None else shape))
    if out.ndim < 1 or tuple(out.shape) != wanted or out.numel() == 0:
        raise MismatchError(f"{what} must return a tensor of shape {wanted}, the batch first, not {tuple(out.shape)}")
    if not (out.is_floating_point() or (shape is None and out.is_complex())):
        raise MismatchError(f"{what} must return floating-point numbers, not {out.dtype}")
    return out
