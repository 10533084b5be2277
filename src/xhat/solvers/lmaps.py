"""Local MAP sampling."""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor

from ..errors import MismatchError, SpecError
from ..likelihoods import CellGaussian
from ..noise import Gaussian, Poisson
from ..numerics.inner import adam, gauss_newton
from ..numerics.linalg import bcast, rms, sq
from ..operators.base import ProxyOperator
from ..operators.denoise import Denoise
from ..ranges import Fraction, NonNegative, Positive, Steps
from ..schedule import CLEAN, EDM, Schedule
from .base import Image, Level, Likelihood, LinearGaussian, PointEstimator, Prior, Rng, Rule, State
from .warm import START, filled, smooth_start

LAST = 0.6  # the last level over σ_y; from 0.5 to 0.75 it is best or nearly so on photographs, for σ_y of 0.01 to 0.1
FIRST = 3.0  # the first level at most: above it images of [−1, 1] are lost in noise, and steps are, too (1.5 dB in MRI)


@dataclass(frozen=True)
class LMAPS(PointEstimator[Likelihood]):
    """Local MAP sampling (Zhang, Brekelmans & Ver Steeg, 2025). arXiv:2510.07343

    x̂₀ = argmin ‖y − A(x)‖² + w_t ‖x − E[x₀|x_t]‖², the mode of p(x₀|x_t, y) under Cov[x₀|x_t] = k ρ_t² I:

        w_t = σ_y² / (k ρ_t²)     or, in the paper's parametrisation,     w_t = k₁² / (2 k₂ σ_t²)

    Then renoise with fraction ζ. `renoise` says how much of the fresh noise is added (`transition.fresh`): full is our
    reading of the paper; calibrated ends it where the errors of prior and data are large beside it, so that the run
    comes to the mode. `inner` = adam is the paper's loop of gradient steps. auto solves for x̂₀: in closed form or by
    conjugate gradient if A is linear, otherwise by Gauss-Newton. For JPEG, quantisation and clipping x̂₀ is the mean
    of N(E[x₀|x_t], k ρ_t² I) on the cells that y names. Without a k it is 1, which comes to the mode, and 3 on cells.
    Where σ_y is a noise level of images, as in pictures and MRI, it is 4 under a prior that was learned, and in the
    last step Cov[x₀|x_t] is the error that the prior states, if it does: that is no mode, but a better image. Where the
    measurement is the image with such noise and nothing else, it is x_t itself at ρ_t = σ_y, and x̂₀ is E[x₀|x_t]: the
    mean of the posterior in one call. proxy is
    the paper's way for codes: one step of the proxy gradient, A(x) − y, from E[x₀|x_t] clipped to [−1, 1], without
    which it drifts; the code's own error there counts as noise, so that the prior takes over once ρ_t is smaller than
    one quantisation step. Under a prior of images of any size, holes are filled by a smooth surface first, and the run
    begins there at ρ = 1 (`warm.py`): what such a prior draws from pure noise is worse. For Poisson noise, whose
    variance hangs on x, auto is adam as well: Gauss-Newton wants one that is fixed. Raises SpecError if only one of k1
    and k2 is given.
    """

    steps: int = 20
    k: Annotated[float, Positive] | None = None
    k1: Annotated[float, NonNegative] | None = None
    k2: Annotated[float, NonNegative] | None = None
    zeta: Annotated[float, Fraction] = 1.0
    renoise: Rule = "calibrated"
    inner: str = "auto"
    inner_steps: Annotated[int, Steps] = 30
    lr: Annotated[float, Positive] = 0.1

    def __post_init__(self) -> None:
        if (self.k1 is None) != (self.k2 is None):
            raise SpecError("lmaps: k1 and k2 come together")
        if self.inner not in ("auto", "proxy", "adam"):
            raise SpecError(f"lmaps: inner must be auto, proxy or adam, not {self.inner!r}")

    @property
    def proximal(self) -> bool:
        return self.inner == "auto"

    def levels_for(self, schedule: Schedule | None, prior: Prior, like: Likelihood) -> list[Level]:
        """Under a learned prior, for linear A, from ρ = 3 on, with holes that are filled first from ρ = 1; where σ_y
        is a noise level of images, down to 0.6 σ_y: what is left of the noise lies there; where y is an image with
        noise of level σ_y, that level alone. Otherwise the levels of the prior.

        Raises MismatchError for a batch of different σ_y, which has no common ladder, unless there is a `schedule`.
        """
        own, tempered = super().levels_for(schedule, prior, like), self.tempered(prior, like)
        if schedule is not None or prior.closed_form or not (tempered or isinstance(like, LinearGaussian)):
            return own
        low, top = prior.lowest, min(own[0].ratio, START if smooth_start(prior, like) else FIRST)
        if tempered:
            sigma = like.noise.scale(like.y)
            if not (sigma == sigma[0]).all():
                raise MismatchError("the measurements have different noise, so their ladders differ: give a schedule")
            if isinstance(like.A, Denoise) and low <= float(sigma[0]) <= own[0].ratio:
                return [Level(1.0, 1.0, float(sigma[0])), CLEAN]
            low = max(LAST * float(sigma[0]), low)
        elif top == own[0].ratio:
            return own
        return EDM(low, top).levels(self.steps) if low < top else own

    def init(self, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        state = super().init(t, prior, like, rng)
        if smooth_start(prior, like) and t.ratio <= START:
            return replace(state, x=t.alpha * filled(like) + state.x)
        known = noised(t, like)
        return replace(state, x=torch.where(bcast(known, state.x), t.alpha * like.y, state.x)) if known.any() else state

    @property
    def begins_at_images(self) -> bool:
        return True

    def tempered(self, prior: Prior, like: Likelihood) -> bool:
        """Whether σ_y is a noise level of images and the prior was learned, and x̂₀ is a mode, not the mean on cells."""
        cells = self.inner == "auto" and isinstance(like, CellGaussian)
        return not prior.closed_form and not cells and like.level_of_images

    def variance(self, t: Level, s: Level, prior: Prior, like: Likelihood) -> float:
        """The v of Cov[x₀|x_t] = v I in the step from `t` to `s`."""
        error = prior.mse(t) if s.sigma == 0 and self.tempered(prior, like) else None
        if error is not None:
            return error
        k = self.k or (4.0 if self.tempered(prior, like) else 3.0 if isinstance(like, CellGaussian) else 1.0)
        return k * t.ratio**2

    def estimates(self, x: Image, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> tuple[Image, Image]:
        m = prior(x, t)
        known = noised(t, like)
        if known.any():
            known = known & (x == t.alpha * like.y).flatten(1).all(1)
        if known.all():
            return m, m
        v = self.variance(t, s, prior, like)
        w: Tensor | float = like.noise.scale(like.y) ** 2 / v
        if self.k1 is not None and self.k2 is not None:
            w = self.k1**2 / (2 * self.k2 * t.sigma**2)
        x0 = self.mode(m, t, v, w, like)
        return m, torch.where(bcast(known, m), m, x0) if known.any() else x0

    def mode(self, m: Image, t: Level, v: float, w: Tensor | float, like: Likelihood) -> Image:
        """x̂₀ from E[x₀|x_t] = `m`, (b, *image), with the variance `v` and the weight `w`, a number or one per image."""
        if self.inner == "auto" and isinstance(like, LinearGaussian | CellGaussian):
            return like.prox(m, w)
        if self.inner != "adam" and isinstance(like.A, ProxyOperator):
            m = m.clamp(-1, 1)
            code = like.A(m)
            w = w + rms(code - m) ** 2 / v
            return m + (like.y - code) / (1 + bcast(w, m))
        if self.inner != "adam" and not isinstance(like.noise, Poisson):
            return gauss_newton(like.residual, torch.zeros(()), w, m)
        energy = lambda z: sq(like.residual(z)) + w * sq(z - m)
        return adam(energy, m, self.lr * min(1.0, t.ratio), self.inner_steps)


def noised(t: Level, like: Likelihood) -> Tensor:
    """Whether each measurement is an image at level `t`, (b,): x_t = α_t y has noise of σ_y = ρ_t, and nothing else."""
    if not isinstance(like.A, Denoise) or not isinstance(like.noise, Gaussian):
        return torch.zeros(len(like.y), dtype=torch.bool, device=like.y.device)
    return like.noise.scale(like.y) == t.ratio
