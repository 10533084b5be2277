"""Diffusion model posterior sampling."""

from dataclasses import dataclass
from typing import Annotated

from ..ranges import NonNegative
from ..transition import ddpm
from .base import Estimator, Image, Level, LinearGaussian, Prior, Rng


@dataclass(frozen=True)
class DMPS(Estimator[LinearGaussian]):
    """Diffusion model posterior sampling, Algorithm 1 (Meng & Kabashima, 2022). arXiv:2211.12343

        x̂₀ = E[x₀|x_t] + λ ρ_t² Aᵀ (σ_y² I + ρ_t² A Aᵀ)⁻¹ (y − A x_t/α_t)

    The second term is the likelihood score under a flat prior. Then DDPM. Guidance and denoiser are taken at the same
    x_t; the official code takes the guidance at x_s.
    """

    needs = LinearGaussian

    steps: int = 1000
    lam: Annotated[float, NonNegative] = 1.75

    def estimate(self, x: Image, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> Image:
        u = x / t.alpha
        return prior(x, t) + self.lam * (like.prox(u, like.var / t.ratio**2) - u)

    def fraction(self, t: Level, s: Level) -> float:
        return ddpm(t, s)
