from dataclasses import dataclass

from ..transition import noise_in, renoise
from .base import Level, LinearGaussian, Prior, Rng, Solver, State


@dataclass(frozen=True)
class DDNM(Solver[LinearGaussian]):
    """Null-space projection, Algorithm 1 (Wang et al., 2023), for noiseless data. arXiv:2212.00490

    x̂₀' = x̂₀ + A⁺ (y − A x̂₀), then ζ = η² with the network's own noise e.
    """

    needs = LinearGaussian

    steps: int = 100
    eta: float = 0.85

    def step(self, state: State, t: Level, s: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> State:
        x0 = prior(state.x, t)
        projected = like.prox(x0, 0.0)
        return State(renoise(state.x, projected, t, s, self.eta**2, rng, old=noise_in(state.x, x0, t)), projected)
