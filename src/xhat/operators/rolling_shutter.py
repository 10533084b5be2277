"""A camera that reads its rows one after the other."""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ..errors import ShapeError
from ..numerics.build_dtype import built
from ..numerics.linalg import bcast
from ..numerics.tridiagonal import tridiagonal
from ..ranges import Range
from ..types import Data, Image
from .base import DampedOperator
from .checks import Number
from .lifted import plane_shape
from .modality import VIDEO, fitting
from .sections import Section, Sectioned


class RollingShutter(DampedOperator, Sectioned):
    """Row r of frame f is read at the time f + `readout` r/h, between two frames of the video (c, t, h, w):

        y_f(r) = (1 − w_r) x_f(r) + w_r x_{f+1}(r),   w_r = readout r/h

    After the last frame the picture stands still, unless `open`: then the last one is not measured, and there are t − 1
    frames of data. AᵀA + ρ I is tridiagonal along the frames of each row, and is solved exactly.
    """

    name: ClassVar[str] = "rolling_shutter"
    source: ClassVar[str] = "Baker et al., Removing rolling shutter wobble, CVPR 2010"
    example: ClassVar[tuple[int, ...]] = (3, 4, 64, 64)

    w: Tensor

    def __init__(
        self, shape: tuple[int, ...], readout: Annotated[Number, Range(above=0, most=1)] = 0.9, open: bool = False
    ) -> None:
        super().__init__(shape)
        _, h, _ = plane_shape(shape)
        if open and shape[1] < 2:
            raise ShapeError("rolling_shutter: one frame does not tell what lies between it and the next")
        self.readout, self.open = readout, open
        self.modality = fitting(VIDEO, self.shape)
        self.register_buffer("w", built(readout * torch.arange(h, dtype=torch.float64) / h)[:, None])

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        c, h, w = plane_shape(data_shape)
        return c, data_shape[1] + bool(options.get("open", False)), h, w

    def forward(self, x: Image) -> Data:
        y = (1 - self.w) * x[:, :, :-1] + self.w * x[:, :, 1:]
        return y if self.open else torch.cat([y, x[:, :, -1:]], 2)

    def adjoint(self, y: Data) -> Image:
        between, last = (y, torch.zeros_like(y[:, :, :1])) if self.open else (y[:, :, :-1], y[:, :, -1:])
        nothing = torch.zeros_like(last)
        return torch.cat([(1 - self.w) * between, last], 2) + torch.cat([nothing, self.w * between], 2)

    def normal_solve(self, b: Image, rho: Tensor | float) -> Image:
        t, nothing = self.shape[1], torch.zeros_like(self.w)[None]
        early, late = (v.expand(t - 1, *self.w.shape) for v in ((1 - self.w) ** 2, self.w**2))
        last = nothing if self.open else torch.ones_like(nothing)
        diagonal = torch.cat([early, last]) + torch.cat([nothing, late])
        off = ((1 - self.w) * self.w).expand(t - 1, *self.w.shape)
        b = b.transpose(1, 2)
        return tridiagonal(diagonal[None, :, None] + bcast(rho, b), off[None, :, None], b).transpose(1, 2).contiguous()

    def ridge(self, y: Data, rho: Tensor | float, close: Tensor | float = 0.0) -> Image:
        return self.normal_solve(self.adjoint(y), rho)

    def pinv(self, y: Data) -> Image:
        return self.normal_solve(self.adjoint(y), self.floor**2)

    def precondition(self, r: Image, rho: Tensor | float) -> Image:
        return self.normal_solve(r, rho)

    def section(self, begin: int, end: int) -> Section:
        last = end == self.shape[1]
        A = RollingShutter((self.shape[0], end - begin, *self.shape[2:]), self.readout, self.open or not last)
        return Section(A.to(self.w), 2, begin, A.data_shape[1])
