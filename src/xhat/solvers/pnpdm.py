"""Plug-and-play diffusion models by split Gibbs sampling."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from ..numerics.inner import langevin
from ..numerics.linalg import sq
from ..ranges import Portion, Positive, Steps
from ..schedule import CLEAN, EDM, Schedule
from ..transition import ancestral
from .base import Count, Image, Level, Likelihood, LinearGaussian, Prior, Rng, Solver, State


@dataclass(frozen=True)
class PnPDM(Solver[Likelihood]):
    """Split Gibbs sampling with a diffusion prior, Algorithm 1 (Wu et al., 2024). arXiv:2405.18782

    Step k, with ρ_k = max(ρ_0 d^k, ρ_min), draws in turn

        z ~ p(y|z) N(z; x, ρ_k² I)      and      x ~ p(x) N(z; x, ρ_k² I).

    The first draw is exact if A is linear and by Langevin dynamics otherwise; the second is by the reverse diffusion
    from level ρ_k. In the stationary distribution of x, y is blurred by ρ_min as well, which is a bias of O(ρ_min²).
    `lr` is that of DAPS.
    """

    steps: int = 100
    rho: Annotated[float, Positive] = 10.0
    decay: Annotated[float, Portion] = 0.9
    rho_min: Annotated[float, Positive] = 0.3
    reverse_steps: Annotated[int, Steps] = 20
    mcmc_steps: Annotated[int, Steps] = 100
    lr: Annotated[float, Positive] = 0.2

    def levels(self, schedule: Schedule, like: Likelihood) -> list[Level]:
        ratios = [max(self.rho * self.decay**k, self.rho_min) for k in range(self.steps)]
        return [Level(1 - k / self.steps, 1.0, r) for k, r in enumerate(ratios)] + [CLEAN]

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        x = state.x
        if isinstance(like, LinearGaussian):
            z = like.draw(x, t.sigma, rng)
        else:
            lr = self.lr / (1 / like.noise.scale(like.y) ** 2 + 1 / t.sigma**2)
            z = langevin(lambda z: like.nll(z) + sq(z - x) / (2 * t.sigma**2), x, lr, self.mcmc_steps, rng)
        x = reverse(z, t, prior, self.reverse_steps, rng)
        return State(x, x)


def reverse(x: Image, t: Level, prior: Prior, steps: int, rng: Rng) -> Image:
    """x₀ ~ p(x₀|x_t) by `steps` steps of DDPM down to ρ = 0.01, at α = 1."""
    for u, v in pairwise(EDM(min(0.01, t.ratio / 2), t.ratio).levels(steps)):
        x = ancestral(x, prior(x, u), u, v, rng)
    return x
