"""The likelihood of data that were rounded or clipped: they say in which cell something of the image lies."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from ..errors import MismatchError
from ..noise import Gaussian, Noiseless
from ..operators.base import CellOperator
from ..types import Image, PerImage
from .base import PinvGaussian


@dataclass(frozen=True)
class CellGaussian(PinvGaussian):
    """y = A(x) + σ n, σ ≥ 0, where A rounds or clips numbers that depend linearly on x: JPEG, grey levels, clipping."""

    A: CellOperator
    noise: Gaussian | Noiseless

    @property
    def var(self) -> PerImage:
        """σ_y² per image; without noise the variance of rounding to 8 bits, so that `var`/ρ is a variance of x.

        The width of the cells is not in it: that is the operator's.
        """
        return self.noise.scale(self.y) ** 2

    def noisy(self, x: Image) -> PerImage:
        """1: where in its cell a number lies is noise, of which the residual says nothing."""
        return self.explained.new_ones(len(self.y))

    @cached_property
    def cells(self) -> Tensor:
        """The cells that y names, in the operator's terms."""
        return self.A.cells(self.y, bool((self.noise.std(self.y) > 0).any()))

    def prox(self, x: Image, rho: Tensor | float) -> Image:
        """The mean of x' ~ N(x, r² I) given y, r² = `var`/ρ; ρ ≥ 0 a number or one per image.

        While r is wide it is the least-squares fit to the middles of the cells, each with the variance of a uniform
        distribution, Δ²/12; while r is narrow it is x, moved into the cells. Without noise the result is in the cells,
        A(x') = y up to the rounding of the code; for ρ = 0 it is the projection onto them.
        """
        std = self.noise.std(self.y)
        exact = not (std > 0).any()
        if isinstance(rho, Tensor) and not (rho > 0).all():
            if (rho > 0).any():
                raise MismatchError("a batch mixes noiseless and noisy measurements")
            rho = 0.0
        if isinstance(rho, Tensor) or rho > 0:
            x = self.A.posterior_mean(x, self.var / rho, self.cells, std)
        return self.A.project(x, self.cells) if exact else x
