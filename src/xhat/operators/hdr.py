"""High dynamic range."""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ..numerics.linalg import bcast
from ..numerics.truncated import truncated
from ..ranges import Range
from ..types import Data, Image, PerImage
from .base import CellOperator
from .checks import Number


class HDR(CellOperator):
    """y = clip(scale · x, −1, 1): high dynamic range from an image clipped in shadows and highlights."""

    source: ClassVar[str] = "RED-diff, arXiv 2305.04391; DAPS, arXiv 2407.01521"

    def __init__(self, shape: tuple[int, ...], scale: Annotated[Number, Range(above=0, most=1e6)] = 2.0) -> None:
        super().__init__(shape)
        self.scale = scale

    def pinv(self, y: Data) -> Image:
        return y / self.scale

    def forward(self, x: Image) -> Data:
        return (self.scale * x).clamp(-1, 1)

    def posterior_mean(self, x: Image, var: PerImage, cells: Tensor, std: PerImage) -> Image:
        """Exact for images in [−1, 1]: each pixel is in the shadows, between, or in the highlights.

        A pixel that was clipped is anywhere from the clipping level to black or white. With noise y does not tell for
        sure which ones were, and the result is the mean over the three, each with its probability.
        """
        r, s, edge = bcast(var, x).sqrt().expand_as(x), self.scale, min(1.0, 1 / self.scale)
        black, low, high, white = (torch.full_like(x, v) for v in (-1.0, -edge, edge, 1.0))
        dark, _, dark_mass = truncated(x, r, black, low)
        light, _, light_mass = truncated(x, r, high, white)
        if not (std > 0).any():
            return torch.where(cells >= 1, light, torch.where(cells <= -1, dark, cells / s))
        sigma = bcast(std, x)
        total = sigma**2 + (s * r) ** 2
        linear = x + s * r**2 / total * (cells - s * x)
        between, _, mass = truncated(linear, sigma * r / total.sqrt(), low, high)
        weights = [
            dark_mass + log_density(cells + 1, sigma**2),
            mass + log_density(cells - s * x, total),
            light_mass + log_density(cells - 1, sigma**2),
        ]
        share = torch.stack(weights).softmax(0)
        return share[0] * dark + share[1] * between + share[2] * light

    def project(self, x: Image, cells: Tensor) -> Image:
        """The nearest image that A maps to `y`."""
        inside = cells / self.scale
        return torch.where(cells >= 1, x.clamp_min(inside), torch.where(cells <= -1, x.clamp_max(inside), inside))


def log_density(x: Tensor, var: Tensor) -> Tensor:
    """log N(`x`; 0, `var`) up to a constant."""
    return -(x**2) / (2 * var) - var.log() / 2
