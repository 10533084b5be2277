"""The range of an option, declared beside it: `k: Annotated[float, Positive] = 1.0`.

Every part of xhat is built by a class derived from `Checked`, or by a builder of a registry, and both refuse a number
outside its range before anything is computed, whether it comes from a spec string, a file or Python. A number without
a declared range must be finite.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from .errors import SpecError

C = TypeVar("C", bound="Checked")


@dataclass(frozen=True)
class Range:
    """The finite numbers that an option may have: above `above`, at least `least`, below `below`, at most `most`.

    A bound that is None is none. `note` tells a user who is refused what to do instead.
    """

    least: float | int | None = None
    most: float | int | None = None
    above: float | int | None = None
    below: float | int | None = None
    note: str = ""

    def __contains__(self, v: Any) -> bool:
        """Whether the number `v` lies in the range."""
        return (
            finite(v)
            and (self.least is None or v >= self.least)
            and (self.most is None or v <= self.most)
            and (self.above is None or v > self.above)
            and (self.below is None or v < self.below)
        )

    def within(self, low: float, high: float) -> tuple[float, float]:
        """The part from `low` to `high` that lies in the range, ends included."""
        lows = (self.least, None if self.above is None else math.nextafter(self.above, math.inf))
        highs = (self.most, None if self.below is None else math.nextafter(self.below, -math.inf))
        return (
            float(max(low, *(b for b in lows if b is not None), -math.inf)),
            float(min(high, *(b for b in highs if b is not None), math.inf)),
        )

    def __str__(self) -> str:
        """The range in words that follow "a number"."""
        if self.least is not None and self.most is not None:
            return f"from {_said(self.least)} to {_said(self.most)}"
        bounds = (("above", self.above), ("of at least", self.least), ("below", self.below), ("at most", self.most))
        return " and ".join(f"{word} {_said(bound)}" for word, bound in bounds if bound is not None)


Finite = Range()
Positive = Range(above=0)
NonNegative = Range(least=0)
Fraction = Range(0, 1)  # of a whole, both ends included
Portion = Range(above=0, most=1)  # a fraction that is not nothing
Steps = Range(1, 1_000_000)  # of a run or of a loop inside it
Repeats = Range(0, 1_000_000)  # of what may be left out
Many = Range(1, 1_000_000)  # particles, draws, pictures
Seed = Range(0, 2**63 - 1)  # what torch's generators take
Side = Range(1, 10_000)  # of an image, in pixels
Kernel = Range(1, 1_000)  # the side of a blur kernel, in pixels
Width = Range(1e-3, 10_000)  # the standard deviation of a blur kernel, in pixels
Seeds = Annotated[int, Seed] | Sequence[Annotated[int, Seed]]  # one for all images, or one for each

COMPOSED = "operators in a row need spaces: 'jpeg:quality=75 @ super_resolution'"


class Checked:
    """A base of parts whose options are checked before `__init__`, which dataclasses write themselves."""

    def __new__(cls: type[C], *args: Any, **options: Any) -> C:
        """Raises SpecError for an option out of range."""
        check(cls, args, options)
        return super().__new__(cls)


def check(maker: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]) -> None:
    """Raises SpecError for the first argument that is not what the annotations of a class or builder ask for.

    The line names the part, the option, the value and the range. Missing and unknown arguments are left to the call.
    """
    known = parameters(maker)
    try:
        given = inspect.Signature(list(known.values())).bind_partial(*args, **options).arguments
    except TypeError:
        return
    for key, v in given.items():
        if known[key].kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            demand(name_of(maker), key, v, known[key].annotation)


def demand(part: str, option: str, v: Any, hint: Any, leaf: Callable[[Any, Any], bool] | None = None) -> None:
    """Raises SpecError if the value `v` of an option is not what its annotation asks for; `leaf` is as in `fits`."""
    if not fits(v, hint, leaf or is_a):
        asked = wanted(hint)
        if number(v) and not finite(v):
            asked = asked.replace("a number", "a finite number", 1)
        notes = [COMPOSED] if isinstance(v, str) and "@" in v else _notes(hint)
        raise SpecError("; ".join([f"{part}: {option} must be {asked}, not {_short(v)}", *notes]))


def name_of(maker: Any) -> str:
    """What a spec string calls a class: its own `name`, or the class name in lower case; a builder's is its
    function's.
    """
    given = vars(maker).get("name") if isinstance(maker, type) else None
    return given if isinstance(given, str) else str(maker.__name__.lower())


def parameters(maker: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a class or builder by name, in order.

    A field that a class declares again without a range, for another default, keeps the range that it inherits.
    """
    return _parameters(maker)


@lru_cache(None)
def _parameters(maker: Any) -> Mapping[str, inspect.Parameter]:
    try:
        known = inspect.signature(maker, eval_str=True).parameters
    except (NameError, AttributeError, TypeError, SyntaxError):  # annotations kept as text, which Python cannot read
        known = inspect.signature(maker).parameters
    older = [inspect.get_annotations(c) for c in maker.__mro__] if isinstance(maker, type) else []
    found: dict[str, inspect.Parameter] = {}
    for key, p in known.items():
        declared = (notes[key] for notes in older if key in notes)
        hint = next((h for h in declared if marks(h) and bare(h) == p.annotation), p.annotation)
        found[key] = p.replace(annotation=hint)
    return found


def fits(v: Any, hint: Any, leaf: Callable[[Any, Any], bool]) -> bool:
    """Whether a value can be what the annotation asks for, in range and finite.

    `leaf` decides for annotations that are neither numbers nor made of others.
    """
    origin, args = get_origin(hint), get_args(hint)
    if ranged(hint):
        return fits(v, args[0], leaf) and (not number(v) or all(v in mark for mark in marks(hint)))
    if origin in (Union, UnionType):
        return any(fits(v, a, leaf) for a in args)
    if hint is float or hint is int:
        return number(v) and finite(v) and (hint is float or isinstance(v, Integral))
    if args and origin in (tuple, list, Sequence):
        return isinstance(v, list | tuple | range) and all(fits(item, args[0], leaf) for item in v)
    return leaf(v, hint)


def is_a(v: Any, hint: Any) -> bool:
    """Whether a value given in Python can be what the annotation asks for, where numbers and text are concerned."""
    if hint is Any:
        return True
    if hint in (None, NoneType):
        return v is None
    if get_origin(hint) is Literal:
        return v in get_args(hint)
    if not isinstance(hint, type) or getattr(hint, "_is_protocol", False) or hint is inspect.Parameter.empty:
        return True
    return isinstance(v, hint) or not (number(v) or isinstance(v, str | bool))


def number(v: Any) -> bool:
    """Whether a value is a real number, true and false not being numbers."""
    return isinstance(v, Real) and not isinstance(v, bool)


def finite(v: Any) -> bool:
    """Whether a number is neither NaN nor infinite, nor a whole number too large for a float."""
    try:
        return math.isfinite(v)
    except OverflowError:
        return False


def ranged(hint: Any) -> bool:
    """Whether something is declared with an annotation."""
    return hasattr(hint, "__metadata__")


def bare(hint: Any) -> Any:
    """An annotation without the range that is declared with it."""
    return get_args(hint)[0] if ranged(hint) else hint


def marks(hint: Any) -> list[Range]:
    """The ranges that are declared with an annotation."""
    return [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Range)]


def wanted(hint: Any) -> str:
    """An annotation in words: "a number above 0", "a whole number from 1 to 10,000, or none"."""
    origin, args = get_origin(hint), get_args(hint)
    if ranged(hint):
        return " ".join([wanted(args[0]), *map(str, marks(hint))]).strip()
    if origin in (Union, UnionType):
        if int in args and float in args:
            args = tuple(a for a in args if a is not int)
        return ", or ".join(dict.fromkeys(wanted(a) for a in args))
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin in (tuple, list, Sequence) and args:
        return f"a list, each {wanted(args[0])}"
    if origin is Mapping:
        return "a table"
    words = {
        float: "a number",
        int: "a whole number",
        bool: "true or false",
        str: "text",
        Path: "a path",
        NoneType: "none",
    }
    return str(words.get(hint) or getattr(hint, "__name__", hint))


def _notes(hint: Any) -> list[str]:
    """The notes of the ranges that are declared in an annotation, each once."""
    found = [mark.note for mark in marks(hint) if mark.note]
    inside = [] if get_origin(hint) is Literal else get_args(bare(hint))
    return list(dict.fromkeys([*found, *(note for part in inside for note in _notes(part))]))


def _said(bound: float | int) -> str:
    """A bound as a reader counts: 1,000,000."""
    if bound == 2**63 - 1:
        return "2^63 - 1"
    return f"{int(bound):,}" if float(bound).is_integer() and abs(bound) < 1e15 else f"{bound:g}"


def _short(v: Any) -> str:
    """A value that is refused, in a few words."""
    try:
        text = repr(v)
    except ValueError:  # Python writes no whole number of more than some 4000 digits
        return "one of thousands of digits"
    return text if len(text) <= 100 else f"{text[:100]} …"
