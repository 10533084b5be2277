from dataclasses import dataclass

from .base import Estimator, Image, Level, Likelihood, LinearGaussian, Prior, Rng


@dataclass(frozen=True)
class LMAPS(Estimator[Likelihood]):
    """draft"""

    steps: int = 100
    k: float = 1.0
    zeta: float = 1.0

    def estimate(self, x: Image, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> Image:
        m = prior(x, t)
        assert isinstance(like, LinearGaussian)
        return like.prox(m, like.var / (self.k * t.ratio**2))
