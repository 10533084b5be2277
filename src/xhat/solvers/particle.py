"""What the solvers with particles share."""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from ..numerics.particles import Index, ParticleRng, Weights, ess, grouped, normalised, systematic, take
from ..ranges import Many
from ..types import PerImage
from .base import Image, L, Level, Likelihood, Prior, Rng, Solver, State

Flat = Float[Tensor, "bp *image"]
Cloud = Float[Tensor, "b p *image"]


@dataclass(frozen=True)
class Particles(State):
    """p particles per image with log-weights; `x0` is the clean estimate of the heaviest particle."""

    x: Cloud
    x0: Image
    logw: Weights
    ancestor: Index  # which particle of the first state each one comes from
    least: PerImage  # the smallest effective sample size so far

    @property
    def samples(self) -> Tensor:
        """After the run, p draws from the posterior of each image with equal weights, (b, p, *image)."""
        return self.x

    def finish(self, rng: Rng) -> "Particles":
        """Resamples to equal weights; the answer is one of the particles, chosen at random."""
        p = self.logw.shape[1]
        kept = systematic(self.logw, rng)
        x = take(self.x, kept)
        one = (p * rng.rand_like(self.logw[:, :1])).long().clamp_max(p - 1)
        return replace(
            self,
            x=x,
            x0=_or_nan(take(x, one)[:, 0], self.logw),
            logw=torch.zeros_like(self.logw),
            ancestor=take(self.ancestor, kept),
        )


class ParticleSolver(Solver[L, Particles]):
    """Sequential Monte Carlo with `particles` particles per image, so that a step costs as much as that many images."""

    particles: Annotated[int, Many]

    def init(self, t: Level, prior: Prior, like: L, rng: Rng) -> Particles:
        return start(self.particles, t, like, rng)


def start(p: int, t: Level, like: Likelihood, rng: Rng) -> Particles:
    """Pure noise, with equal weights."""
    noise = t.sigma * like.spread(p).noise_image(ParticleRng(rng, p))
    return pack(noise, torch.zeros_like(noise), noise.new_zeros(len(like.y), p))


def pack(
    x: Flat,
    x0: Flat,
    logw: Weights,
    best: Weights | None = None,
    before: Particles | None = None,
    kept: Index | None = None,
) -> Particles:
    """The state with `x` and `logw`, from flat particles (b·p, *image).

    Its `x0` is that of the particle that is heaviest by `best`, the weights before resampling, or by `logw` if `best`
    is None. `before` is the state before the step, None for the first state, of whose particles resampling left `kept`,
    None for all of them.
    """
    p, best = logw.shape[1], logw if best is None else best
    x, x0, effective = grouped(x, p), grouped(x0, p), ess(best)
    if before is None:
        ancestor = torch.arange(p, device=x.device).expand(len(x), p).contiguous()
    else:
        ancestor = before.ancestor if kept is None else take(before.ancestor, kept)
        effective = torch.minimum(before.least, effective)
    chosen = _or_nan(take(x0, best.argmax(1, keepdim=True))[:, 0], best)
    return Particles(x, chosen, logw, ancestor, effective)


def _or_nan(x: Image, logw: Weights) -> Image:
    """NaN where no particle of an image has a weight, so that the loop stops there."""
    sound = torch.isfinite(normalised(logw)).all(1)
    return torch.where(sound.reshape(-1, *[1] * (x.ndim - 1)), x, float("nan"))
