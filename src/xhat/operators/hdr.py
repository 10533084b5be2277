"""High dynamic range."""

from typing import ClassVar

from ..types import Data, Image
from .base import PinvOperator
from .checks import Number, positive


class HDR(PinvOperator):
    """y = clip(scale · x, −1, 1): high dynamic range from an image clipped in shadows and highlights."""

    source: ClassVar[str] = "RED-diff, arXiv 2305.04391; DAPS, arXiv 2407.01521"

    def __init__(self, shape: tuple[int, ...], scale: Number = 2.0) -> None:
        super().__init__(shape)
        positive(scale=scale)
        self.scale = scale

    def pinv(self, y: Data) -> Image:
        return y / self.scale

    def forward(self, x: Image) -> Data:
        return (self.scale * x).clamp(-1, 1)
