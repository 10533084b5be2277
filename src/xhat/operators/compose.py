"""Composition of operators, `A @ B`."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor

from ..checks import instance
from ..errors import ShapeError
from ..registry import kind_of
from ..spec import build, checked, lookup, parse
from ..types import Data, Image
from .base import AffineOperator, LinearOperator, Operator
from .decoder import Decoder


class Composed(Operator):
    """x ↦ A(B(x))."""

    def __init__(self, outer: Operator, inner: Operator) -> None:
        super().__init__(inner.shape)
        self.modality = inner.modality
        self.outer, self.inner = outer, inner

    @property
    def detector(self) -> object:
        return self.outer.detector

    @property
    def support(self) -> Tensor | None:
        return self.outer.support

    def forward(self, x: Image) -> Data:
        return self.outer(self.inner(x))


class Decoded(Operator):
    """z ↦ A(D(z)), D the decoder of an autoencoder; counted as one call of A."""

    outer: Operator
    inner: Decoder

    def __init__(self, outer: Operator, inner: Decoder) -> None:
        super().__init__(inner.shape)
        self.modality = inner.modality
        self.outer, self.inner = outer, inner
        self.data_shape = outer.data_shape

    @property
    def complex_data(self) -> bool:
        return self.outer.complex_data

    @property
    def detector(self) -> object:
        return self.outer.detector

    @property
    def support(self) -> Tensor | None:
        return self.outer.support

    def forward(self, x: Image) -> Data:
        return self.outer.forward(self.inner.forward(x))


class LinearComposed(LinearOperator):
    """A B of two linear operators, with (A B)ᵀ = Bᵀ Aᵀ."""

    outer: LinearOperator
    inner: LinearOperator

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        super().__init__(inner.shape)
        self.modality = inner.modality
        self.outer, self.inner = outer, inner

    @property
    def detector(self) -> object:
        return self.outer.detector

    @property
    def support(self) -> Tensor | None:
        return self.outer.support

    def forward(self, x: Image) -> Data:
        return self.outer(self.inner(x))

    def adjoint(self, y: Data) -> Image:
        return self.inner.adjoint(self.outer.adjoint(y))


class AffineComposed(AffineOperator):
    """A B of two affine operators, or of one and a linear one: A(B(x)) = L_A L_B x + A(B(0))."""

    def __init__(self, outer: Operator, inner: Operator) -> None:
        super().__init__(inner.shape)
        self.modality = inner.modality
        self.outer, self.inner = outer, inner
        parts = [v.linear if isinstance(v, AffineOperator) else v for v in (outer, inner)]
        self.linear = cast(LinearOperator, compose(*parts))

    @property
    def detector(self) -> object:
        return self.outer.detector

    def forward(self, x: Image) -> Data:
        return self.outer(self.inner(x))


def compose(outer: Operator, inner: Operator) -> Operator:
    """The most specific composition there is; ShapeError where `outer` does not take what `inner` gives."""
    instance("the right side of @", inner, Operator, "an Operator")
    if inner.data_shape != outer.shape:
        raise ShapeError(
            f"{type(inner).__name__} gives data of shape {inner.data_shape}, {type(outer).__name__} takes {outer.shape}"
        )
    if isinstance(inner, Decoder):
        return Decoded(outer, inner)
    if isinstance(outer, LinearOperator) and isinstance(inner, LinearOperator):
        return LinearComposed(outer, inner)
    if all(isinstance(v, AffineOperator | LinearOperator) for v in (outer, inner)):
        return AffineComposed(outer, inner)
    return Composed(outer, inner)


def composed(
    parts: Sequence[str], registry: Mapping[str, Any], shape: tuple[int, ...], known: Mapping[str, Any] = {}
) -> Operator:
    """The operator of the specs `parts`, the one that sees the images of `shape` last; see `build` for `known`."""
    A: Operator = build(parts[-1], registry, shape, known=known)
    for part in reversed(parts[:-1]):
        A = compose(build(part, registry, A.data_shape, known=known), A)
    return A


def image_shape(parts: Sequence[str], registry: Mapping[str, Any], data_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the image of which the operator of the specs `parts` gives data of `data_shape`."""
    for part in parts:
        name, options = parse(part)
        maker = lookup(name, registry)
        kind: type[Operator] = kind_of(maker)
        data_shape = kind.image_shape(data_shape, **checked(name, maker, options, skip=1))
    return data_shape
