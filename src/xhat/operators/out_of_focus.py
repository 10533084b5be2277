"""Blur of a lens that is out of focus."""

import math
from typing import Annotated

import torch
from torch import Tensor

from ..ranges import Width
from ..registry import builds
from .base import LinearOperator
from .checks import Number
from .kernel_blur import correlation

FINE = 16  # points along a side of a pixel on which the edge of the disc is drawn


@builds(LinearOperator, source="Pentland, 1987, doi:10.1109/TPAMI.1987.4767940", example=(3, 64, 64))
def defocus(
    shape: tuple[int, ...], radius: Annotated[Number, Width] = 3.0, boundary: str = "reflect"
) -> LinearOperator:
    """Out of focus: y = k ⋆ x, where every point becomes an even disc of `radius` pixels, with sum 1.

    That is what an open, round aperture does. `boundary` is reflect or circular. Raises SpecError or ShapeError if
    the disc is not positive or too large.
    """
    return correlation(shape, disc(radius)[None], boundary)


def disc(radius: Number) -> Tensor:
    """The share of a disc of `radius` pixels that falls into each pixel, float64, (side, side) with an odd side."""
    reach = math.ceil(radius - 0.5) if radius > 0.5 else 0
    at = (torch.arange((2 * reach + 1) * FINE, dtype=torch.float64) + 0.5) / FINE - 0.5 - reach
    inside = (at[:, None] ** 2 + at**2 <= radius**2).double()
    share = inside.reshape(2 * reach + 1, FINE, 2 * reach + 1, FINE).mean((1, 3))
    return share / share.sum() if float(share.sum()) > 0 else torch.ones(1, 1, dtype=torch.float64)
