"""How well a solver predicts measurements that it was not given: an objective that needs no truth."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor

from ..errors import DivergedError, SpecError
from ..likelihoods import Likelihood, likelihood
from ..noise import Gaussian
from ..numerics.linalg import sq
from ..operators.inpaint import Inpaint
from ..task.results import decoded
from ..task.run import run
from .evaluate import Work, task_of
from .grid import Cell
from .schema import stream

HIDDEN = 0.1  # the fraction of the pixels that are hidden, out of those that a mask shows
SHARE = 0.5  # a², for the noise a n that is added; σ √(1 + a²) stays close to the σ that is tuned for


def heldout(cell: Cell, names: Sequence[str], device: str) -> float:
    """The mean squared error of predicted held-out measurements over all images and seeds; infinite if one run
    diverges.

    Under a mask, a tenth of the pixels is hidden and predicted. Otherwise Gaussian noise is split: y + a n and y − n/a,
    with n ~ N(0, σ²) like the noise itself, are independent measurements, so that the error on the second gives ‖A(x̂ −
    x)‖² up to a constant (Pang et al., CVPR 2021; Oliveira, Lei & Tibshirani, 2024). Neither counts directions that A
    does not see. Raises SpecError for other noise.
    """
    errors = []
    for seed in cell.seeds:
        for name in names:
            try:
                errors.append(_one(cell, name, seed, device))
            except DivergedError:
                return math.inf
    return sum(errors) / len(errors)


def _one(cell: Cell, name: str, seed: int, device: str) -> float:
    job = task_of(Work(cell, seed, (name,)), device).job(device)  # the truth serves only to simulate the measurement
    given, error = split(job.problem, Generator().manual_seed(stream(name, seed) ^ 0x5F5F))
    job = replace(job, problem=given, like=job.prior.problem(given))
    return error(decoded(job, run(job).images[0]).to(given.y.device))


class Error:
    """The mean square of what a prediction misses, where `seen` is not 0."""

    def __init__(self, like: Likelihood, y: Tensor, seen: Tensor) -> None:
        self.like, self.y, self.seen = like, y, seen

    def __call__(self, x: Tensor) -> float:
        with torch.no_grad():
            miss = self.seen * (self.y - self.like.A(x))
        return float((sq(miss) / (self.seen.expand(miss.shape)).flatten(1).sum(1)).mean())


def split(like: Likelihood, g: Generator) -> tuple[Likelihood, Error]:
    """What the solver is given of one measurement, and the error on the rest, a function of its x̂ (b, *image)."""
    if isinstance(like.A, Inpaint):
        mask = like.A.s
        hide = (torch.rand(mask.shape, generator=g) < HIDDEN).to(mask) * mask
        A = Inpaint(like.A.shape, (mask - hide)[0]).to(mask.device)
        return likelihood(A, like.noise, like.y * (mask - hide)), Error(like, like.y, hide)
    if not isinstance(like.noise, Gaussian) or not isinstance(like.noise.sigma, float | int):
        raise SpecError("heldout splits Gaussian noise or hides pixels of a mask; for other noise tune on residual")
    n = like.noise.sigma * torch.randn(like.y.real.shape, generator=g).to(like.y)
    a = SHARE**0.5
    noise = replace(like.noise, sigma=like.noise.sigma * (1 + SHARE) ** 0.5)
    return likelihood(like.A, noise, like.y + a * n), Error(like, like.y - n / a, torch.ones_like(like.y.real))
