"""ReSample, in pixels."""

import math
from dataclasses import dataclass
from typing import Annotated

from ..numerics.autodiff import grad, vjp
from ..numerics.inner import adam
from ..numerics.linalg import norm, sq
from ..ranges import NonNegative, Positive, Steps
from ..transition import fresh, renoise
from .base import Count, Image, Level, Likelihood, Prior, Rng, Rule, Solver, State


@dataclass(frozen=True)
class ReSample(Solver[Likelihood]):
    """Hard data consistency with stochastic resampling, Algorithm 1 in pixels (Song et al., 2024). arXiv:2307.08123

        x' = DDIM(x_t, x̂₀) − c ᾱ_t ∇_{x_t} ‖y − A(x̂₀)‖

    At every `every`-th level below ρ = `below`, and at the end, z = argmin ‖y − A(z)‖² by Adam from x̂₀, stopped
    when the residual is the one that the noise explains, and

        x_s ~ N( (g α_s z + σ_s² x')/(g + σ_s²), g σ_s²/(g + σ_s²) ),   g = gamma (1−ᾱ_s)/(1−ᾱ_t) (1 − ᾱ_t/ᾱ_s),

    with ᾱ = 1/(1 + ρ²), in VP; other schedules are rescaled. The paper's decoder is the identity here, and the few
    look-ahead DDIM steps of the official code before each fit are left out.
    """

    steps: int = 500
    c: Annotated[float, NonNegative] = 0.5
    every: Annotated[int, Steps] = 10
    below: Annotated[float, Positive] = 9.4  # the paper's last two thirds, t ≤ 2/3 of a variance-preserving table
    inner_steps: Annotated[int, Steps] = 200
    lr: Annotated[float, Positive] = 0.01
    gamma: Annotated[float, Positive] = 40.0
    renoise: Rule = "full"

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        x0, pullback = vjp(lambda x: prior(x, t), state.x)
        direction = grad(lambda x0: norm(like.residual(x0)), x0)
        abar = (t.alpha / t.norm) ** 2
        x = renoise(state.x, x0, t, s, 0.0, rng) - self.c * abar * t.norm * s.norm * pullback(direction)
        if s.sigma > 0 and (t.ratio > self.below or k.left % self.every):
            return State(x, x0)
        z = self.fit(x0, like)
        return State(self.resample(x, z, t, s, prior, rng), z)

    def fit(self, x0: Image, like: Likelihood) -> Image:
        """Hard consistency: z near x̂₀ with a residual as large as the noise."""
        return adam(lambda z: sq(like.residual(z)), x0, self.lr, self.inner_steps, goal=like.explained)

    def resample(self, x: Image, z: Image, t: Level, s: Level, prior: Prior, rng: Rng) -> Image:
        """x_s given both z and the chain's own x', (b, *image)."""
        if s.sigma == 0:
            return z
        abar_t, abar_s = (t.alpha / t.norm) ** 2, (s.alpha / s.norm) ** 2
        g = self.gamma * (1 - abar_s) / (1 - abar_t) * (1 - abar_t / abar_s) * s.norm**2
        v = s.sigma**2
        share, _ = fresh(self.renoise, t, s, prior.mse)
        noise = share * math.sqrt(g * v / (g + v))
        return (g * s.alpha * z + v * x) / (g + v) + noise * rng.randn_like(x)
