"""Composition of operators, `A @ B`."""

from ..errors import ShapeError
from ..types import Data, Image
from .base import LinearOperator, Operator


class Composed(Operator):
    """x ↦ A(B(x))."""

    def __init__(self, outer: Operator, inner: Operator) -> None:
        super().__init__(inner.shape)
        self.outer, self.inner = outer, inner

    def forward(self, x: Image) -> Data:
        return self.outer(self.inner(x))


class LinearComposed(LinearOperator):
    """A B of two linear operators, with (A B)ᵀ = Bᵀ Aᵀ."""

    outer: LinearOperator
    inner: LinearOperator

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        super().__init__(inner.shape)
        self.outer, self.inner = outer, inner

    def forward(self, x: Image) -> Data:
        return self.outer(self.inner(x))

    def adjoint(self, y: Data) -> Image:
        return self.inner.adjoint(self.outer.adjoint(y))


def compose(outer: Operator, inner: Operator) -> Operator:
    """The most specific composition there is; ShapeError where `outer` does not take what `inner` gives."""
    if inner.data_shape != outer.shape:
        raise ShapeError(
            f"{type(inner).__name__} gives data of shape {inner.data_shape}, {type(outer).__name__} takes {outer.shape}"
        )
    if isinstance(outer, LinearOperator) and isinstance(inner, LinearOperator):
        return LinearComposed(outer, inner)
    return Composed(outer, inner)
