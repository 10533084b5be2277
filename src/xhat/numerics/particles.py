"""Particles have a batch axis of their own, (b, p, *image). Resampling mixes the particles of one image, never images.

As a flat batch, (b·p, *image), they pass through priors and operators like any other batch. `logw` is always (b, p),
log-weights up to a constant per image, and resampling returns the indices, (b, p), of the particles to keep.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from ..rng import Rng
from ..types import PerImage

Weights = Float[Tensor, "b p"]
Index = Int[Tensor, "b p"]

EQUAL = 1e-6  # relative: weights that are equal but for rounding have an effective sample size this close to p


class ParticleRng(Rng):
    """The streams of `rng` for flat particles: image i draws the numbers of its own p particles at once."""

    def __init__(self, rng: Rng, particles: int) -> None:
        self.generators, self.particles = rng.generators, particles

    def each(self, draw: Callable[[Tensor, Generator], object], x: Tensor) -> Tensor:
        return super().each(draw, grouped(x, self.particles)).flatten(0, 1)


def grouped(x: Tensor, particles: int) -> Tensor:
    """Flat particles (b·p, *) grouped by image, (b, p, *); `flatten(0, 1)` undoes it."""
    return x.reshape(-1, particles, *x.shape[1:])


def take(x: Tensor, index: Index) -> Tensor:
    """The particles `index` (b, q) of each image of `x` (b, p, *): (b, q, *)."""
    return x[torch.arange(len(x), device=x.device)[:, None], index]


def normalised(logw: Weights) -> Weights:
    """The weights (b, p), which sum to 1 for each image."""
    return logw.softmax(1)


def ess(logw: Weights) -> PerImage:
    """The effective sample size 1/Σw² of each image, (b,), between 1 and p."""
    return 1 / normalised(logw).square().sum(1)


def systematic(logw: Weights, rng: Rng) -> Index:
    """One uniform number places p equally spaced points (Kitagawa, 1996): particle k is kept ⌊p w_k⌋ or ⌈p w_k⌉
    times.
    """
    p = logw.shape[1]
    comb = torch.arange(p, dtype=logw.dtype, device=logw.device)
    return _invert(normalised(logw).cumsum(1), (comb + rng.rand_like(logw[:, :1])) / p)


def residual(logw: Weights, rng: Rng) -> Index:
    """⌊p w_k⌋ copies of particle k for certain; the remaining ones are drawn from what is left (Liu & Chen, 1998)."""
    share = logw.shape[1] * normalised(logw)
    copies = share.floor()
    left = (share - copies).cumsum(1)
    drawn = _invert(left, rng.rand_like(logw) * left[:, -1:])
    slot = torch.arange(logw.shape[1], dtype=logw.dtype, device=logw.device).expand_as(logw).contiguous()
    certain = _invert(copies.cumsum(1), slot)
    return torch.where(slot < copies.sum(1, keepdim=True), certain, drawn)


def adaptive(logw: Weights, threshold: float, rng: Rng) -> tuple[Index, Weights]:
    """Systematic resampling of the images whose effective sample size is below `threshold` p, and of no others.

    Gives the indices (b, p) of the particles to keep and their log-weights (b, p): those of a resampled image are all
    the logarithm of its mean weight, so that the mean over the particles goes on estimating the evidence. Resampling
    ends lines of descent, and does so in vain where the weights do not ask for it. `threshold` 0 never resamples, 1
    nearly always.
    """
    p = logw.shape[1]
    poor = (ess(logw) < threshold * p * (1 - EQUAL))[:, None]
    kept = torch.where(poor, systematic(logw, rng), torch.arange(p, device=logw.device))
    level = logw.logsumexp(1, keepdim=True) - math.log(p)
    return kept, torch.where(poor, level, logw)


def _invert(cdf: Tensor, u: Tensor) -> Tensor:
    return torch.searchsorted(cdf.contiguous(), u.contiguous(), right=True).clamp_max(cdf.shape[1] - 1)
