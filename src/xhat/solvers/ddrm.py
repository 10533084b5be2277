"""Denoising diffusion restoration models."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch

from ..ranges import Fraction
from ..transition import noise_in
from .base import Count, Image, Level, Prior, Rng, Solver, SpectralGaussian, State


@dataclass(frozen=True)
class DDRM(Solver[SpectralGaussian]):
    """Denoising diffusion restoration models, eqs. 7-8 (Kawar et al., 2022). arXiv:2201.11793

    In the coordinates ū = Vᵀ x_s/α_s, with ȳ = Uᵀ y/s_i of standard deviation σ_y/s_i, old noise ē and z ~ N(0, I):

        s_i = 0          ū = x̄₀ + √(1−η²) ρ_s ē + η ρ_s z
        ρ_s < σ_y/s_i    ū = x̄₀ + √(1−η²) ρ_s (ȳ − x̄₀) s_i/σ_y + η ρ_s z
        ρ_s ≥ σ_y/s_i    ū = (1−η_b) x̄₀ + η_b ȳ + √(ρ_s² − η_b² σ_y²/s_i²) z
    """

    needs = SpectralGaussian

    steps: int = 20
    eta: Annotated[float, Fraction] = 0.85
    eta_b: Annotated[float, Fraction] = 1.0

    def init(self, t: Level, prior: Prior, like: SpectralGaussian, rng: Rng) -> State:
        A, noise, (ybar, sd) = like.A, like.noise_image(rng), like.ybar
        z = A.Vt(noise)
        known = (A.s > 0) & (t.ratio >= sd)
        u = torch.where(known, ybar + (t.ratio**2 - sd**2).clamp_min(0).sqrt() * z, t.ratio * z)
        return State(t.alpha * A.V(u), torch.zeros_like(noise))

    @property
    def begins_at_images(self) -> bool:
        return True

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: SpectralGaussian, rng: Rng) -> State:
        x0 = prior(state.x, t)
        return State(self.drawn(state.x, x0, t, s, like, rng), x0)

    def drawn(self, x: Image, x0: Image, t: Level, s: Level, like: SpectralGaussian, rng: Rng) -> Image:
        """x_s given x_t and x̂₀, all (b, *image)."""
        A, old, (ybar, sd) = like.A, math.sqrt(1 - self.eta**2), like.ybar
        m, e = A.Vt(x0), A.Vt(noise_in(x, x0, t))
        z = A.Vt(rng.randn_like(x0))  # drawn as an image: the signs of V, free in any decomposition, do not matter
        unseen, noisy = A.s == 0, s.ratio < sd
        # ū = x̄₀ + a (ȳ − x̄₀) + c ē + d z, the three cases above as weights on the spectral grid
        a = torch.where(unseen, 0.0, torch.where(noisy, old * s.ratio / torch.where(noisy, sd, 1.0), self.eta_b))
        c = torch.where(unseen, old * s.ratio, 0.0)
        d = torch.where(unseen | noisy, self.eta * s.ratio, (s.ratio**2 - (self.eta_b * sd) ** 2).clamp_min(0).sqrt())
        return s.alpha * A.V(m + a * (ybar - m) + c * e + d * z)
