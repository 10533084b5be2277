"""Local MAP sampling."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ..errors import SpecError
from ..likelihoods import CellGaussian
from ..noise import Poisson
from ..numerics.inner import adam, gauss_newton
from ..numerics.linalg import bcast, rms, sq
from ..operators.base import ProxyOperator
from ..ranges import Fraction, NonNegative, Positive, Steps
from .base import Image, Level, Likelihood, LinearGaussian, PointEstimator, Prior, Rng, Rule


@dataclass(frozen=True)
class LMAPS(PointEstimator[Likelihood]):
    """Local MAP sampling (Zhang, Brekelmans & Ver Steeg, 2025). arXiv:2510.07343

    x̂₀ = argmin ‖y − A(x)‖² + w_t ‖x − E[x₀|x_t]‖², the mode of p(x₀|x_t, y) under Cov[x₀|x_t] = k ρ_t² I:

        w_t = σ_y² / (k ρ_t²)     or, in the paper's parametrisation,     w_t = k₁² / (2 k₂ σ_t²)

    Then renoise with fraction ζ. `renoise` says how much of the fresh noise is added (`transition.fresh`): full is our
    reading of the paper; calibrated ends it where the prior's own error is large beside it, so that the run comes to
    the mode. `inner` = adam is the paper's loop of gradient steps. auto solves for x̂₀: in closed form or by conjugate
    gradient if A is linear, otherwise by Gauss-Newton. For JPEG, quantisation and clipping x̂₀ is the mean of
    N(E[x₀|x_t], 3 k ρ_t² I) on the cells that y names. proxy is the paper's way for codes: one step of the proxy
    gradient, A(x) − y, from E[x₀|x_t] clipped to [−1, 1], without which it drifts; the code's own error there counts as
    noise, so that the prior takes over once ρ_t is smaller than one quantisation step. For Poisson noise auto is adam
    as well. Raises SpecError if only one of k1 and k2 is given.
    """

    steps: int = 20
    k: Annotated[float, Positive] = 1.0
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

    def spread(self, like: Likelihood) -> float:
        """k, and 3 k for the mean on cells: best on photographs there; for other data k = 1 comes to the mode."""
        return 3 * self.k if self.inner == "auto" and isinstance(like, CellGaussian) else self.k

    def weight(self, t: Level, like: Likelihood) -> Tensor | float:
        """w_t, a number or one per image."""
        if self.k1 is not None and self.k2 is not None:
            return self.k1**2 / (2 * self.k2 * t.sigma**2)
        return like.noise.scale(like.y) ** 2 / (self.spread(like) * t.ratio**2)

    def estimate(self, x: Image, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> Image:
        m = prior(x, t)
        w = self.weight(t, like)
        if self.inner == "auto" and isinstance(like, LinearGaussian | CellGaussian):
            return like.prox(m, w)
        if self.inner != "adam" and isinstance(like.A, ProxyOperator):
            m = m.clamp(-1, 1)
            code = like.A(m)
            w = w + rms(code - m) ** 2 / (self.spread(like) * t.ratio**2)
            return m + (like.y - code) / (1 + bcast(w, m))
        if self.inner != "adam" and not isinstance(like.noise, Poisson):
            return gauss_newton(like.residual, torch.zeros(()), w, m)
        energy = lambda z: sq(like.residual(z)) + w * sq(z - m)
        return adam(energy, m, self.lr * min(1.0, t.ratio), self.inner_steps)
