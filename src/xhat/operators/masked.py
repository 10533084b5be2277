"""Images of which some numbers are seen as they are, and the others not at all."""

from torch import Tensor

from ..types import Data, Image
from .base import SpectralOperator


class Masked(SpectralOperator):
    """y = m ⊙ x with a mask m of 0 and 1, which is `s`: images and spectral coordinates are the same."""

    s: Tensor

    @property
    def support(self) -> Tensor:
        return self.s > 0

    def Vt(self, x: Image) -> Tensor:
        return x

    def V(self, z: Tensor) -> Image:
        return z

    def Ut(self, y: Data) -> Tensor:
        return self.s * y

    def U(self, z: Tensor) -> Data:
        return self.s * z
