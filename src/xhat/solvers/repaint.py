"""RePaint."""

import math
from dataclasses import dataclass
from typing import Annotated

from ..ranges import Steps
from ..schedule import Schedule
from ..transition import ancestral
from .base import Count, Image, Level, NoiselessLinear, Prior, Rng, Solver, State


@dataclass(frozen=True)
class RePaint(Solver[NoiselessLinear]):
    """Inpainting by overwriting, with jumps back in time, Algorithm 1 (Lugmayr et al., 2022). arXiv:2201.09865

        x_s = (1 − m) ⊙ DDPM(x_t) + m ⊙ (α_s y + σ_s ε)

    or, for any linear A, DDPM + A⁺(α_s y + σ_s A ε − A DDPM). After every `jump` levels the chain is noised `jump`
    levels up again, so that each stretch is run `resample` times; `steps` levels thus cost about `steps * resample`
    network calls. Jumps start where they do in the official code.
    """

    needs = NoiselessLinear

    steps: int = 250
    jump: Annotated[int, Steps] = 10
    resample: Annotated[int, Steps] = 10

    def levels(self, schedule: Schedule, like: NoiselessLinear) -> list[Level]:
        """The levels downwards, with jumps up: [5, 4, 3, 2, 4, 3, 2, 1, 0] has one jump of length 2."""
        *noisy, clean = schedule.levels(self.steps)
        walk, i = [noisy[0]], 0
        left = {self.steps - 1 - k: self.resample - 1 for k in range(0, self.steps - self.jump, self.jump)}
        while i < self.steps - 1:
            i += 1
            walk.append(noisy[i])
            if left.get(i, 0) > 0:
                left[i] -= 1
                i -= self.jump
                walk.append(noisy[i])
        return [*walk, clean]

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: NoiselessLinear, rng: Rng) -> State:
        if s.ratio > t.ratio:
            return State(forward(state.x, t, s, rng), state.x0)
        x0 = prior(state.x, t)
        return State(like.overwrite(ancestral(state.x, x0, t, s, rng), s, rng), x0)


def forward(x: Image, t: Level, s: Level, rng: Rng) -> Image:
    """A draw of x_s given x_t for a noisier level s."""
    keep = s.alpha / t.alpha
    return keep * x + math.sqrt(s.sigma**2 - (keep * t.sigma) ** 2) * rng.randn_like(x)
