"""Decoupled annealing posterior sampling, with its inner chain or with an exact draw."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from ..numerics.inner import langevin
from ..numerics.linalg import sq
from ..schedule import EDM
from ..transition import renoise
from .base import Estimator, Image, Level, Likelihood, LinearGaussian, Prior, Rng


@dataclass(frozen=True)
class DAPS(Estimator[Likelihood]):
    """Decoupled annealing posterior sampling, Algorithm 1 (Zhang et al., 2024). arXiv:2407.01521

    x̂₀ comes from the probability flow in `ode_steps` steps, then x₀ ~ p(y|x₀) N(x₀; x̂₀, ρ_t² I) from `mcmc_steps`
    steps of Langevin dynamics; the next level forgets x_t (ζ = 1). The likelihood is the noise model's own: the
    official code's τ = 0.01 without ½ counts the data 50 times at σ_y = 0.05. `lr` is in units of 1/(1/σ_y² + 1/ρ_t²)
    and stable below 2 if ‖A‖ = 1.
    """

    steps: int = 50
    ode_steps: int = 5
    mcmc_steps: int = 100
    lr: float = 0.2
    zeta: float = 1.0

    def estimate(self, x: Image, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> Image:
        x, r = flow(x, t, prior, self.ode_steps), t.ratio
        lr = self.lr / (1 / like.noise.scale(like.y) ** 2 + 1 / r**2)
        return langevin(lambda x0: like.nll(x0) + sq(x0 - x) / (2 * r**2), x, lr, self.mcmc_steps, rng)


@dataclass(frozen=True)
class DAPSExact(Estimator[LinearGaussian]):
    """DAPS with its inner Langevin chain replaced by an exact draw, to which the chain converges. arXiv:2407.01521

    `mode=True` takes the mode instead of a draw: what the chain converges to without its noise.
    """

    name: ClassVar[str] = "daps_exact"
    needs = LinearGaussian

    steps: int = 50
    ode_steps: int = 5
    zeta: float = 1.0
    mode: bool = False

    def estimate(self, x: Image, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> Image:
        x = flow(x, t, prior, self.ode_steps)
        return like.prox(x, like.var / t.ratio**2) if self.mode else like.draw(x, t.ratio, rng)


def flow(x: Image, t: Level, prior: Prior, steps: int) -> Image:
    """x̂₀ from x_t = `x` along the probability flow, by `steps` steps of DDIM (Euler) down to ρ = 0.01, as in the
    official code.
    """
    x = x / t.alpha
    for u, v in pairwise(EDM(min(0.01, t.ratio / 2), t.ratio).levels(steps)):
        x = renoise(x, prior(x, u), u, v, 0.0, NO_NOISE)
    return x


NO_NOISE = Rng([])
