"""Particles for noiseless measurements."""

from dataclasses import dataclass
from typing import Annotated

import torch

from ..likelihoods import NoiselessSpectral
from ..numerics.linalg import sq
from ..numerics.particles import ParticleRng, grouped, residual, take
from ..ranges import Many, Range
from ..transition import ancestral, ddpm, mean
from .base import Count, Level, Prior, Rng
from .particle import Particles, ParticleSolver, pack


@dataclass(frozen=True)
class SMCDiff(ParticleSolver[NoiselessSpectral]):
    """Motif scaffolding by particles (Trippe et al., 2023), for noiseless data. arXiv:2206.04119

    Forward noise takes the measured coordinates M, ȳ_i/s_i in the basis V, along one path y_t ~ q(y_t|y) per image.

        w = N(y_s; μ_θ(x_t)_M, ζ σ_s² I),   x_s ~ N(μ_θ(x_t), ζ σ_s² I),   x_s,M ← y_s

    Residual resampling if Σ|p w − 1| > `threshold` p. It is exact only if the reverse chain inverts the forward one.
    The path is part of x, because it is the same in all particles.
    """

    needs = NoiselessSpectral

    steps: int = 100
    particles: Annotated[int, Many] = 16
    threshold: Annotated[float, Range(0, 2)] = 0.75

    def init(self, t: Level, prior: Prior, like: NoiselessSpectral, rng: Rng) -> Particles:
        start, A, p = super().init(t, prior, like, rng), like.A, self.particles
        x = start.x.flatten(0, 1)
        noise = like.noise_image(rng).repeat_interleave(p, 0)
        x = self.overwrite(x, t.alpha * A.pinv(like.y).repeat_interleave(p, 0) + t.sigma * noise, like.spread(p))
        return pack(x, torch.zeros_like(x), start.logw)

    def step(
        self, state: Particles, k: Count, t: Level, s: Level, prior: Prior, like: NoiselessSpectral, rng: Rng
    ) -> Particles:
        p = self.particles
        each, own, x = like.spread(p), ParticleRng(rng, p), state.x.flatten(0, 1)
        x0, clean = prior(x, t), like.A.pinv(like.y)
        path = ancestral(state.x[:, 0], clean, t, s, rng).repeat_interleave(p, 0)
        if s.sigma == 0:
            x0 = self.overwrite(x0, path, each)
            return pack(x0, x0, state.logw, before=state)
        zeta = ddpm(t, s)
        mu = mean(x, x0, t, s, zeta)
        gap = sq((each.A.s > 0) * each.A.Vt(path - mu))
        weight = state.logw - grouped(gap / (2 * zeta * s.sigma**2), p)
        uneven = ((p * weight.softmax(1) - 1).abs().sum(1) > self.threshold * p)[:, None]
        kept = torch.where(uneven, residual(weight, rng), torch.arange(p, device=x.device))
        mu = take(grouped(mu, p), kept).flatten(0, 1)
        new = self.overwrite(mu + s.sigma * zeta**0.5 * own.randn_like(mu), path, each)
        return pack(new, x0, torch.where(uneven, 0.0, weight), weight, state, kept)

    def overwrite(self, x: torch.Tensor, path: torch.Tensor, like: NoiselessSpectral) -> torch.Tensor:
        """`x` with the measured coordinates of `path`, both flat particles (b·p, *image)."""
        A = like.A
        return x + A.V((A.s > 0) * A.Vt(path - x))
