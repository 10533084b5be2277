"""D-Flow."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from ..numerics.linalg import norm, sq
from ..ranges import Fraction, NonNegative, Positive, Steps
from ..types import PerImage
from .base import Image, Level, Likelihood, LinearGaussian, Prior, Rng
from .latent import LatentSolver


@dataclass(frozen=True)
class DFlow(LatentSolver):
    """D-Flow: differentiating through the probability flow T (Ben-Hamu et al., 2024). arXiv:2402.14017

        min_z ‖y − A(T(z))‖² + λ (‖z‖²/2 − (d−1) log ‖z‖),   z₀ = √a T⁻¹(Aᵀ y) + √(1−a) ε

    T is the midpoint rule in ρ on `ode_steps` intervals with two network calls each. If A has no transpose, z₀ = ε.
    Adam takes the place of the paper's L-BFGS.
    """

    steps: int = 400
    ode_steps: Annotated[int, Steps] = 6
    lam: Annotated[float, NonNegative] = 0.01
    a: Annotated[float, Fraction] = 0.1
    lr: Annotated[float, Positive] = 0.02

    def start(self, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> Image:
        z = like.noise_image(rng)
        if not isinstance(like, LinearGaussian):
            return z
        u = like.A.adjoint(like.y)
        *noisy, _ = self.ladder(t, prior)
        for q, r in pairwise(reversed(noisy)):
            u = midpoint(u, q, r, prior)
        return math.sqrt(self.a) * u / t.ratio + math.sqrt(1 - self.a) * z

    def generate(self, z: Image, t: Level, prior: Prior) -> Image:
        u = t.ratio * z
        for r, q in pairwise(self.ladder(t, prior)):
            u = midpoint(u, r, q, prior)
        return u

    def ladder(self, t: Level, prior: Prior) -> list[Level]:
        """The levels of the flow from `t` down, with α = 1."""
        below = prior.schedule.levels(self.ode_steps)[1:]
        return [Level(r.t, 1.0, r.ratio) for r in [t, *below] if r.ratio <= t.ratio]

    def misfit(self, x0: Image, like: Likelihood) -> PerImage:
        return sq(like.residual(x0))

    def penalty(self, z: Image) -> PerImage:
        return self.lam * (sq(z) / 2 - (z[0].numel() - 1) * norm(z).log())


def midpoint(u: Image, r: Level, q: Level, prior: Prior) -> Image:
    """`u` (b, *image) moved from ρ_r to ρ_q along du/dρ = (u − x̂₀(u, ρ))/ρ, with the slope in the middle."""
    mid = Level((r.t + q.t) / 2, 1.0, (r.ratio + q.ratio) / 2)
    half = u + (mid.ratio - r.ratio) * (u - prior(u, r)) / r.ratio
    return u + (q.ratio - r.ratio) * (half - prior(half, mid)) / mid.ratio
