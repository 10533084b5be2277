"""The algebra of operators: A @ B, A + B, c A, Aᴴ, and several measurements of one image.

What comes out is linear if the parts are.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..checks import instance
from ..errors import ShapeError, SpecError
from ..numerics.linalg import bcast
from ..numerics.linalg import norm as length
from ..types import Data, Image, PerImage
from .base import LinearOperator, Operator
from .checks import Number
from .compose import compose
from .modality import by_shape


class Several(Operator):
    """What sums and stacks share: parts that see one image, each a submodule, so that `take` reaches them.

    What the images are is said by the first part that knows more of them than their shape. Raises ShapeError if there
    is no part or if the parts take images of different shapes.
    """

    def __init__(self, *parts: Operator) -> None:
        if not parts:
            raise ShapeError("a sum or a stack needs at least one operator")
        for part in parts:
            instance("a part of a sum or a stack", part, Operator, "an Operator")
        super().__init__(parts[0].shape)
        usual = by_shape(self.shape)
        self.modality = next((p.modality for p in parts if p.modality != usual), parts[0].modality)
        for i, part in enumerate(parts):
            if part.shape != parts[0].shape:
                raise ShapeError(f"operators of images {parts[0].shape} and {part.shape} cannot see one image")
            self.add_module(f"part{i}", part)

    @property
    def parts(self) -> list[Operator]:
        """The operators, in the order in which they were given."""
        return [m for m in self._modules.values() if isinstance(m, Operator)]


class Sum(Several):
    """x ↦ Σ A_i(x), all parts on images of one shape with data of one shape."""

    def __init__(self, *parts: Operator) -> None:
        super().__init__(*parts)
        for part in parts[1:]:
            if part.data_shape != parts[0].data_shape:
                one, two = (f"{p.shape} to {p.data_shape}" for p in (parts[0], part))
                raise ShapeError(f"operators of shapes {one} and {two} have no sum")

    @property
    def support(self) -> Tensor | None:
        """The data that an image can change through any of the parts."""
        seen = None
        for part in self.parts:
            if part.support is None:
                return None
            seen = part.support if seen is None else seen | part.support
        return seen

    def forward(self, x: Image) -> Data:
        return torch.stack([part(x) for part in self.parts]).sum(0)


class LinearSum(Sum, LinearOperator):
    """Σ A_i of linear operators, with (Σ A_i)ᵀ = Σ A_iᵀ."""

    def adjoint(self, y: Data) -> Image:
        return torch.stack([part.adjoint(y) for part in linear(self.parts)]).sum(0)


class Scaled(Operator):
    """x ↦ c A(x)."""

    def __init__(self, factor: float, part: Operator) -> None:
        super().__init__(part.shape)
        self.modality = part.modality
        self.factor, self.part = factor, part

    @property
    def support(self) -> Tensor | None:
        return self.part.support

    def forward(self, x: Image) -> Data:
        return self.factor * self.part(x)


class LinearScaled(Scaled, LinearOperator):
    """c A of a linear operator, with (c A)ᵀ = c Aᵀ."""

    part: LinearOperator

    def adjoint(self, y: Data) -> Image:
        return self.factor * self.part.adjoint(y)


class Adjoint(LinearOperator):
    """y ↦ Aᵀ y as an operator on data; its own adjoint is A.

    Its `support` is None, all of its data, because A does not say which entries of an image it never sees.
    """

    part: LinearOperator

    def __init__(self, part: LinearOperator) -> None:
        super().__init__(part.data_shape)
        self.part = part

    def forward(self, x: Data) -> Image:
        return self.part.adjoint(x)

    def adjoint(self, y: Image) -> Data:
        return self.part(y)


class Stacked(Several):
    """x ↦ (w_1 A_1(x), w_2 A_2(x), …): several measurements of one image, their numbers one after the other, (b, n).

    The weights w_i are 1 unless the parts have noises of different sizes; see `stack`.
    """

    def __init__(self, *parts: Operator, weights: Sequence[float] | None = None) -> None:
        super().__init__(*parts)
        self.weights = tuple(weights) if weights else (1.0,) * len(parts)
        if len(self.weights) != len(parts):
            raise ShapeError(f"{len(self.weights)} weights for {len(parts)} operators")

    @property
    def support(self) -> Tensor | None:
        """That of each part, in the order of the data, (1 or b, n)."""
        known = [part.support for part in self.parts]
        of_some = [s for s in known if s is not None]
        if not of_some:
            return None
        batch = max(len(s) for s in of_some)
        whole = torch.ones(1, dtype=torch.bool, device=of_some[0].device)
        shapes = [(batch, *part.data_shape) for part in self.parts]
        return torch.cat(
            [(whole if s is None else s).expand(shape).flatten(1) for s, shape in zip(known, shapes, strict=True)], 1
        )

    def forward(self, x: Image) -> Data:
        return self.join([part(x) for part in self.parts])

    def join(self, data: Sequence[Tensor]) -> Tensor:
        """The data of the parts, each (b, *its own), as data of the stack, (b, n)."""
        return torch.cat([w * y.flatten(1) for w, y in zip(self.weights, data, strict=True)], 1)

    def split(self, y: Tensor) -> list[Tensor]:
        """Data of the stack, (b, n), as the weighted data of the parts, each in its own shape."""
        shapes = [part.data_shape for part in self.parts]
        pieces = torch.split(y, [math.prod(s) for s in shapes], 1)
        return [piece.reshape(len(y), *s) for piece, s in zip(pieces, shapes, strict=True)]


class LinearStacked(Stacked, LinearOperator):
    """A stack of linear operators: its adjoint is Σ w_i A_iᵀ y_i."""

    def adjoint(self, y: Data) -> Image:
        each = zip(self.weights, linear(self.parts), self.split(y), strict=True)
        return torch.stack([w * part.adjoint(piece) for w, part, piece in each]).sum(0)


def linear(parts: Sequence[Operator]) -> list[LinearOperator]:
    """The parts if all are linear, otherwise an empty list."""
    found = [part for part in parts if isinstance(part, LinearOperator)]
    return found if len(found) == len(parts) else []


def stack(*parts: Operator, sigmas: Sequence[float] | None = None) -> Stacked:
    """Several measurements of one image as one operator, whose data are the numbers of all, (b, n).

    `sigmas` are the standard deviations of the Gaussian noise of each. The numbers of a measurement are then divided by
    its sigma and multiplied by the smallest one, so that the noise of the stack is Gaussian with the smallest sigma.

    Example:

        A = xhat.stack(blur, mask, sigmas=[0.05, 0.01])
        like = xhat.likelihood(A, xhat.Gaussian(0.01), A.join([y_blur, y_mask]))

    Raises ShapeError if the parts take images of different shapes or if there is not one sigma for each, and SpecError
    if a sigma is not a positive number.
    """
    if not parts:
        raise ShapeError("a stack needs at least one operator")
    for part in parts:
        instance("a part of a stack", part, Operator, "an Operator")
    if sigmas is not None:
        if len(sigmas) != len(parts):
            raise ShapeError(f"{len(sigmas)} sigmas for {len(parts)} operators")
        for s in sigmas:
            if not 0 < s < math.inf:
                raise SpecError(f"stack: every sigma must be positive and finite, not {s}")
    weights = None if sigmas is None else [min(sigmas) / s for s in sigmas]
    return (LinearStacked if linear(parts) else Stacked)(*parts, weights=weights)


def add(one: Operator, two: Operator) -> Operator:
    """A + B, linear if both are."""
    return (LinearSum if linear([one, two]) else Sum)(one, two)


def scale(A: Operator, factor: Number) -> Operator:
    """c A, linear if A is."""
    return LinearScaled(float(factor), A) if isinstance(A, LinearOperator) else Scaled(float(factor), A)


def norm(self: LinearOperator, x: Image | None = None, steps: int = 20) -> PerImage:
    """‖A‖, the largest singular value, for each image, (b,), or (1,) for an A that all images share; see
    `squared_norm`.
    """
    return squared_norm(self, x, steps).sqrt()


def squared_norm(A: LinearOperator, x: Image | None = None, steps: int = 20) -> PerImage:
    """‖A‖² for each image, (b,), by `steps` of power iteration on AᵀA from `x` (b, *image).

    Without `x` it starts from one fixed random image, the same for each image that A was built for. The number comes
    from below: after 20 steps it is within a few per cent for most operators.
    """
    if x is None:
        start = torch.randn(1, *A.shape, generator=torch.Generator().manual_seed(0)).to(A.blank(1))
        x = start.expand(max(A.batches(), default=1), *A.shape)
    size = length(x)
    for _ in range(steps):
        x = A.adjoint(A(x / bcast(size.clamp_min(torch.finfo(x.dtype).tiny), x)))
        size = length(x)
    return size


# The base classes get their signs here, above them, so that they need not know what is composed of them.
Operator.__matmul__ = compose  # type: ignore[method-assign]
Operator.__add__ = add  # type: ignore[method-assign]
Operator.__mul__ = scale  # type: ignore[method-assign]
Operator.__rmul__ = scale  # type: ignore[method-assign]
LinearOperator.H = property(Adjoint)  # type: ignore[assignment,method-assign]
LinearOperator.norm = norm  # type: ignore[method-assign]
