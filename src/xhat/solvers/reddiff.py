"""Regularisation by denoising diffusion."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch

from ..numerics.autodiff import grad
from ..numerics.inner import Adam
from ..numerics.linalg import sq
from ..ranges import NonNegative, Positive
from .base import Count, Image, Level, Likelihood, LinearGaussian, Prior, Rng, Solver, State


@dataclass(frozen=True)
class Moments(State):
    """What is optimised, in `x`, with Adam's moments."""

    adam: Adam


@dataclass(frozen=True)
class REDDiff(Solver[Likelihood, Moments]):
    """Regularisation by denoising diffusion, Algorithm 1 (Mardani et al., 2023). arXiv:2305.04391

    At each level, one Adam step on ½ mean((y − A(μ))²) + λ ρ_t mean(sg(e − ε) μ), at x_t = α_t μ + σ_t ε with e the
    network's noise. Means are over one image; those of the official code are over the batch.
    """

    returns: ClassVar[str] = "point"

    steps: int = 100
    lam: Annotated[float, NonNegative] = 0.25
    lr: Annotated[float, Positive] = 0.1

    def init(self, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> Moments:
        zero = torch.zeros_like(like.noise_image(rng))
        mu = like.prox(zero, like.var + 1e-2) if isinstance(like, LinearGaussian) else zero
        return Moments(mu, mu, Adam.start(mu))

    @property
    def begins_at_images(self) -> bool:
        return True

    def from_image(self, image: Image, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> Moments:
        """The image itself, without noise."""
        return replace(super().from_image(image, t, prior, like, rng), x=image)

    def step(self, state: Moments, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> Moments:
        mu, eps = state.x, rng.randn_like(state.x)
        x0 = prior(t.alpha * mu + t.sigma * eps, t)
        data = grad(lambda mu: sq(like.residual(mu)) / like.count / 2, mu)
        prior_term = self.lam * (mu - x0) / mu[0].numel()  # ρ_t (e − ε) = μ − x̂₀
        mu, adam = state.adam.update(k.index, mu, data + prior_term, self.lr, (0.9, 0.99))
        return Moments(mu, mu, adam)
