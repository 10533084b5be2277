"""Manifold constrained gradient."""

from dataclasses import dataclass, replace
from typing import Annotated

from ..ranges import NonNegative
from .base import Count, Level, NoiselessLinear, Prior, Rng, Solver, State
from .dps import DPS


@dataclass(frozen=True)
class MCG(Solver[NoiselessLinear]):
    """Manifold constrained gradient, Algorithm 1 (Chung et al., 2022), for noiseless data. arXiv:2206.00941

        x_s = (1 − m) ⊙ x' + m ⊙ (α_s y + σ_s ε),   x' = DDPM(x_t) − c n_t n_s ∇_{x_t} ‖y − A x̂₀‖

    This is a DPS step followed by RePaint's overwriting, which is x' + A⁺(α_s y + σ_s A ε − A x') for any linear A.
    """

    needs = NoiselessLinear

    steps: int = 1000
    c: Annotated[float, NonNegative] = 1.0

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: NoiselessLinear, rng: Rng) -> State:
        guided = DPS(c=self.c).step(state, k, t, s, prior, like, rng)
        return replace(guided, x=like.overwrite(guided.x, s, rng))
