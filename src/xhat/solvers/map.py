"""The mode of the posterior by local ascent."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ..numerics.linalg import bcast, dot
from ..ranges import Range
from ..schedule import CLEAN, Schedule
from ..transition import fresh, renoise
from .base import Count, Image, Level, Likelihood, Prior, Rng, Solver, State
from .lmaps import LMAPS


@dataclass(frozen=True)
class Climb(State):
    """`x` is where the next step starts, `x0` where the last one ended, `age` (b,) that of the momentum, in steps."""

    age: Tensor

    def finish(self, rng: Rng) -> "Climb":
        return self


@dataclass(frozen=True)
class MAP(Solver[Likelihood, Climb]):
    """Local ascent of log p(y|x) + log p_ρ(x), p_ρ being the prior blurred by noise of the last level ρ.

        x ← argmin_x −log p(y|x) + ‖x − D(x̄, ρ)‖²/(2ρ²),   x̄ = x with momentum

    log p_ρ(x) + ‖x‖²/(2ρ²) is convex, with the gradient D(x, ρ)/ρ² (Tweedie), so a step without momentum never lowers
    the posterior: it is majorisation-minimisation, half-quadratic splitting at one level. The momentum is Nesterov's
    and starts anew in an image where it points downhill (O'Donoghue & Candès, 2015, arXiv:1204.3982). The ascent takes
    the last `share` of the steps. The others lead to where it starts, as `lmaps` with k = 1 and calibrated noise does;
    which maximum that belongs to depends on the seed. `--starts N` runs N and keeps the one of highest posterior. On
    the cells of a code a step gives the mean of what the code allows in place of the mode, as in `lmaps`.
    """

    returns: ClassVar[str] = "point"

    steps: int = 60
    share: Annotated[float, Range(0, 0.9)] = 0.5

    def levels_for(self, schedule: Schedule | None, prior: Prior, like: Likelihood) -> list[Level]:
        """The schedule's levels, the last of them again and again."""
        ladder = (schedule or prior.schedule).levels(self.steps - self.climbs)[:-1]
        return [*ladder, *[ladder[-1]] * self.climbs, CLEAN]

    @property
    def climbs(self) -> int:
        """How many steps are made at the last level after the first one there."""
        return min(self.steps - 1, round(self.share * self.steps))

    def init(self, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> Climb:
        noise = like.noise_image(rng)
        return Climb(t.sigma * noise, torch.zeros_like(noise), noise.new_zeros(len(noise)))

    @property
    def begins_at_images(self) -> bool:
        return True

    def step(self, state: Climb, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> Climb:
        x0 = fitted(prior(state.x, t), t, like)
        if k.left > self.climbs + 1:
            gamma, beta = fresh("calibrated", t, s, prior.mse)
            ahead = x0 + bcast(beta, x0) * (x0 - state.x0) if k.before else x0
            return replace(state, x=renoise(state.x, ahead, t, s, 1.0, rng, gamma=gamma), x0=x0)
        if k.left == self.climbs + 1:
            return replace(state, x=t.alpha * x0, x0=x0)
        moved, forced = x0 - state.x0, x0 - state.x / t.alpha
        age = torch.where(dot(forced, moved) < 0, 0.0, state.age + 1)
        return Climb(t.alpha * (x0 + bcast(age / (age + 3), x0) * moved), x0, age)


def fitted(m: Image, t: Level, like: Likelihood) -> Image:
    """argmin_x −log p(y|x) + ‖x − m‖²/(2ρ_t²), (b, *image): LMAPS's data step with Cov[x₀|x_t] = ρ_t² I.

    What lies below the least value that the operator's images can have is set to it.
    """
    var = t.ratio**2
    x0 = LMAPS().mode(m, t, var, like.noise.scale(like.y) ** 2 / var, like)
    return x0 if like.A.least is None else x0.clamp_min(like.A.least)
