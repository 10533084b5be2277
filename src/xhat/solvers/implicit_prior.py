"""Stochastic ascent of a denoiser's implicit prior."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..ranges import Portion
from .base import Estimator, Image, Level, NoiselessLinear, Prior, Rng


@dataclass(frozen=True)
class ImplicitPrior(Estimator[NoiselessLinear]):
    """Stochastic ascent of a denoiser's implicit prior, Algorithm 2 (Kadkhodaie & Simoncelli, 2021). arXiv:2007.13640

        u ← u − h d + γ z,   d = (I − A⁺A)(u − x̂₀) + A⁺(A u − y),   γ² = ((1 − βh)² − (1 − h)²) ρ_t²,

    on u = x_t/α_t, which means x̂₀' = x̂₀ + A⁺(y − A x̂₀) and then ζ = 1 − ((1 − h) ρ_t/ρ_s)². The paper's denoiser is
    blind and takes ρ_t = ‖d‖/√n. Here the schedule sets ρ_t, and with it h, by ρ_s = (1 − βh) ρ_t, at most h = 1.
    """

    name: ClassVar[str] = "implicit_prior"
    needs = NoiselessLinear

    steps: int = 500
    beta: Annotated[float, Portion] = 0.1

    def estimate(self, x: Image, t: Level, prior: Prior, like: NoiselessLinear, rng: Rng) -> Image:
        return like.prox(prior(x, t), 0.0)

    def fraction(self, t: Level, s: Level) -> float:
        if s.sigma == 0:
            return 1.0
        h = min(1.0, (1 - s.ratio / t.ratio) / self.beta)
        return 1 - ((1 - h) * t.ratio / s.ratio) ** 2
