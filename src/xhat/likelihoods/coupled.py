"""Measurements of videos and volumes whose frames or slices are coupled along the third axis."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import MismatchError
from ..noise import Gaussian
from ..numerics.linalg import bcast
from ..operators.coupled import Chain, Coupled, coupled, smoothed
from ..types import Image, PerImage
from .base import Likelihood, LinearGaussian, Restated


@dataclass(frozen=True)
class CoupledLikelihood(Restated):
    """A measurement `pixel` and what is known of neighbouring frames; residuals, counts and noise are the former's."""

    A: Coupled
    noise: Gaussian
    pixel: LinearGaussian

    @property
    def level_of_images(self) -> bool:
        return self.pixel.level_of_images

    @property
    def gain(self) -> PerImage:
        return 1 + 4 * self.A.strength**2  # ‖D‖² < 4 where D x = x_{f+1} − x_f, and about that along motion

    def evened(self, step: Image, rho: PerImage) -> Image:
        """(1 + ρ) ((1 + ρ) I + c² DᵀD)⁻¹ step: shorter steps where the coupling makes it steep, and nowhere else."""
        return smoothed(step, self.A.chain, self.A.strength / (1 + rho.to(self.A.strength)).sqrt())

    def misfit(self, x: Image) -> tuple[PerImage, PerImage]:
        return self.pixel.misfit(x)


@dataclass(frozen=True)
class CoupledGaussian(CoupledLikelihood, LinearGaussian):
    """y = A x + σ n, A linear, times a Gauss-Markov chain of frames: to a solver it is one more measurement, c D x = 0.

    Noiseless data count as rounded to 8 bits.
    """


@dataclass(frozen=True)
class CoupledVariation(CoupledLikelihood, LinearGaussian):
    """y = A x + σ n, A linear, times p(x) ∝ exp(−√2 |D x|₁/σ_c): total variation along the third axis.

    Only `prox` knows the variation, so it is for solvers that meet the data by nothing else.
    """

    only_prox: ClassVar[bool] = True

    sigma_c: float
    rounds: int = 12  # of the alternating method: within 0.015 σ_c of the minimum on random images, ρ from 0.01 to 10

    def prox(self, x: Image, rho: Tensor | float, close: float = 0.05) -> Image:
        """argmin ‖y − A x'‖² + ρ ‖x' − x‖² + 2√2 (σ_y²/σ_c) |D x'|₁, by alternating directions (Boyd et al., 2011).

        The quadratic step has the chain's weight μ = (1 + ρ)/2, in the middle of AᵀA + ρ I, with over-relaxation 1.7;
        it is solved exactly where that of `CoupledGaussian` is (as in DiffusionMBIR, Chung et al., 2023,
        arXiv:2211.10655).
        """
        mu = (1 + torch.as_tensor(rho, dtype=x.dtype, device=x.device).expand(len(x))) / 2
        A, D = coupled(self.pixel.A, self.A.chain, mu.sqrt()), self.A.chain
        least = bcast(2**0.5 * self.var / (self.sigma_c * mu), x)
        z = D(x)
        u = torch.zeros_like(z)
        for _ in range(self.rounds):
            new = x + A.ridge(A.join(self.pixel.y, z - u) - A(x), rho)
            d = 1.7 * D(new) - 0.7 * z + u
            z = d.sign() * (d.abs() - least).clamp_min(0)
            u = d - z
        return new


def couple(like: Likelihood, chain: Chain, sigma: float, variation: bool = False) -> CoupledLikelihood:
    """`like`, a measurement of videos or volumes, and that neighbouring frames differ by about `sigma` in [−1, 1].

    With `variation` the differences have a Laplace distribution of that standard deviation, otherwise a normal one.
    Raises MismatchError unless the measurement is linear with Gaussian noise or none.
    """
    if not isinstance(like, LinearGaussian):
        raise MismatchError(
            f"couple joins frames of a linear measurement with Gaussian noise or none, not of {type(like.A).__name__} "
            f"with {type(like.noise).__name__} noise; leave it out"
        )
    std = like.noise.scale(like.y)
    A = coupled(like.A, chain, (std / sigma).to(like.y.real.dtype))
    y = A.join(like.y, torch.zeros_like(chain(like.y.new_zeros(len(like.y), *like.A.shape))))
    noise = Gaussian(tuple(std.tolist()))
    return CoupledVariation(A, noise, y, like, sigma) if variation else CoupledGaussian(A, noise, y, like)
