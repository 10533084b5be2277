"""log p(x) under any prior: in closed form where there is one, otherwise along the probability flow of its denoiser."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..errors import MismatchError
from ..numerics.autodiff import vjp
from ..numerics.linalg import sq
from ..rng import Rng
from ..schedule import CLEAN, Level
from ..transition import VARIANCE
from ..types import Image, PerImage
from .base import Prior
from .powerlaw import PowerLaw

STEPS = 16  # Heun steps: on a Gaussian of natural spectrum differences between images come out to half a per cent
SPREAD = math.sqrt(VARIANCE)  # the standard deviation of a number of an image


@dataclass(frozen=True, eq=False)
class Density:
    """log p_ρ(x) per image in nats, `values` (b,), of the prior blurred by the noise ρ = `level`; `how` says by what
    means it was found.
    """

    values: PerImage
    level: float
    how: str


def density(prior: Prior, x: Image) -> Density:
    """log p(x) under `prior` for each image of `x` (b, *image), which no other image of the batch changes.

    A prior in closed form is asked for its own density, at ρ = 0, or at its lowest level if it has none there. Of any
    other, p_ρ is that of its probability flow at its lowest level: see `along_flow`. Raises MismatchError for a prior
    that gives no E[x₀|x_t].
    """
    low = prior.lowest
    level = Level(0.0, 1.0, low) if prior.degenerate else CLEAN
    exact = prior.log_density(x, level)
    if exact is not None:
        return Density(exact, level.ratio, "closed form")
    if why := prior.no_denoiser():
        raise MismatchError(f"there is no density to rank by: {why}")
    high = prior.schedule(1.0).ratio
    how = f"probability flow of the denoiser, {STEPS} Heun steps from ρ = {low:.4g} to {high:.4g}, one probe a call"
    return Density(along_flow(prior, x, low, high), low, how)


def along_flow(prior: Prior, x: Image, low: float, high: float, steps: int = STEPS) -> PerImage:
    """log p_low(x) by the instantaneous change of variables (Chen et al., 2018; Song et al., 2021, eq. 39), (b,).

        du/d log ρ = u − D(u, ρ),   log p_low(u_low) = log p_high(u_high) + ∫ (n − tr ∂D/∂u) d log ρ

    It is integrated for w = u/c, c² = ρ² + 0.25, which hardly moves where ρ is large. The trace is Hutchinson's
    estimate with one vector of ± 1 for each call, the same for all images, so that their differences are more exact
    than the values. p_high is taken for that of a Gaussian with the spectrum of natural images, or a white one of
    variance 0.25 if x is no picture, plus noise of `high`.
    """
    rng = Rng([0])
    n, total = x[0].numel(), torch.zeros(len(x), dtype=torch.float64, device=x.device)
    rhos = [low * (high / low) ** (i / steps) for i in range(steps + 1)]

    def drift(w: Tensor, rho: float) -> tuple[Tensor, Tensor]:
        """dw/d log ρ, and its divergence per image."""
        u, c = w * math.hypot(rho, SPREAD), math.hypot(rho, SPREAD)
        probe = torch.where(rng.rand_like(u[:1]) < 0.5, -1.0, 1.0).to(u.dtype)
        x0, pullback = vjp(lambda v: prior(v, Level(0.5, 1.0, rho)), u)
        trace = (probe * pullback(probe.expand_as(x0))).flatten(1).double().sum(1)
        shrink = (rho / c) ** 2
        return (u * (1 - shrink) - x0) / c, n * (1 - shrink) - trace

    w = x / math.hypot(low, SPREAD)
    first = drift(w, low)
    for a, b in pairwise(rhos):
        h = math.log(b / a)
        last = drift(w + h * first[0], b)
        w = w + h / 2 * (first[0] + last[0])
        total = total + h / 2 * (first[1] + last[1])
        first = last
    grown = math.log(math.hypot(high, SPREAD) / math.hypot(low, SPREAD))
    return total + n * grown + at_top(w * math.hypot(high, SPREAD), high)


def at_top(u: Image, rho: float) -> PerImage:
    """The log-density of `u` (b, *image) at the highest level, as `along_flow` takes it, (b,), float64."""
    u = u.double()
    if u.ndim == 4 and u.shape[1] in (1, 3):
        return PowerLaw().log_density(u, Level(1.0, 1.0, rho))
    var = rho**2 + SPREAD**2
    return -sq(u) / (2 * var) - u[0].numel() / 2 * math.log(2 * math.pi * var)
