"""Manifold preserving guided diffusion."""

from dataclasses import dataclass
from typing import Annotated

import torch

from ..numerics.autodiff import grad
from ..numerics.linalg import norm
from ..ranges import Fraction, NonNegative
from ..transition import ddpm, noise_in, renoise
from .base import Count, Level, Likelihood, Prior, Rng, Solver, State


@dataclass(frozen=True)
class MPGD(Solver[Likelihood]):
    """Manifold preserving guided diffusion (He et al., 2024). arXiv:2311.16424

        x̂₀' = x̂₀ − κ √(1 + ρ_t²) ∇_{x̂₀} ‖y − A(x̂₀)‖

    There is no backward pass through the network. Then ζ = η² (1 − (ρ_s/ρ_t)²) with the network's own noise e. κ is a
    distance in image space; the default is for 3×256×256 images.
    """

    steps: int = 100
    kappa: Annotated[float, NonNegative] = 10.0
    eta: Annotated[float, Fraction] = 0.5

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        x0 = prior(state.x, t)
        slope = grad(lambda x0: norm(like.residual(x0)), x0)
        new = x0 - self.kappa * t.norm / t.alpha * like.evened(slope, torch.zeros(len(x0)).to(x0))
        return State(renoise(state.x, new, t, s, self.eta**2 * ddpm(t, s), rng, old=noise_in(state.x, x0, t)), new)
