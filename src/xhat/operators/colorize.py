"""Colour from grey."""

from typing import ClassVar

import torch
from torch import Tensor

from ..errors import DataError, ShapeError
from ..files.measurement import Measurement
from ..numerics.build_dtype import built
from ..types import Data, Image
from .base import SpectralOperator
from .checks import one_of, planes

WEIGHTS = {"mean": (1 / 3, 1 / 3, 1 / 3), "luma": (0.299, 0.587, 0.114)}


class Colorize(SpectralOperator):
    """y = w · x, one grey channel from three: `kind` mean (w = 1/3 each) or luma (ITU-R BT.601).

    A = ‖w‖ u vᵀ with v = w/‖w‖; V is v completed to an orthogonal basis of the colours. Raises ShapeError for images
    without three channels.
    """

    source: ClassVar[str] = "DDRM, arXiv 2201.11793"

    Q: Tensor
    s: Tensor

    @classmethod
    def understood(cls, found: Measurement) -> Measurement:
        """A grey picture, as it is. Raises DataError for one in colour."""
        if found.y.ndim == 3 and len(found.y) == 3:
            raise DataError(f"{found.origin}: is in colour already; colorize gives colours to a grey picture (1, h, w)")
        return found

    def __init__(self, shape: tuple[int, ...], kind: str = "mean") -> None:
        super().__init__(shape)
        if planes(shape)[0] != 3:
            raise ShapeError(f"colorize takes images of 3 channels, not {shape[0]}")
        w = torch.tensor(WEIGHTS[one_of("kind", kind, tuple(WEIGHTS))], dtype=torch.float64)
        Q = torch.linalg.qr(torch.cat([w[:, None], torch.eye(3, dtype=torch.float64)[:, :2]], 1))[0]
        Q = Q * torch.sign(Q[:, :1].T @ w)
        self.register_buffer("Q", built(Q))
        self.register_buffer("s", (w.norm() * torch.tensor([1.0, 0, 0]))[None, :, None, None].to(self.Q.dtype))

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        return 3, *planes(data_shape)[1:]

    def Vt(self, x: Image) -> Tensor:
        return torch.einsum("cz,bchw->bzhw", self.Q, x)

    def V(self, z: Tensor) -> Image:
        return torch.einsum("cz,bzhw->bchw", self.Q, z)

    def Ut(self, y: Data) -> Tensor:
        return torch.cat([y, torch.zeros_like(y), torch.zeros_like(y)], 1)

    def U(self, z: Tensor) -> Data:
        return z[:, :1]
