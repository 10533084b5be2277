"""Regularised maximum likelihood, the imaging of the field: closure quantities, entropy and total variation."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ...baselines.base import Baseline
from ...numerics.inner import adam
from ...numerics.linalg import bcast
from ...ranges import NonNegative, Positive, Steps
from ...solvers.base import Count, Image, Level, Likelihood, Prior, Rng, State
from ...spec import called
from ...types import PerImage
from .estimate import FILLED
from .metrics import blurred
from .noise import complex_of
from .observation import MICROARCSECOND
from .operator import BlackHole
from .sky import Sky

SPOT = 0.1  # the flux of the smaller Gaussian of the start, as a fraction of the larger one's
TINY = 1e-8  # of the brightest pixel of the Gaussian: the entropy wants no zeros
FLAT = 1e-2  # of the mean brightness: a smaller slope is as good as none, so that |∇p| has a gradient everywhere


@dataclass(frozen=True)
class RML(Baseline[Likelihood, State]):
    """argmin over p of −log p(y|F p) + m Σ p log(p/q) + t Σ |∇p| + s n Σ |∇p|² (EHT Collaboration, 2019, Paper IV,
    section 6.2; the terms are those of eht-imaging, Chael et al., 2018, doi 10.3847/1538-4357/aab6a8).

    p is the image as a fraction of the total flux F, positive and of sum 1 because p = softmax(z); F is the datum of
    the total flux, or what the operator knows of it, and is met exactly. q is a round Gaussian of `width` µas in the
    middle: relative entropy keeps the image there, for closure quantities do not tell where it is. `mem`, `tv` and
    `tsv` are m, t and s. Each step is a round of `inner_steps` steps of Adam in z, from the result of the last one
    blurred by a round Gaussian as wide as the beam is narrow, as the field does it. The first begins at q with a
    second, smaller Gaussian off the middle: an image that is its own mirror image has no gradient of closure phases.
    Steps longer than `lr` = 0.05 leave flux in single pixels.
    """

    seeded: ClassVar[bool] = False

    steps: int = 4
    inner_steps: Annotated[int, Steps] = 500
    lr: Annotated[float, Positive] = 0.05
    width: Annotated[float, Positive] = 40.0
    mem: Annotated[float, NonNegative] = 300.0
    tv: Annotated[float, NonNegative] = 100.0
    tsv: Annotated[float, NonNegative] = 0.0

    def mismatch(self, prior: Prior | None, like: Likelihood) -> str | None:
        if not isinstance(like.A, BlackHole):
            return f"rml is for what an array of telescopes sees (black_hole), not for {called(like.A)}"
        return super().mismatch(prior, like)

    def init(self, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        A, q = array_of(like)[0], like.noise_image(rng)
        p = gaussian(A, self.width) + SPOT * gaussian(A, self.width / 2, self.width / 2)
        x = scaled((p / (1 + SPOT)).to(q).expand_as(q), like)
        return State(x, x)

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        A, sky = array_of(like)
        x = blurred(state.x, sky.beam[1] / A.pixel) if k.before else state.x
        q = gaussian(A, self.width).to(x)
        fraction: Callable[[Tensor], Tensor] = lambda z: z.flatten(1).softmax(1).reshape(z.shape)

        def energy(z: Tensor) -> PerImage:
            p = fraction(z)
            return like.nll(scaled(p, like)) + self.penalty(p, q)

        p = ((x + 1) / 2).clamp_min(0)
        z = (p + TINY * bcast(p.flatten(1).amax(1), p)).log()
        x = scaled(fraction(adam(energy, z, self.lr, self.inner_steps)), like)
        return State(x, x)

    def penalty(self, p: Image, q: Tensor) -> PerImage:
        """What is added to −log p(y|F p), (b,), with the prior picture `q` (1, c, h, w) of the entropy."""
        dy, dx = torch.diff(p, dim=-2, append=p[..., -1:, :]), torch.diff(p, dim=-1, append=p[..., -1:])
        square = dx.square() + dy.square()
        n = p[0].numel()
        entropy = (p * (p.clamp_min(torch.finfo(p.dtype).tiny) / q).log()).flatten(1).sum(1)
        slope = (square + (FLAT / n) ** 2).sqrt().flatten(1).sum(1)
        return self.mem * entropy + self.tv * slope + self.tsv * n * square.flatten(1).sum(1)


def array_of(like: Likelihood) -> tuple[BlackHole, Sky]:
    """The operator of `like` and what its images are."""
    assert isinstance(like.A, BlackHole)  # `mismatch` refuses others
    assert isinstance(like.A.modality, Sky)
    return like.A, like.A.modality


def gaussian(A: BlackHole, width: float, off: float = 0.0) -> Tensor:
    """A round Gaussian of sum 1 and `width` µas at half maximum, `off` µas up and left of the middle, (1, 1, h, w)."""
    _, h, w = A.shape
    pixel = A.pixel / MICROARCSECOND
    y = (torch.arange(h) - (h - 1) / 2) * pixel + off / math.sqrt(2)
    x = (torch.arange(w) - (w - 1) / 2) * pixel + off / math.sqrt(2)
    found = torch.exp(-4 * math.log(2) * (y[:, None] ** 2 + x**2) / width**2) + TINY
    return (found / found.sum())[None, None]


def scaled(p: Image, like: Likelihood) -> Image:
    """Images in [−1, 1] of the total flux of each measurement, (b, 1, h, w), from fractions `p` of it."""
    A, sky = array_of(like)
    zero = A.closures.zero.to(like.y.device)
    if bool(zero.any()):
        total = complex_of(like.y).real[:, zero].mean(1) / sky.white
    else:
        total = like.y.new_full((len(like.y),), p[0].numel() * FILLED if sky.total is None else sky.total / sky.white)
    return 2 * bcast(total, p) * p - 1
