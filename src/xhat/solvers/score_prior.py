"""Variational inference with the score as the prior."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Image, Level, Prior, Rng
from .flow_fit import FlowFit


@dataclass(frozen=True)
class ScorePrior(FlowFit):
    """Variational inference with the score as the prior (Feng et al., 2023). arXiv:2304.11751

        −∇ log p(x) = (x − x̂₀(x, σ_min))/σ_min²

    The paper gets log p from the probability flow and differentiates that, with hundreds of network calls for this
    gradient. Here the gradient is read off the network at σ_min, whose blur of the prior is a bias.
    """

    name: ClassVar[str] = "score_prior"

    def prior_slope(self, x: Image, t: Level, prior: Prior, rng: Rng) -> Image:
        return (x - prior(x, t)) / t.ratio**2
