"""Diffusion with preconditioned guidance."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from ..numerics.linalg import bcast
from ..operators.algebra import squared_norm
from ..ranges import Fraction, NonNegative
from ..transition import noise_in, renoise
from ..types import PerImage
from .base import Count, Level, LinearGaussian, Prior, Rng, Solver, State


@dataclass(frozen=True)
class Scaled(State):
    """A state with c = 1/‖A‖², (b,)."""

    c: PerImage


@dataclass(frozen=True)
class DDPG(Solver[LinearGaussian, Scaled]):
    """Denoising diffusion with preconditioned guidance (Garber & Tirer, 2024). arXiv:2312.16519

    It moves from back-projections while the noise is high to plain gradients when it is low:

        x̂₀' = x̂₀ + (1−δ) Aᵀ (A Aᵀ + η I)⁻¹ (y − A x̂₀) + δ c Aᵀ (y − A x̂₀),   δ = (1 + ρ_s²)^{−γ}
        x_s = α_s x̂₀' + σ_s (√ζ ε + √(1−ζ) δ ê)

    with η = max(10⁻⁴, 0.7 σ_y²) and c = 1/‖A‖². For noiseless data δ = 0, and the weight of ê is 1. A noisy run ends
    with the network's own x̂₀, as in the official code: the plain gradient would put the noise of the data back.
    """

    needs = LinearGaussian
    returns: ClassVar[str] = "point"

    steps: int = 100
    gamma: Annotated[float, NonNegative] = 8.0
    zeta: Annotated[float, Fraction] = 0.5

    def init(self, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> Scaled:
        noise = like.noise_image(rng)
        return Scaled(t.sigma * noise, torch.zeros_like(noise), 1 / squared_norm(like.A, noise))

    @property
    def begins_at_images(self) -> bool:
        return True

    def step(self, state: Scaled, k: Count, t: Level, s: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> Scaled:
        x0, noisy = prior(state.x, t), like.var > 0
        res, late = like.residual(x0), (1 + s.ratio**2) ** -self.gamma
        delta = bcast(torch.where(noisy, late, 0.0), x0)
        back = like.A.ridge(res, (0.7 * like.var).clamp_min(1e-4))
        new = x0 + (1 - delta) * back + delta * bcast(state.c, x0) * like.A.adjoint(res)
        if s.sigma == 0:
            new = torch.where(bcast(noisy, x0), x0, new)
        old = bcast(torch.where(noisy, late, 1.0), x0) * noise_in(state.x, new, t)
        return Scaled(renoise(state.x, new, t, s, self.zeta, rng, old=old), new, state.c)
