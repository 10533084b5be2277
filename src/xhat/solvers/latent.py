"""Solvers that search the input z of a generator; they have nothing to do with latent priors."""

from abc import abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

import torch

from ..numerics.autodiff import grad, vjp
from ..numerics.inner import Adam
from ..ranges import Positive
from ..schedule import CLEAN, Schedule
from ..transition import renoise
from ..types import PerImage
from .base import Count, Image, Level, Likelihood, P, Prior, Rng, Solver
from .reddiff import Moments


@dataclass(frozen=True)
class Latent(Moments):
    """The generator's input z in `x`, its image G(z) in `x0`, and Adam's moments."""

    def finish(self, rng: Rng) -> "Latent":
        """The answer is the image, not its latent."""
        return self


class LatentSolver(Solver[Likelihood, Latent, P]):
    """argmin_z of a misfit of A G(z) plus a penalty on z, where G is a deterministic sampler from x_T = σ_T z.

    `steps` counts updates of Adam, all at the top level; each costs a pass forward and back through G. The answer is G
    of the last z, because no solver may choose the best iterate by the truth.
    """

    returns: ClassVar[str] = "point"

    lr: Annotated[float, Positive]

    def levels(self, schedule: Schedule, like: Likelihood) -> list[Level]:
        return [schedule.levels(1)[0]] * self.steps + [CLEAN]

    def init(self, t: Level, prior: P, like: Likelihood, rng: Rng) -> Latent:
        z, zero = self.start(t, prior, like, rng), torch.zeros_like(like.noise_image(rng))
        return Latent(z, zero, Adam.start(z))

    def start(self, t: Level, prior: P, like: Likelihood, rng: Rng) -> Image:
        """The first z, (b, *image)."""
        return like.noise_image(rng)

    @abstractmethod
    def generate(self, z: Image, t: Level, prior: P) -> Image:
        """G(z), (b, *image)."""

    @abstractmethod
    def misfit(self, x0: Image, like: Likelihood) -> PerImage:
        """What is minimised over G(z), (b,)."""

    def penalty(self, z: Image) -> PerImage:
        """What is added to the misfit, (b,); 0 unless overridden."""
        return 0 * z.flatten(1).sum(1)

    def project(self, z: Image) -> Image:
        """z after each update, moved to where it is allowed; unchanged unless overridden."""
        return z

    def step(self, state: Latent, k: Count, t: Level, s: Level, prior: P, like: Likelihood, rng: Rng) -> Latent:
        x0, pullback = vjp(lambda z: self.generate(z, t, prior), state.x)
        g = pullback(grad(lambda x0: self.misfit(x0, like), x0)) + grad(self.penalty, state.x)
        z, adam = state.adam.update(k.index, state.x, g, self.lr)
        z = self.project(z)
        if s.sigma == 0:
            x0 = self.generate(z, t, prior)
        return Latent(z, x0, adam)


def ddim(z: Image, t: Level, prior: Prior, steps: int) -> Image:
    """x₀ from x_t = σ_t z by `steps` steps of DDIM, on the levels that the prior's own schedule has below t."""
    x = t.sigma * z
    below = [s for s in prior.schedule.levels(steps)[1:] if s.ratio < t.ratio]
    for u, s in pairwise([t, *below]):
        x = renoise(x, prior(x, u), u, s, 0.0, Rng([]))
    return x
