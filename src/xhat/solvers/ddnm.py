"""Denoising diffusion null-space model."""

from dataclasses import dataclass
from typing import Annotated

from ..noise import Gaussian
from ..ranges import Fraction
from ..transition import noise_in, renoise
from .base import Count, Level, PinvGaussian, Prior, Rng, Solver, State


@dataclass(frozen=True)
class DDNM(Solver[PinvGaussian]):
    """Null-space projection, Algorithm 1 (Wang et al., 2023). arXiv:2212.00490

        x̂₀' = x̂₀ + A⁺(y) − A⁺(A(x̂₀)),   then ζ = η² with the network's own noise e

    That is for noiseless data: noise would be divided by the singular values of A. With noise the projection is damped,
    for linear A x̂₀' = x̂₀ + Aᵀ (A Aᵀ + σ_y²/r_t² I)⁻¹ (y − A x̂₀), r_t² = ρ²/(1 + ρ²), which is ours. `ddnm+` is the
    authors' own way with noise, for an A with a cheap SVD.
    For JPEG, where A⁺ is the identity, this is the rule of DDRM-JPEG (Kawar et al., 2022, arXiv:2209.11888).
    """

    needs = PinvGaussian

    steps: int = 100
    eta: Annotated[float, Fraction] = 0.85

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: PinvGaussian, rng: Rng) -> State:
        x0 = prior(state.x, t)
        r2 = t.ratio**2 / (1 + t.ratio**2)
        projected = like.guided(x0, like.var / r2 if isinstance(like.noise, Gaussian) else 0.0)
        return State(renoise(state.x, projected, t, s, self.eta**2, rng, old=noise_in(state.x, x0, t)), projected)
