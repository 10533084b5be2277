"""Denoising."""

import torch
from torch import Tensor

from ..types import Data, Image
from .base import SpectralOperator


class Denoise(SpectralOperator):
    """y = x: the measurement differs from the image by its noise only."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape)
        self.register_buffer("s", torch.ones(1, *[1] * len(shape)))

    def Vt(self, x: Image) -> Tensor:
        return x

    def V(self, z: Tensor) -> Image:
        return z

    def Ut(self, y: Data) -> Tensor:
        return y

    def U(self, z: Tensor) -> Data:
        return z
