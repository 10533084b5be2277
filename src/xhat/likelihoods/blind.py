"""The likelihood of a blur whose kernel is unknown."""

from dataclasses import dataclass

from torch import Tensor

from ..noise import Gaussian, Noiseless
from ..operators.blind_blur import BlindBlur
from .base import Likelihood, SpectralGaussian


@dataclass(frozen=True)
class BlindGaussian(Likelihood):
    """y = k ⋆ x + σ n, σ ≥ 0, with an unknown kernel k; as a plain likelihood it has the operator's guess."""

    A: BlindBlur
    noise: Gaussian | Noiseless

    def known(self, kernel: Tensor) -> SpectralGaussian:
        """The likelihood if the kernels were `kernel`, (b, size, size)."""
        return SpectralGaussian(self.A.known(kernel), self.noise, self.y)
