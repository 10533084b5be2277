"""Stochastic solution of noisy inverse problems."""

from dataclasses import dataclass
from typing import Annotated

import torch

from ..numerics.linalg import bcast
from ..ranges import Positive, Steps
from .base import Count, Level, Prior, Rng, Solver, SpectralGaussian, State


@dataclass(frozen=True)
class SNIPS(Solver[SpectralGaussian]):
    """Stochastic solution of noisy inverse problems, Algorithm 1 (Kawar et al., 2021). arXiv:2105.14951

    Annealed Langevin dynamics x̄ ← x̄ + a d + √(2a) z in the coordinates x̄ = Vᵀ x_t/α_t, ȳ = Uᵀ y, with τ = lr:

        s_i ρ > σ_y        d = s_i (ȳ − s_i x̄)/(s_i² ρ² − σ_y²)              a = τ (ρ² − σ_y²/s_i²)
        0 < s_i ρ ≤ σ_y    d = s_i (ȳ − s_i x̄)/(σ_y² − s_i² ρ²) + score      a = τ ρ² (1 − s_i² ρ²/σ_y²)
        s_i = 0            d = score                                          a = τ ρ²

    Singular values below 10⁻³ count as 0. The last level ends with x̂₀ in place of a noisy x.
    """

    needs = SpectralGaussian

    steps: int = 500
    inner_steps: Annotated[int, Steps] = 5
    lr: Annotated[float, Positive] = 0.033

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: SpectralGaussian, rng: Rng) -> State:
        A, u, r = like.A, state.x / t.alpha, t.ratio
        ybar, var = A.Ut(like.y), bcast(like.var, A.Vt(u))
        sv = torch.where(A.s < 1e-3, 0.0, A.s)
        gap, top = (sv * r) ** 2 - var, torch.maximum((sv * r) ** 2, var)
        a = self.lr * r**2 * torch.where(top > 0, gap.abs() / top, 1.0)
        pull = sv / torch.where(gap == 0, torch.inf, gap.abs())  # where the gap closes the coordinate stands still
        for _ in range(self.inner_steps):
            z, score = A.Vt(u), A.Vt(prior(t.alpha * u, t) - u) / r**2
            d = pull * (ybar - sv * z) + torch.where(gap > 0, 0.0, score)
            u = A.V(z + a * d + (2 * a) ** 0.5 * A.Vt(rng.randn_like(u)))
        x0 = prior(t.alpha * u, t) if s.sigma == 0 else u
        return State(s.alpha * x0, x0)
