"""Plug-and-play Monte Carlo."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..numerics.autodiff import grad
from ..ranges import Portion, Positive
from ..schedule import CLEAN, Schedule
from .base import Count, Image, Level, Likelihood, Prior, Rng, Solver, State


class PMC(Solver[Likelihood]):
    """Plug-and-play Monte Carlo: Langevin dynamics with an annealed score.

    σ_k falls from `sigma_max` to `sigma_min` in the fraction `anneal` of the steps.
    """

    gamma: Annotated[float, Positive]
    sigma_max: Annotated[float, Positive]
    sigma_min: Annotated[float, Positive]
    anneal: Annotated[float, Portion]

    def levels(self, schedule: Schedule, like: Likelihood) -> list[Level]:
        part = [min(1.0, k / max(1.0, self.anneal * self.steps)) for k in range(self.steps)]
        sigmas = [self.sigma_max ** (1 - u) * self.sigma_min**u for u in part]
        return [Level(1 - k / self.steps, 1.0, sigma) for k, sigma in enumerate(sigmas)] + [CLEAN]

    def init(self, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        noise = like.noise_image(rng)
        return State(noise, noise)

    def pull(self, x: Image, x0: Image) -> Image:
        """γ a_k s(x, σ_k), with the score s = (x̂₀ − x)/σ_k² and a_k = σ_k²/σ_min²."""
        return self.gamma / self.sigma_min**2 * (x0 - x)

    def noise(self, x: Image, rng: Rng) -> Image:
        """√(2γ) ε, the noise of a Langevin step."""
        return math.sqrt(2 * self.gamma) * rng.randn_like(x)


@dataclass(frozen=True)
class PMCRED(PMC):
    """PMC-RED with weighted annealing (Sun et al., 2024). arXiv:2310.10835

        x ← x + γ (∇ log p(y|x) + a_k s(x, σ_k)) + √(2γ) ε,   a_k = max(σ_k²/σ_min², 1)

    For small γ and many steps it samples the posterior of the prior blurred by σ_min; modes of variance v need v/γ
    steps. It is stable while γ (1/σ_y² + 1/σ_min²) < 2. σ_k falls geometrically over the fraction `anneal` of the
    steps, which at 3000 steps is the official code's 0.99^k.
    """

    name: ClassVar[str] = "pmc_red"

    steps: int = 3000
    gamma: Annotated[float, Positive] = 1e-5
    sigma_max: Annotated[float, Positive] = 348.0
    sigma_min: Annotated[float, Positive] = 9e-3
    anneal: Annotated[float, Portion] = 0.35

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        x = state.x
        x = x - self.gamma * grad(like.nll, x) + self.pull(x, prior(x, t)) + self.noise(x, rng)
        return State(x, x)


@dataclass(frozen=True)
class PMCPnP(PMC):
    """PMC-PnP with weighted annealing (Sun et al., 2024). arXiv:2310.10835

        z = x + γ ∇ log p(y|x),   x ← z + γ a_k s(z, σ_k) + √(2γ) ε

    This is PMC-RED with the score taken after the data step. It has the same limit up to O(γ).
    """

    name: ClassVar[str] = "pmc_pnp"

    steps: int = 3000
    gamma: Annotated[float, Positive] = 1e-5
    sigma_max: Annotated[float, Positive] = 348.0
    sigma_min: Annotated[float, Positive] = 9e-3
    anneal: Annotated[float, Portion] = 0.35

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        z = state.x - self.gamma * grad(like.nll, state.x)
        x = z + self.pull(z, prior(z, t)) + self.noise(z, rng)
        return State(x, x)
