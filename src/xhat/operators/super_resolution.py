"""Super-resolution."""

import math
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ShapeError
from ..numerics.linalg import bcast
from ..ranges import Range
from ..types import Data, Image
from .checks import one_of, planes
from .separable import Separable


class SuperResolution(Separable):
    """The image `factor` times smaller: `kind` bicubic (antialiased, as MATLAB's imresize) or average (block mean).

    Raises ShapeError if average is asked for sides that `factor` does not divide.
    """

    name: ClassVar[str] = "super_resolution"
    source: ClassVar[str] = "DAPS, arXiv 2407.01521; bicubic: Keys, 1981"

    def __init__(
        self, shape: tuple[int, ...], factor: Annotated[int, Range(1, 1_000)] = 4, kind: str = "bicubic"
    ) -> None:
        _, h, w = planes(shape)
        one_of("kind", kind, ("bicubic", "average"))
        if kind == "average" and (h % factor or w % factor):
            raise ShapeError(
                f"block means need sides divisible by {factor}: crop the image from {h}x{w} "
                f"to {h - h % factor}x{w - w % factor}, or take kind=bicubic"
            )
        shrink = bicubic if kind == "bicubic" else average
        super().__init__(shape, shrink(h, factor), shrink(w, factor))
        self.factor, self.kind = factor, kind

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        c, h, w = planes(data_shape)
        factor = options.get("factor", 4)
        assert isinstance(factor, int)
        return c, h * factor, w * factor

    def forward(self, x: Image) -> Data:
        return F.avg_pool2d(x, self.factor) if self.kind == "average" else super().forward(x)

    def pinv(self, y: Data) -> Image:
        if self.kind != "average":
            return super().pinv(y)
        return y.repeat_interleave(self.factor, -2).repeat_interleave(self.factor, -1)

    def normal_solve(self, b: Image, rho: Tensor | float) -> Image:
        if self.kind != "average":
            return super().normal_solve(b, rho)
        # A Aᵀ = I/factor², so AᵀA has two eigenspaces: images of block means, and what is left without them.
        mean = self.pinv(self(b))
        return mean / (self.factor**-2 + bcast(rho, b)) + (b - mean) / bcast(rho, b)


def average(n: int, factor: int) -> Tensor:
    """The (n/factor, n) matrix of block means."""
    return torch.eye(n // factor, dtype=torch.float64).repeat_interleave(factor, 1) / factor


def bicubic(n: int, factor: int) -> Tensor:
    """The (⌈n/factor⌉, n) matrix of antialiased bicubic interpolation, mirrored at the borders."""
    m = math.ceil(n / factor)
    # Centres of the output pixels in input pixels. If factor does not divide n, both sides share the overhang.
    centre = (torch.arange(m, dtype=torch.float64) + 0.5 - (m - n / factor) / 2) * factor - 0.5
    tap = centre.floor().long()[:, None] + torch.arange(-2 * factor - 1, 2 * factor + 2)
    weight = cubic((centre[:, None] - tap) / factor)
    weight = weight / weight.sum(1, keepdim=True)
    tap = tap % (2 * n)
    return torch.zeros(m, n, dtype=torch.float64).scatter_add_(1, torch.minimum(tap, 2 * n - 1 - tap), weight)


def cubic(x: Tensor) -> Tensor:
    """Keys' cubic kernel with a = −1/2 at the distances `x`, of any shape, in pixels of the smaller image."""
    x = x.abs()
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))
