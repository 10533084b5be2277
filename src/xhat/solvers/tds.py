"""Twisted diffusion sampling."""

from dataclasses import dataclass
from typing import Annotated

import torch

from ..numerics.autodiff import vjp
from ..numerics.linalg import bcast, sq
from ..numerics.particles import ParticleRng, adaptive, grouped, take
from ..ranges import Fraction, Many
from ..transition import ancestral, ddpm, mean
from ..types import PerImage
from .base import Count, Image, Level, Likelihood, Prior, Rng, SpectralGaussian
from .particle import Particles, ParticleSolver, pack


@dataclass(frozen=True)
class TDS(ParticleSolver[Likelihood]):
    """Twisted diffusion sampler, Algorithm 1 (Wu et al., 2023), exact in the limit of many particles. arXiv:2306.17775

    With the twist p̃_t = N(y; A x̂₀, σ_y² I + r_t² A Aᵀ), r² = ρ²/(1 + ρ²), propose

        x_s ~ q = DDPM(x_t, x̂₀ + σ_t²/α_t ∇ log p̃_t)   and weight by   p(x_s|x_t) p̃_s(x_s) / (q(x_s) p̃_t(x_t)).

    The last step has no guidance and the exact likelihood. Systematic resampling if the effective sample size falls
    below `threshold` p. If A has no SVD, p̃_t = p(y|x̂₀) to the power 1/(1 + r_t²/σ_y²).
    """

    steps: int = 100
    particles: Annotated[int, Many] = 16
    threshold: Annotated[float, Fraction] = 0.5

    def step(
        self, state: Particles, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng
    ) -> Particles:
        p = self.particles
        each, own, x = like.spread(p), ParticleRng(rng, p), state.x.flatten(0, 1)
        x0, pullback = vjp(lambda x: prior(x, t), x)
        twist, slope = vjp(lambda x0: log_twist(each, x0, t), x0)
        g = pullback(slope(torch.ones_like(twist)))
        weight = state.logw + grouped(twist, p)  # of x_t

        kept, logw = adaptive(weight, self.threshold, rng)
        x, x0_, g, twist = (take(grouped(v, p), kept).flatten(0, 1) for v in (x, x0, g, twist))

        if s.sigma == 0:
            return pack(x0_, x0_, logw - grouped(twist + each.nll(x0_), p), None, state, kept)
        guided, zeta = x0_ + t.sigma**2 / t.alpha * g, ddpm(t, s)
        new = ancestral(x, guided, t, s, own)
        gap = sq(new - mean(x, guided, t, s, zeta)) - sq(new - mean(x, x0_, t, s, zeta))
        logw = logw + grouped(gap / (2 * zeta * s.sigma**2) - twist, p)
        return pack(new, x0, logw, weight, state, kept)


def log_twist(like: Likelihood, x0: Image, t: Level) -> PerImage:
    """log p̃_t per particle, up to a constant."""
    r2, var = t.ratio**2 / (1 + t.ratio**2), like.noise.scale(like.y) ** 2
    if not isinstance(like, SpectralGaussian):
        return -like.nll(x0) / (1 + r2 * like.gain.to(var) / var)
    z = like.A.Ut(like.residual(x0))
    return -sq(z / (bcast(var, z) + r2 * like.A.s**2).sqrt()) / 2
