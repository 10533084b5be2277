"""Variational inference with a bound on the prior."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..numerics.autodiff import grad
from ..numerics.linalg import sq
from ..ranges import Positive
from ..schedule import CLEAN, Schedule
from .base import Image, Level, Likelihood, Prior, Rng
from .flow_fit import FlowFit


@dataclass(frozen=True)
class EfficientScorePrior(FlowFit):
    """Variational inference with the diffusion's evidence bound as the prior (Feng & Bouman, 2023). arXiv:2309.01949

        −log p(x) ≤ ∫ E‖x̂₀(x + σ ε, σ) − x‖²/σ² d ln σ + const,   an equality for the true denoiser

    Each step takes one level, and the golden ratio spreads the levels evenly over ln σ; each draw has one ε.
    """

    name: ClassVar[str] = "efficient_score_prior"

    sigma_min: Annotated[float, Positive] = 0.01
    sigma_max: Annotated[float, Positive] = 50.0

    def levels(self, schedule: Schedule, like: Likelihood) -> list[Level]:
        part = [k * (5**0.5 - 1) / 2 % 1 for k in range(self.steps)]
        sigmas = [self.sigma_min * (self.sigma_max / self.sigma_min) ** u for u in part]
        return [Level(1 - k / self.steps, 1.0, sigma) for k, sigma in enumerate(sigmas)] + [CLEAN]

    def prior_slope(self, x: Image, t: Level, prior: Prior, rng: Rng) -> Image:
        eps, weight = rng.randn_like(x), math.log(self.sigma_max / self.sigma_min) / t.sigma**2
        return weight * grad(lambda x: sq(prior(x + t.sigma * eps, t) - x), x)
