"""Plug-and-play ADMM."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from ..ranges import Positive
from ..schedule import Schedule
from .base import Count, Image, Level, LinearGaussian, Prior, Rng, Solver, State
from .hqs import first, ladder


@dataclass(frozen=True)
class Dual(State):
    """The denoised image v in `x` and `x0`, and the scaled dual variable u, (b, *image)."""

    u: Image


@dataclass(frozen=True)
class PnPADMM(Solver[LinearGaussian, Dual]):
    """Plug-and-play ADMM, Algorithm 1 (Chan, Wang & Elgendy, 2017). arXiv:1605.01710

        x = argmin ‖y − A x‖² + λ σ_y²/ρ_k² ‖x − (v − u)‖²,   v ← D(x + u, ρ_k),   u ← u + x − v

    ρ_k falls geometrically from `high` to `low` as in `hqs`, which is the paper's continuation with a constant factor.
    With λ = 1 and ρ held, it converges to the MAP of a Gaussian prior. The seed does not matter.
    """

    name: ClassVar[str] = "pnp_admm"
    needs = LinearGaussian
    returns: ClassVar[str] = "point"
    seeded: ClassVar[bool] = False

    steps: int = 24
    lam: Annotated[float, Positive] = 0.23
    high: Annotated[float, Positive] = 2 * 49 / 255
    low: Annotated[float, Positive] | None = None

    def levels(self, schedule: Schedule, like: LinearGaussian) -> list[Level]:
        return ladder(self.high, self.low, self.steps, like)

    def init(self, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> Dual:
        x = first(like)
        return Dual(x, x, torch.zeros_like(x))

    def step(self, state: Dual, k: Count, t: Level, s: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> Dual:
        x = like.prox(state.x - state.u, self.lam * like.var / t.ratio**2)
        v = prior(x + state.u, t)
        return Dual(v, v, state.u + x - v)
