"""Monte Carlo guided diffusion."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor

from ..numerics.linalg import bcast, sq
from ..numerics.particles import ParticleRng, grouped, multinomial, take
from ..ranges import Fraction, Many, Positive
from ..schedule import Schedule
from ..transition import ddpm, mean
from .base import Count, Level, Prior, Rng, SpectralGaussian
from .particle import Particles, ParticleSolver, pack


@dataclass(frozen=True)
class MCGDiff(ParticleSolver[SpectralGaussian]):
    """Monte Carlo guided diffusion (Cardoso et al., 2023), exact in the limit of many particles. arXiv:2308.07983

    In ū = Vᵀ x_s/α_s a measured coordinate b_i = ȳ_i/s_i is a clean one with noise up to τ_i = σ_y/s_i. Where ρ_s ≥ τ_i
    it is treated as b_i ~ N(ū_i, v_i), v_i = ρ_s² − τ_i² + κ (1 + τ_i²). With DDIM's mean μ̄ and c² = ζ ρ_s²,

        w = Π N(b_i; μ̄_i, c² + v_i) / Π N(b_i; ū_{t,i}, v_{t,i}),   then   ū_i ~ N(μ̄_i, c²) N(b_i; ū_i, v_i)

    over the i that are seen at s, and ū_i ~ N(μ̄_i, c²) for the others: below τ_i a coordinate no longer depends on
    b_i. The official code divides by that last factor and ends with p(y|x̂₀) instead, which counts y nearly twice for
    any practical number of particles. The ladder contains the τ_i if the images have the same ones and at most `steps`
    of them.
    """

    needs = SpectralGaussian

    steps: int = 100
    particles: Annotated[int, Many] = 64
    eta: Annotated[float, Fraction] = 0.85
    kappa: Annotated[float, Positive] = 1e-4

    def levels(self, schedule: Schedule, like: SpectralGaussian) -> list[Level]:
        ladder = schedule.levels(self.steps)
        tau = torch.unique(like.var.sqrt()[:, None] * like.A.inverse.reshape(len(like.A.inverse), -1), dim=0)
        new = sorted(set(tau[0].tolist()) - {0.0}) if len(tau) == 1 else []
        for r in new if len(new) <= self.steps else []:
            i = next((i for i, (t, s) in enumerate(pairwise(ladder), 1) if t.ratio > r > s.ratio), None)
            if i is not None:
                ladder.insert(i, Level((ladder[i - 1].t + ladder[i].t) / 2, 1.0, r))
        return ladder

    def init(self, t: Level, prior: Prior, like: SpectralGaussian, rng: Rng) -> Particles:
        noise, each = super().init(t, prior, like, rng), like.spread(self.particles)
        z = each.A.Vt(noise.x.flatten(0, 1) / t.sigma)
        u = self.draw(torch.zeros_like(z), t.ratio**2, each, t, z)
        return pack(t.alpha * each.A.V(u), torch.zeros_like(u).reshape(-1, *like.A.shape), noise.logw)

    def step(
        self, state: Particles, k: Count, t: Level, s: Level, prior: Prior, like: SpectralGaussian, rng: Rng
    ) -> Particles:
        p = self.particles
        each, own, x = like.spread(p), ParticleRng(rng, p), state.x.flatten(0, 1)
        A, x0, zeta = each.A, prior(x, t), self.eta**2 * ddpm(t, s)
        mu, c2 = A.Vt(mean(x, x0, t, s, zeta)) / s.alpha, zeta * s.ratio**2
        stays = self.seen(each, s)[0]  # of those seen at t; one that is left keeps its factor
        logw = self.log_seen(mu, c2, each, s, stays) - self.log_seen(A.Vt(x) / t.alpha, 0.0, each, t, stays)
        logw = grouped(logw, p)
        if s.sigma == 0:
            return pack(x0, x0, logw)
        level = logw.amax(1, keepdim=True) == logw.amin(1, keepdim=True)  # nothing seen: resampling would only lose
        kept = torch.where(level, torch.arange(p, device=x.device), multinomial(logw, rng))
        mu = take(grouped(mu, p), kept).flatten(0, 1)
        u = self.draw(mu, c2, each, s, A.Vt(own.randn_like(x0)))
        return pack(s.alpha * A.V(u), x0, torch.zeros_like(logw), logw)

    def seen(self, like: SpectralGaussian, t: Level) -> tuple[Tensor, Tensor, Tensor]:
        """Whether a coordinate is seen at level t, its b, and its variance v (1 if it is not seen)."""
        A = like.A
        b = A.inverse * A.Ut(like.y)
        tau2 = bcast(like.var, b) * A.inverse**2
        active = (A.s > 0) & (t.ratio**2 >= tau2 * (1 - 1e-6))
        return active, b, torch.where(active, (t.ratio**2 - tau2).clamp_min(0) + self.kappa * (1 + tau2), 1.0)

    def log_seen(self, u: Tensor, var: float, like: SpectralGaussian, t: Level, which: Tensor) -> Tensor:
        """Σ log N(b_i; ū_i, var + v_i) over `which`, (b·p,), without the normaliser that all particles share."""
        _, b, v = self.seen(like, t)
        return -sq(which * (b - u) / (var + v).sqrt()) / 2

    def draw(self, mu: Tensor, c2: float, like: SpectralGaussian, t: Level, z: Tensor) -> Tensor:
        """A draw from N(μ̄, c²), multiplied by N(b; ū, v) where the coordinate is seen; `z` is white noise."""
        active, b, v = self.seen(like, t)
        gain = torch.where(active, c2 / (c2 + v), 0.0)
        return mu + gain * (b - mu) + torch.where(active, v * gain, c2).sqrt() * z
