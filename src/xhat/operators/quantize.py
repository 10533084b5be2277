"""Quantisation to a few grey levels."""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ..numerics.linalg import bcast
from ..numerics.truncated import truncated
from ..ranges import Range
from ..types import Data, Image, PerImage
from .base import CellOperator, ProxyOperator


class Quantize(ProxyOperator, CellOperator):
    """y = ⌊x (2ᵇ − 1) + ½⌋/(2ᵇ − 1) on the image in [0, 1], b = `bits`; values outside get the end levels."""

    source: ClassVar[str] = "RED-diff, arXiv 2305.04391"
    margin: ClassVar[float] = 1e-3  # in steps; keeps a projection off the edge, which belongs to one cell only

    def __init__(self, shape: tuple[int, ...], bits: Annotated[int, Range(1, 16)] = 2) -> None:
        super().__init__(shape)
        self.steps = 2**bits - 1

    def level(self, x: Image) -> Image:
        """The number of the level of each pixel, 0 to 2ᵇ − 1."""
        level: Tensor = ((x + 1) / 2 * self.steps + 0.5).floor().clamp(0, self.steps)
        return level

    def code(self, x: Image) -> Data:
        y: Tensor = self.level(x) / self.steps * 2 - 1
        return y

    def project(self, x: Image, y: Data) -> Image:
        """The image nearest to `x` that A maps to `y`, or to the level nearest to `y` if it is noisy. The end cells are
        unbounded.
        """
        level = self.level(y)
        reach = 0.5 - self.margin
        low, high = ((level + side * reach) / self.steps * 2 - 1 for side in (-1, 1))
        return torch.where(self.level(x) == level, x, x.clamp(low, high))

    def posterior_mean(self, x: Image, var: PerImage, cells: Tensor, std: PerImage) -> Image:
        """Exact without noise. With noise y is taken as a measurement of x with the variance Δ²/12 of rounding on top.

        The end cells end at black and white here.
        """
        v, step = bcast(var, x), 2 / self.steps
        if (std > 0).any():
            pulled: Tensor = x + (cells - x) * v / (v + bcast(std, x) ** 2 + step**2 / 12)
            return pulled
        low = (cells - step / 2).clamp_min(-1)
        return truncated(x, v.sqrt().expand_as(x), low, (cells + step / 2).clamp_max(1))[0]
