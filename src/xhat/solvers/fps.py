"""Filtering posterior sampling, with one particle or several."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch

from ..numerics.linalg import bcast, sq
from ..numerics.particles import ParticleRng, adaptive, grouped, take
from ..ranges import Fraction, Many, Portion
from ..transition import mean, noise_in
from ..types import Data
from .base import Count, Level, LinearGaussian, Prior, Rng, Solver, SpectralGaussian, State
from .particle import Particles, pack, start


@dataclass(frozen=True)
class Filtering(State):
    """The chain and the noised measurement y_t."""

    path: Data


@dataclass(frozen=True)
class FilteringParticles(Particles):
    """The particles and the noised measurement y_t that they share."""

    path: Data


@dataclass(frozen=True)
class FPS(Solver[LinearGaussian, Filtering]):
    """Filtering posterior sampling with one particle (Dou & Song, ICLR 2024).

    The measurement is noised along with the image, y_s = R(y, c) with noise A z, and is treated as A x_s + α_s σ_y n:

        x_s ~ N(x_s; μ, c σ_s² I) N(y_s; A x_s, α_s² σ_y² I),   μ = α_s x̂₀ + √(1−c) σ_s e,

    an exact draw at each level, and x̂₀ at the clean one. A fixed c makes the chain too narrow, however many steps
    there are: on a Gaussian prior it keeps about 0.6 of the posterior's variance.
    """

    needs = LinearGaussian

    steps: int = 100
    c: Annotated[float, Portion] = 0.95

    def init(self, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> Filtering:
        noise = like.noise_image(rng)
        path = start_path(like, t, rng)
        return Filtering(t.sigma * noise, torch.zeros_like(noise), path)

    def step(
        self, state: Filtering, k: Count, t: Level, s: Level, prior: Prior, like: LinearGaussian, rng: Rng
    ) -> Filtering:
        x0, path = prior(state.x, t), next_path(state.path, like, t, s, self.c, rng)
        if s.sigma == 0:
            return Filtering(x0, x0, path)
        seen, mu = replace(like, y=path / s.alpha), mean(state.x, x0, t, s, self.c)
        return Filtering(s.alpha * seen.draw(mu / s.alpha, self.c**0.5 * s.ratio, rng), x0, path)


@dataclass(frozen=True)
class FPSSMC(Solver[SpectralGaussian, FilteringParticles]):
    """FPS with particles, which are weighted at each level (Dou & Song, ICLR 2024).

        w = N(y_s; A μ, c σ_s² A Aᵀ + α_s² σ_y² I),   and at the end   w = N(y; A x̂₀, σ_y² I)

    The noise of y_s is the same at all levels but is treated as independent, so the weights count y many times.
    Systematic resampling if the effective sample size falls below `threshold` p; the paper's is at every level.
    """

    name: ClassVar[str] = "fps_smc"
    needs = SpectralGaussian

    steps: int = 100
    particles: Annotated[int, Many] = 5
    c: Annotated[float, Portion] = 0.95
    threshold: Annotated[float, Fraction] = 0.5

    def init(self, t: Level, prior: Prior, like: SpectralGaussian, rng: Rng) -> FilteringParticles:
        packed = start(self.particles, t, like, rng)
        return FilteringParticles(**vars(packed), path=start_path(like, t, rng))

    def step(
        self, state: FilteringParticles, k: Count, t: Level, s: Level, prior: Prior, like: SpectralGaussian, rng: Rng
    ) -> FilteringParticles:
        p = self.particles
        own, x, path = ParticleRng(rng, p), state.x.flatten(0, 1), next_path(state.path, like, t, s, self.c, rng)
        x0 = prior(x, t)
        if s.sigma == 0:
            logw = state.logw + grouped(-like.spread(p).nll(x0), p)
            return FilteringParticles(**vars(pack(x0, x0, logw, before=state)), path=path)
        seen, mu = replace(like, y=path / s.alpha).spread(p), mean(x, x0, t, s, self.c) / s.alpha
        z, r2 = seen.A.Ut(seen.residual(mu)), self.c * s.ratio**2
        var = bcast(seen.noise.scale(seen.y) ** 2, z)
        weight = state.logw + grouped(-sq(z / (r2 * seen.A.s**2 + var).sqrt()) / 2, p)
        kept, logw = adaptive(weight, self.threshold, rng)
        mu = take(grouped(mu, p), kept).flatten(0, 1)
        packed = pack(s.alpha * seen.draw(mu, r2**0.5, own), x0, logw, weight, state, kept)
        return FilteringParticles(**vars(packed), path=path)


def start_path(like: LinearGaussian, t: Level, rng: Rng) -> Data:
    """y_T = α_T y + σ_T A z."""
    return t.alpha * like.y + t.sigma * like.A(like.noise_image(rng))


def next_path(before: Data, like: LinearGaussian, t: Level, s: Level, c: float, rng: Rng) -> Data:
    """y_s = α_s y + √(1−c) σ_s/σ_t (y_t − α_t y) + √c σ_s A z, from y_t = `before`."""
    old, new = noise_in(before, like.y, t), like.A(like.noise_image(rng))
    path: Data = s.alpha * like.y + s.sigma * ((1 - c) ** 0.5 * old + c**0.5 * new)
    return path
