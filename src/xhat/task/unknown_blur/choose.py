"""Which kernel blurred a picture, by the picture alone, and how far it may be trusted."""

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import cast

from torch import Tensor

from ...effort import duration
from ...errors import DataError
from ...files.pictures import LEVELS
from ...likelihoods import LinearGaussian, likelihood
from ...loop import solve
from ...noise import Gaussian
from ...noise.estimate import estimate_sigma
from ...notes import note
from ...operators.kernel_blur import correlation
from ...priors import Prior
from ...rng import Rng
from ...solvers.base import AnySolver
from ...solvers.hqs import HQS
from ...solvers.lmaps import LMAPS
from .evidence import NO_BLUR, Power, evidence
from .refit import refitted
from .search import find_path
from .shake import likeness, shake_kernel
from .spectrum import Round, gaussian, gaussian_width, round_kernels, roundness

WINDOW = 256  # pixels: so much of the middle is looked at
SMALLEST = 48  # pixels of the shorter side: less shows no kernel
SIZES = (17, 25, 41)  # of kernels without a form, in pixels; each is searched from coarse to fine
ROUND = 0.92  # likeness to a Gaussian or a disc from which kernels found from edges count as one
NEARLY = 0.85  # such a likeness from which one may still be round where no path is believed
EVIDENT = 0.9  # the evidence from which a blur that is nearly round is taken for one
AGREE = 0.75  # likeness of two kernels, found at different sizes, from which the edges say something
CARE = ((0.9, 2.0), (1.0, 3.0))  # up to such a part of the misfit with no blur a path is told so many times the noise
RIM = 0.1  # of the picture's sides that say nothing of a kernel: what lies beyond is not known
MISFIT = 0.04  # the noise at least at which a path is judged: at half and once of it the true one is best
STEPS = 6  # calls of the prior for each candidate
REFIT_STEPS = 12  # of them where a path is fitted to what the prior restores through it
FEW = 3  # of them for each path, of which there are many: they tell paths apart as well
SEARCH = 110  # times as long as one candidate of `STEPS` calls takes the search for a path
TOLD = 0.03  # the noise that these are told at least, in [−1, 1]: more than there is, so that misfits show
DOUBT = 0.3  # of the residual for each unit by which a kernel fits the spectrum less well than the best
LEVEL = 1 / LEVELS  # one grey level
STEEPER = 3.0  # times the total variation of the picture: more is no photograph, even after a strong blur
BEYOND = 0.03  # of the numbers: so many that overshoot black and white by `OVER` show rings
OVER = 0.15
CAUTION = (1.0, 2.0, 4.0)  # times the noise that a kernel is told, until the result is no longer rough


QUICK = HQS(steps=STEPS)


@dataclass(frozen=True)
class Blur:
    """What was found: `spec` of the operator, "blur" for a `kernel` without a form, and the noise to be told."""

    spec: str
    kernel: Tensor  # (side, side), sum 1, for correlation
    sigma: float
    round: bool


def find_blur(x: Tensor, prior: Prior, sigma: float, shapes: Sequence[str] = ("gauss", "disc", "shake")) -> Blur | None:
    """The blur of a picture `x` (1 or 3, h, w) in [−1, 1] with noise `sigma`; None if no kernel makes it better.

    `shapes` names what is tried. A quick look at the edges tells whether the blur may be round. If not, the path of a
    camera is sought from many starts, by edges and spectrum, which takes some time. Its rivals are the Gaussian and the
    disc whose widths the spectrum tells: that is taken through which a few steps of half-quadratic splitting under the
    prior explain the picture best. A path is believed if most starts lead to it, or if it explains the picture much
    better than no blur does, and if the spectrum does not contradict it. Otherwise a round blur is left, if it explains
    the picture better than none: where edges do not agree on a form, or are nearly round and the spectrum agrees. Where
    the result is rough it is told more noise; if that does not help, there is no kernel either.
    """
    part = _middle(x)
    if min(part.shape[-2:]) < SMALLEST:
        return None
    told = max(TOLD, 2 * sigma)
    best = _best(part, prior, sigma, told, shapes)
    for factor in CAUTION if best else ():
        assert best is not None
        told = factor * best.sigma
        if not rough(_restored(part, best.kernel, prior, told), part):
            return Blur(best.spec, best.kernel, told, best.round)
    return None


def _best(y: Tensor, prior: Prior, sigma: float, told: float, shapes: Sequence[str]) -> Blur | None:
    """The likeliest blur of the picture `y` (c, h, w), with the noise that it is told at first."""
    grey = y.mean(0)
    drawn = [shake_kernel(grey, size) for size in SIZES if 3 * size <= min(grey.shape)] if "shake" in shapes else []
    agree = max((likeness(a, b) for a, b in combinations(drawn, 2)), default=0.0)
    form = median(map(roundness, drawn)) if agree >= AGREE else 0.0
    looks_round, nearly = form >= ROUND, form >= NEARLY
    kinds = [name for name, shape in (("gaussian_blur", "gauss"), ("defocus", "disc")) if shape in shapes]
    rounds = [r for r in round_kernels(grey, max(sigma, LEVEL / 4)) if r.spec.split(":")[0] in kinds]
    if nearly:  # a Gaussian that is too wide does more harm than one that is too narrow
        width = gaussian_width(max(drawn, key=roundness))
        rounds = [gaussian(width, r.error) if r.spec.startswith("gauss") and r.width > width else r for r in rounds]

    def by_spectrum(r: Round) -> float:
        return _residual(y, r.kernel, prior, told) * (1 + DOUBT * (r.error - rounds[0].error))

    chosen = min(rounds, key=by_spectrum) if len(rounds) > 1 else next(iter(rounds), None)
    if drawn and not (looks_round and chosen):
        least, noise = max(MISFIT, 2 * sigma), max(sigma, LEVEL)

        def misfit(kernel: Tensor, parts: Sequence[float] = (0.5, 1.0)) -> float:
            return math.prod(_residual(y, kernel, prior, n * least, RIM, FEW) for n in parts) ** (1 / len(parts))

        def quick(kernel: Tensor) -> float:
            return misfit(kernel, (1.0,))

        def left(kernel: Tensor) -> float:
            return _residual(y, kernel, prior, least, RIM)

        def refit(kernel: Tensor, times: float, error: float, draw: int) -> Tensor:
            solver, told = LMAPS(steps=REFIT_STEPS), times * noise
            return refitted(y, kernel, noise, lambda half: _restored(half, kernel, prior, told, solver), error, draw)

        began = time.perf_counter()
        unblurred = left(NO_BLUR)
        note("the path of a shaken camera is sought: about %s", duration(SEARCH * (time.perf_counter() - began)))
        power = Power(grey, sigma)
        path = find_path(grey, power, drawn, quick, misfit, refit)
        if path and not (chosen and misfit(chosen.kernel) < path.misfit):
            part = left(path.kernel) / unblurred
            if path.believed(part, evidence(power, path.kernel, drawn)):
                care = next(factor for most, factor in CARE if part <= most)
                return Blur("blur", path.kernel, care * noise, False)
            # what is left is a round blur, unless the edges agree on another form
            if not chosen or left(chosen.kernel) >= unblurred:
                return None
            if agree >= AGREE and not (nearly and evidence(power, chosen.kernel, drawn) >= EVIDENT):
                return None
    return Blur(chosen.spec, chosen.kernel, max(1.3 * sigma, LEVEL), True) if chosen else None


def _middle(x: Tensor) -> Tensor:
    top, left = (max(0, (n - WINDOW) // 2) for n in x.shape[-2:])
    return x[..., top : top + WINDOW, left : left + WINDOW]


def _residual(y: Tensor, kernel: Tensor, prior: Prior, told: float, rim: float = 0.0, steps: int = STEPS) -> float:
    """How badly the prior explains `y` (c, h, w) through a kernel: the root mean square of what is left inside."""
    x = _restored(y, kernel, prior, told, HQS(steps=steps))
    A = correlation(tuple(y.shape), kernel[None], "reflect").to(y)
    down, right = (round(rim * n) for n in y.shape[-2:])
    left = (y - A(x[None])[0])[..., down : y.shape[-2] - down, right : y.shape[-1] - right]
    return float(left.square().mean().sqrt())


def _restored(y: Tensor, kernel: Tensor, prior: Prior, told: float, solver: AnySolver = QUICK) -> Tensor:
    """A quick restoration of the picture `y` (c, h, w)."""
    A = correlation(tuple(y.shape), kernel[None], "reflect").to(y)
    like = prior.problem(likelihood(A, Gaussian(told), y[None]))
    return prior.image(solve(solver, prior, cast(LinearGaussian, like), Rng([0])))[0]


def rough(x: Tensor, y: Tensor) -> bool:
    """Whether an image `x` has dots, stripes or rings that its measurement `y`, both (c, h, w), has not."""
    if variation(x) > STEEPER * (variation(y) + LEVEL / 2):
        return True
    if float((x.abs() > 1 + OVER).float().mean()) > float((y.abs() > 1 + OVER).float().mean()) + BEYOND:
        return True
    with suppress(DataError):
        return estimate_sigma(x) > 2 * estimate_sigma(y) + 8 * LEVEL
    return False


def variation(x: Tensor) -> float:
    """The mean size of the differences between neighbours, rows and columns."""
    return float(x.diff(dim=-1).abs().mean() + x.diff(dim=-2).abs().mean())
