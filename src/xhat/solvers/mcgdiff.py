"""Monte Carlo guided diffusion."""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor

from ..numerics.linalg import bcast, sq
from ..numerics.particles import ParticleRng, adaptive, grouped, take
from ..ranges import Fraction, Many, Positive
from .base import Count, Level, Prior, Rng, SpectralGaussian
from .particle import Particles, ParticleSolver, pack


@dataclass(frozen=True)
class MCGDiff(ParticleSolver[SpectralGaussian]):
    """Monte Carlo guided diffusion (Cardoso et al., 2023), exact in the limit of many particles. arXiv:2308.07983

    In ū = Vᵀ x_s/α_s a measured coordinate b_i = ȳ_i/s_i is a clean one with noise up to τ_i = σ_y/s_i: it is the
    state of the chain at ρ = τ_i. While ρ_s ≥ τ_i it is treated as b_i ~ N(ū_i, v_i), v_i = ρ_s² − τ_i² + κ (1 + τ_i²).
    With DDIM's mean μ̄ and variance c² of the step from ρ_t to r_i = max(ρ_s, τ_i), which end at τ_i where that lies
    inside the step,

        w = Π N(b_i; μ̄_i, c_i² + v_i) / Π N(b_i; ū_{t,i}, v_{t,i}),   then   ū_i ~ N(μ̄_i, c_i²) N(b_i; ū_i, v_i)

    over the i that are seen at t. Those with τ_i > ρ_s then go on from τ_i to ρ_s by DDIM with the same x̂₀, and below
    τ_i a coordinate no longer depends on b_i; so any number of different singular values will do. The official code
    divides by that last factor and ends with p(y|x̂₀) instead, which counts y nearly twice for any practical number of
    particles. It also has η = 0.85, with which the chain is not the reversal of the noise, and too narrow, and
    resamples at every level by independent draws, here systematically and only where the effective sample size has
    fallen below `threshold` p.
    """

    needs = SpectralGaussian

    steps: int = 100
    particles: Annotated[int, Many] = 64
    eta: Annotated[float, Fraction] = 1.0
    kappa: Annotated[float, Positive] = 1e-4
    threshold: Annotated[float, Fraction] = 0.5

    def init(self, t: Level, prior: Prior, like: SpectralGaussian, rng: Rng) -> Particles:
        first, each = super().init(t, prior, like, rng), like.spread(self.particles)
        z = each.A.Vt(first.x.flatten(0, 1) / t.sigma)
        mean, var = self.seeing(torch.zeros_like(z), t.ratio**2, each, self.seen(each, t), t.ratio)
        return replace(first, x=grouped(t.alpha * each.A.V(mean + var.sqrt() * z), self.particles))

    def step(
        self, state: Particles, k: Count, t: Level, s: Level, prior: Prior, like: SpectralGaussian, rng: Rng
    ) -> Particles:
        p = self.particles
        each, own, x = like.spread(p), ParticleRng(rng, p), state.x.flatten(0, 1)
        A, x0, seen = each.A, prior(x, t), self.seen(each, t)
        u, clean, b = A.Vt(x) / t.alpha, A.Vt(x0), A.inverse * A.Ut(each.y)
        r = torch.where(seen, self.tau(each).clamp(s.ratio, t.ratio), s.ratio)  # where the part that sees b ends
        mu, c2 = self.ddim(u, clean, t.ratio, r)
        near, far = (b - mu) / (c2 + self.excess(each, r)).sqrt(), (b - u) / self.excess(each, t.ratio).sqrt()
        weight = state.logw + grouped((sq(seen * far) - sq(seen * near)) / 2, p)
        if s.sigma == 0:
            return pack(x0, x0, weight, before=state)
        kept, logw = adaptive(weight, self.threshold, rng)
        mu, clean = (take(grouped(v, p), kept).flatten(0, 1) for v in (mu, clean))
        mean, var = self.seeing(mu, c2, each, seen, r)
        mean, more = self.ddim(mean, clean, r, s.ratio)  # nothing happens where r = ρ_s
        var = var * self.shrink(r, s.ratio) ** 2 + more
        new = s.alpha * A.V(mean + var.sqrt() * A.Vt(own.randn_like(x0)))
        return pack(new, x0, logw, weight, before=state, kept=kept)

    def tau(self, like: SpectralGaussian) -> Tensor:
        """τ of each coordinate, 0 where A does not see it; one row for each image."""
        return bcast(like.var.sqrt(), like.A.inverse) * like.A.inverse

    def seen(self, like: SpectralGaussian, t: Level) -> Tensor:
        """Whether a coordinate depends on its b at level t."""
        return (like.A.s > 0) & (t.ratio >= self.tau(like) * (1 - 1e-6))

    def excess(self, like: SpectralGaussian, r: Tensor | float) -> Tensor:
        """v of each coordinate at ρ = `r`."""
        tau2 = self.tau(like) ** 2
        return (r**2 - tau2).clamp_min(0) + self.kappa * (1 + tau2)

    def shrink(self, r: Tensor | float, s: Tensor | float) -> Tensor | float:
        """What is left of the noise at ρ = `r` after DDIM's step to `s`: ρ_s/ρ_r √(1 − ζ)."""
        kept: Tensor | float = s / r * (1 - self.eta**2 * (1 - (s / r) ** 2)) ** 0.5
        return kept

    def ddim(self, u: Tensor, clean: Tensor, r: Tensor | float, s: Tensor | float) -> tuple[Tensor, Tensor]:
        """Mean and variance of ū at ρ = `s` given `u` at `r` and x̂₀ = `clean`, coordinate by coordinate."""
        var = self.eta**2 * (1 - (s / r) ** 2) * s**2
        return clean + self.shrink(r, s) * (u - clean), var + torch.zeros_like(u)

    def seeing(
        self, mu: Tensor, c2: Tensor | float, like: SpectralGaussian, seen: Tensor, r: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """Mean and variance of N(μ̄, c²) N(b; ū, v) at ρ = `r` where the coordinate is seen, elsewhere of N(μ̄, c²)."""
        b, v = like.A.inverse * like.A.Ut(like.y), self.excess(like, r)
        gain = torch.where(seen, c2 / (c2 + v), 0.0)
        return mu + gain * (b - mu), torch.where(seen, v * gain, c2)
