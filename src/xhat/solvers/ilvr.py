"""Iterative latent variable refinement."""

from dataclasses import dataclass
from typing import Annotated

from ..ranges import NonNegative
from ..transition import ancestral
from .base import Count, Level, NoiselessLinear, Prior, Rng, Solver, State


@dataclass(frozen=True)
class ILVR(Solver[NoiselessLinear]):
    """Iterative latent variable refinement, Algorithm 1 (Choi et al., 2021), for noiseless data. arXiv:2108.02938

        x_s = x' + Φ(r_s) − Φ(x'),   x' = DDPM(x_t),   Φ = A⁺ A,

    where r_s = α_s r + σ_s ε for a reference r with A r = y. The paper's A is a low-pass down-sampling. The
    refinement ends at ρ = `until`; 0 refines to the end. The reference is noised to level s, whereas the code takes t.
    """

    needs = NoiselessLinear

    steps: int = 100
    until: Annotated[float, NonNegative] = 0.0

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: NoiselessLinear, rng: Rng) -> State:
        x0 = prior(state.x, t)
        x = ancestral(state.x, x0, t, s, rng)
        return State(like.overwrite(x, s, rng) if t.ratio > self.until else x, x0)
