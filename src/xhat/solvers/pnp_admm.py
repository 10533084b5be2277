"""Plug-and-play ADMM."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from .base import Count, Image, Level, LinearGaussian, Prior, Rng, State
from .splitting import Splitting, first


@dataclass(frozen=True)
class Dual(State):
    """The denoised image v in `x` and `x0`, and the scaled dual variable u, (b, *image)."""

    u: Image


@dataclass(frozen=True)
class PnPADMM(Splitting[Dual]):
    """Plug-and-play ADMM, Algorithm 1 (Chan, Wang & Elgendy, 2017). arXiv:1605.01710

        x = argmin ‖y − A x‖² + λ σ_y²/ρ_k² ‖x − (v − u)‖²,   v ← D(x + u, ρ_k),   u ← u + x − v

    ρ_k falls geometrically from `high` to `low` as in `hqs`, which is the paper's continuation with a constant factor.
    With λ = 1 and ρ held, it converges to the MAP of a Gaussian prior. The seed does not matter.
    """

    name: ClassVar[str] = "pnp_admm"

    def init(self, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> Dual:
        x = first(like)
        return Dual(x, x, torch.zeros_like(x))

    def step(self, state: Dual, k: Count, t: Level, s: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> Dual:
        x = self.fitted(state.x - state.u, t, like)
        v = prior(x + state.u, t)
        return Dual(v, v, state.u + x - v)
