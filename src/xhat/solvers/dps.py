"""Diffusion posterior sampling."""

from dataclasses import dataclass
from typing import Annotated

import torch

from ..numerics.autodiff import grad, vjp
from ..numerics.linalg import norm
from ..ranges import NonNegative
from ..transition import ancestral
from .base import Count, Level, Likelihood, Prior, Rng, Solver, State


@dataclass(frozen=True)
class DPS(Solver[Likelihood]):
    """Diffusion posterior sampling, Algorithm 1 (Chung et al., 2023). arXiv:2209.14687

        x_s = DDPM(x_t, x̂₀) − c n_t n_s ∇_{x_t} ‖y − A(x̂₀(x_t))‖,   n = √(α² + σ²)

    In the paper's VP schedule n = 1. The norm is that of each image and is not squared, as in the official code.
    """

    steps: int = 1000
    c: Annotated[float, NonNegative] = 0.5

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        x0, pullback = vjp(lambda x: prior(x, t), state.x)
        direction = grad(lambda x0: norm(like.residual(x0)), x0)
        direction = like.evened(direction, torch.zeros(len(x0)).to(x0))
        x = ancestral(state.x, x0, t, s, rng)
        return State(x - self.c * t.norm * s.norm * pullback(direction), x0)
