"""From the text of an operator to the operator, compositions `A @ B` included, and back."""

from collections.abc import Mapping
from typing import Any

from ..errors import ShapeError
from ..registry import kind_of
from ..spec import factors, lookup, needed, parse, spec_of
from . import OPERATORS
from .base import Operator
from .compose import AffineComposed, Composed, LinearComposed, composed, image_shape

Shape = tuple[int, ...]


def kind(text: str) -> type[Operator]:
    """The class of the operator that sees the image: of `A @ B` that is the class of B."""
    return kind_of(lookup(parse(factors(text)[-1]).name, OPERATORS))


def kind_of_data(text: str) -> type[Operator]:
    """The class of the operator that gives the data: of `A @ B` that is the class of A."""
    return kind_of(lookup(parse(factors(text)[0]).name, OPERATORS))


def build_operator(
    text: str, shape: Shape | None = None, data_shape: Shape | None = None, known: Mapping[str, Any] = {}
) -> Operator:
    """`jpeg:quality=75 @ super_resolution:factor=2` on images of `shape`: first made smaller, then compressed.

    Without `shape` it is inferred from `data_shape`, that of one measurement. `known` are options that the
    measurement knows; those of the text come first. Raises SpecError for an unknown name or option, ShapeError if no
    shape is known or the parts do not fit.
    """
    parts = factors(text)
    for spec in map(parse, parts):
        needed(spec, lookup(spec.name, OPERATORS), known, skip=1)
    if shape is None:
        if data_shape is None:
            raise ShapeError(f"operator {text}: the shape of the image is not known; give shape=")
        shape = image_shape(parts, OPERATORS, tuple(data_shape))
    return composed(parts, OPERATORS, tuple(shape), known)


def operator_spec(A: Operator, full: bool = False) -> str:
    """The text that `build_operator` reads back as A; see `spec_of` for what no text can hold."""
    if isinstance(A, Composed | LinearComposed | AffineComposed):
        return f"{operator_spec(A.outer, full)} @ {operator_spec(A.inner, full)}"
    return spec_of(A, OPERATORS, full)
