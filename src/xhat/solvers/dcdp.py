"""Data consistency and diffusion purification in turn."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch

from ..numerics.autodiff import grad
from ..numerics.linalg import bcast, sq
from ..ranges import Positive, Range, Steps
from ..schedule import Schedule, time_of
from ..transition import fresh
from .base import Count, Image, Level, Likelihood, Prior, Rng, Rule, Solver, State
from .daps import flow


@dataclass(frozen=True)
class DCDP(Solver[Likelihood]):
    """Decoupled data consistency via diffusion purification (Li et al., 2024). arXiv:2403.06054

    Fit the data by `inner_steps` steps of gradient descent with momentum on ½ ‖y − A(x)‖², starting from x = 0; add
    noise of level t to the fit; purify it by `ode_steps` steps of DDIM; fit again. t falls from the time of ρ = `start`
    to 0, where the last fit is the answer; 2.03 is t = 400 of the paper's table of 1000. `lr` belongs to the sum of
    squares: the paper's 10⁵ for blur, on a mean over 3×256×256 numbers, is 1.02 here. `ode_steps` = 1 is the paper's
    Tweedie purification.
    """

    returns: ClassVar[str] = "point"

    steps: int = 10
    inner_steps: Annotated[int, Steps] = 100
    lr: Annotated[float, Positive] = 1.0
    momentum: Annotated[float, Range(least=0, below=1)] = 0.9
    ode_steps: Annotated[int, Steps] = 20
    start: Annotated[float, Positive] = 2.03
    renoise: Rule = "full"

    def levels(self, schedule: Schedule, like: Likelihood) -> list[Level]:
        return schedule.levels(self.steps, time_of(schedule, self.start))

    def init(self, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        x = self.fit(torch.zeros_like(like.noise_image(rng)), like)
        return State(x, x)

    @property
    def begins_at_images(self) -> bool:
        return True

    def from_image(self, image: Image, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        """The image itself, without noise."""
        return replace(super().from_image(image, t, prior, like, rng), x=image)

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        gamma, _ = fresh(self.renoise, t, t, prior.mse)
        noised = t.alpha * state.x + t.sigma * gamma * rng.randn_like(state.x)
        x = self.fit(flow(noised, t, prior, self.ode_steps), like)
        return State(x, x)

    def fit(self, x: Image, like: Likelihood) -> Image:
        """Data consistency starting from `x` (b, *image); the momentum starts at 0 each time."""
        m = torch.zeros_like(x)
        for _ in range(self.inner_steps):
            m = self.momentum * m + grad(lambda x: sq(like.residual(x)) / 2, x)
            x = x - bcast(self.lr / like.gain, x) * m
        return x
