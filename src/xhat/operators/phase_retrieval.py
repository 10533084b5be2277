"""Fourier phase retrieval."""

from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ShapeError
from ..ranges import Range
from ..types import Data, Image
from .base import Operator
from .checks import Number, planes


class PhaseRetrieval(Operator):
    """y = |F pad((x + 1)/2)|: amplitudes of the centred orthonormal Fourier transform, channel by channel.

    Each side gets a margin of ⌊oversample/8 · n⌋ zeros: 256 becomes 384 with oversample = 2. The image enters in [0,
    1], so noise on y is in the units of the [0, 1] image.
    """

    name: ClassVar[str] = "phase_retrieval"
    source: ClassVar[str] = "DPS, arXiv 2209.14687"

    def __init__(self, shape: tuple[int, ...], oversample: Annotated[Number, Range(above=0, most=32)] = 2.0) -> None:
        super().__init__(shape)
        planes(shape)
        self.oversample = oversample

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        oversample = options.get("oversample", 2.0)
        assert isinstance(oversample, float | int)
        c, *sides = planes(data_shape)
        shape = [next((n for n in range(1, m + 1) if n + 2 * margin(n, oversample) == m), 0) for m in sides]
        if not all(shape):
            raise ShapeError(f"no image padded with oversample={oversample} has amplitudes of shape {data_shape}")
        return c, *shape

    def forward(self, x: Image) -> Data:
        _, h, w = self.shape
        dy, dx = margin(h, self.oversample), margin(w, self.oversample)
        # The place of the image in the frame changes only the phase. abs has the finite subgradient 0 at 0.
        spectrum = torch.fft.fft2(F.pad((x + 1) / 2, [dx, dx, dy, dy]), norm="ortho")
        y: Tensor = torch.fft.fftshift(spectrum, dim=(-2, -1)).abs()
        return y


def margin(n: int, oversample: Number) -> int:
    """The number of zeros on either side of `n` pixels."""
    return int(oversample / 8 * n)
