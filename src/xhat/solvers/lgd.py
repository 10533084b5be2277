"""Loss-guided diffusion."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ..numerics.autodiff import grad, vjp
from ..numerics.linalg import norm
from ..ranges import Many, NonNegative
from ..transition import ancestral
from .base import Count, Image, Level, Likelihood, Prior, Rng, Solver, State


@dataclass(frozen=True)
class LGD(Solver[Likelihood]):
    """Loss-guided diffusion with Monte Carlo, LGD-MC (Song et al., ICML 2023).

        x_s = DDPM(x_t, x̂₀) + c n_t n_s ∇_{x_t} log (1/n) Σ_i exp(−‖y − A(x̂₀ + r_t ε_i)‖),   r_t² = ρ_t²/(1 + ρ_t²)

    This is the logarithm of a mean over `n` draws around x̂₀. r_t = 0 would make it DPS, with which it shares loss and
    step size c.
    """

    steps: int = 1000
    c: Annotated[float, NonNegative] = 0.5
    n: Annotated[int, Many] = 10

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        x0, pullback = vjp(lambda x: prior(x, t), state.x)
        r = t.sigma / t.norm
        offsets = [r * rng.randn_like(x0) for _ in range(self.n)]
        direction = grad(lambda x0: self.loss(x0, offsets, like), x0)
        direction = like.evened(direction, torch.zeros(len(x0)).to(x0))
        x = ancestral(state.x, x0, t, s, rng)
        return State(x - self.c * t.norm * s.norm * pullback(direction), x0)

    def loss(self, x0: Image, offsets: list[Image], like: Likelihood) -> Tensor:
        """−log of the mean of exp(−‖y − A(x̂₀ + offset)‖), (b,)."""
        losses = torch.stack([norm(like.residual(x0 + offset)) for offset in offsets])
        return math.log(len(offsets)) - torch.logsumexp(-losses, 0)
