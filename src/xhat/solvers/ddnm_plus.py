"""DDNM for noisy data."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from ..ranges import Fraction
from ..transition import noise_in
from .base import Count, Level, Prior, Rng, Solver, SpectralGaussian, State


@dataclass(frozen=True)
class DDNMPlus(Solver[SpectralGaussian]):
    """DDNM+ for noisy data, Algorithm 2 and appendix I (Wang et al., 2023). arXiv:2212.00490

        x̂₀' = x̂₀ − V Λ Vᵀ A⁺ (A x̂₀ − y),   λ_i = 1 if ρ_s ≥ σ_y/s_i, otherwise s_i ρ_s √(1−η²)/σ_y

    Noise is added in Vᵀ coordinates, as much as brings the total to ρ_s. Equals DDRM with η_b = 1.
    """

    name: ClassVar[str] = "ddnm+"
    needs = SpectralGaussian

    steps: int = 100
    eta: Annotated[float, Fraction] = 0.85

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: SpectralGaussian, rng: Rng) -> State:
        A, old, (ybar, sd) = like.A, math.sqrt(1 - self.eta**2), like.ybar
        x0 = prior(state.x, t)
        m, e = A.Vt(x0), A.Vt(noise_in(state.x, x0, t))
        z = A.Vt(rng.randn_like(x0))  # drawn as an image: the signs of V, free in any decomposition, do not matter
        clear = s.ratio >= sd
        lam = torch.where(clear, 1.0, s.ratio * old / torch.where(sd > 0, sd, 1.0))
        u = m - lam * (A.s > 0) * (m - ybar)  # Vᵀ A⁺ (A x̂₀ − y)
        fresh = torch.where(clear, (s.ratio**2 - sd**2).clamp_min(0).sqrt(), self.eta * s.ratio)
        unseen = s.ratio * (self.eta * z + old * e)
        u = u + torch.where(A.s == 0, unseen, fresh * z)
        return State(s.alpha * A.V(u), x0)
