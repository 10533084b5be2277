"""Annealed Langevin dynamics."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..numerics.linalg import bcast
from ..ranges import NonNegative, Positive, Steps
from .base import Count, Level, LinearGaussian, Prior, Rng, Solver, State


@dataclass(frozen=True)
class ScoreALD(Solver[LinearGaussian]):
    """Annealed Langevin dynamics with an annealed likelihood (Jalal et al., 2021). arXiv:2108.01368

    On u = x_t/α_t, `inner_steps` times at each level:

        u ← u + τ ( (x̂₀ − u)/ρ_t² + Aᵀ (y − A u)/(σ_y² + γ² ρ_t²) ) + √(2τ) ε,   τ = lr ρ_t²

    The paper leaves its γ_t free. The official code has neither γ_t nor σ_y but scales the data term to a multiple of
    the score's norm. The last level ends with x̂₀ instead of a noisy u.
    """

    name: ClassVar[str] = "score_ald"
    needs = LinearGaussian

    steps: int = 500
    inner_steps: Annotated[int, Steps] = 3
    lr: Annotated[float, Positive] = 0.5
    gamma: Annotated[float, NonNegative] = 1.0

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> State:
        u, tau = state.x / t.alpha, self.lr * t.ratio**2
        var = like.var + like.gain.to(like.var) * (self.gamma * t.ratio) ** 2
        for _ in range(self.inner_steps):
            score = (prior(t.alpha * u, t) - u) / t.ratio**2
            data = like.A.adjoint(like.residual(u)) / bcast(var, u)
            u = u + tau * (score + data) + (2 * tau) ** 0.5 * rng.randn_like(u)
        x0 = prior(t.alpha * u, t) if s.sigma == 0 else u
        return State(s.alpha * x0, x0)
