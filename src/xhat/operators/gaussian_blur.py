"""Gaussian blur."""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ..ranges import Kernel, Width
from .checks import Number, one_of, planes
from .kernels import fits, gaussian_taps
from .separable import Separable


class GaussianBlur(Separable):
    """Gaussian blur: y = k ⋆ x, std in pixels, the kernel cut at 4 std and at `size`, sum 1.

    `boundary` is reflect or circular. Raises SpecError or ShapeError if the kernel is not positive or too large.
    """

    name: ClassVar[str] = "gaussian_blur"
    source: ClassVar[str] = "DPS, arXiv 2209.14687"

    def __init__(
        self,
        shape: tuple[int, ...],
        std: Annotated[Number, Width] = 3.0,
        size: Annotated[int, Kernel] = 61,
        boundary: str = "reflect",
    ) -> None:
        _, h, w = planes(shape)
        one_of("boundary", boundary, ("reflect", "circular"))
        taps = gaussian_taps(std, size)
        fits(torch.outer(taps, taps), h, w, room=boundary == "reflect")
        super().__init__(shape, convolution(taps, h, boundary), convolution(taps, w, boundary))


def convolution(taps: Tensor, n: int, boundary: str) -> Tensor:
    """The (n, n) matrix of a 1-D correlation with `taps`, whose number is odd; `boundary` reflect or circular."""
    reach = len(taps) // 2
    at = torch.arange(n)[:, None] + torch.arange(-reach, reach + 1)
    # Reflection that does not repeat the edge has period 2n − 2.
    source = at % n if boundary == "circular" else (n - 1 - (at.abs() - (n - 1)).abs())
    return torch.zeros(n, n, dtype=taps.dtype).scatter_add_(1, source, taps.expand(n, -1))
