"""Decomposed diffusion sampling."""

from dataclasses import dataclass
from typing import Annotated

from ..numerics.linalg import bcast, cg
from ..ranges import Fraction, NonNegative, Steps
from ..transition import noise_in, renoise
from .base import Count, Level, LinearGaussian, Prior, Rng, Solver, State


@dataclass(frozen=True)
class DDS(Solver[LinearGaussian]):
    """Decomposed diffusion sampling (Chung et al., 2024). arXiv:2303.05754

    x̂₀' comes from `cg_steps` steps of conjugate gradient, starting from x̂₀, on (γ AᵀA + I) x = x̂₀ + γ Aᵀ y, or on
    AᵀA x = Aᵀ y if the data are noiseless; then ζ = η² with the network's own noise e.
    """

    needs = LinearGaussian

    steps: int = 50
    gamma: Annotated[float, NonNegative] = 1.0
    cg_steps: Annotated[int, Steps] = 5
    eta: Annotated[float, Fraction] = 0.85

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> State:
        A, x0 = like.A, prior(state.x, t)
        w = bcast((like.var > 0) / self.gamma, x0)
        x = cg(lambda v: A.adjoint(A(v)) + w * v, A.adjoint(like.y) + w * x0, self.cg_steps, x=x0)
        return State(renoise(state.x, x, t, s, self.eta**2, rng, old=noise_in(state.x, x0, t)), x)
