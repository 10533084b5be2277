"""Variational methods that train a normalising flow for each measurement."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from ..errors import ShapeError
from ..numerics.autodiff import grad
from ..numerics.inner import Adam
from ..numerics.particles import ParticleRng, grouped
from ..numerics.realnvp import RealNVP
from ..ranges import Many, Positive, Range
from ..schedule import CLEAN, Schedule
from .base import Count, Image, Level, Likelihood, Prior, Rng, Solver, State


@dataclass(frozen=True)
class Fitted(State):
    """A draw from the flow, the flow's weights (b, n_weights), and Adam's moments."""

    weights: Tensor
    adam: Adam

    def finish(self, rng: Rng) -> "Fitted":
        return self


@dataclass(frozen=True)
class FlowFit(Solver[Likelihood, Fitted]):
    """A normalising flow G_φ that is trained from scratch for each measurement, with `draws` draws of z per step:

        min_φ E_z [ −log p(y|G(z)) − log p(G(z)) − log |det ∂G/∂z| ]

    by Adam with a learning rate that falls linearly from `lr` to 0. The answer is a draw from the flow. It is for
    images of at most 4096 numbers, because each layer has 3 `hidden` weights for each of them. Raises ShapeError for
    larger images.
    """

    steps: int = 5000
    sigma_min: Annotated[float, Positive] = 0.05
    draws: Annotated[int, Many] = 16
    layers: Annotated[int, Range(1, 1_000)] = 8
    hidden: Annotated[int, Range(1, 10_000)] = 64
    lr: Annotated[float, Positive] = 2e-3

    def levels(self, schedule: Schedule, like: Likelihood) -> list[Level]:
        """Step k is at the level at which its term of the prior is evaluated, here the lowest one."""
        return [Level(1 - k / self.steps, 1.0, self.sigma_min) for k in range(self.steps)] + [CLEAN]

    def init(self, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> Fitted:
        x = like.noise_image(rng)
        if x[0].numel() > 4096:
            raise ShapeError(f"{type(self).__name__} is for images of at most 4096 numbers, not {x[0].numel()}")
        weights = self.flow(like).start(x.flatten(1)[:, 0], rng)
        return Fitted(x, x, weights, Adam.start(weights))

    def flow(self, like: Likelihood) -> RealNVP:
        """The network of the flow for images of this problem."""
        return RealNVP(math.prod(like.A.shape), self.layers, self.hidden)

    @abstractmethod
    def prior_slope(self, x: Image, t: Level, prior: Prior, rng: Rng) -> Image:
        """An unbiased estimate of −∇ log p(x) for draws `x` (b·draws, *image)."""

    def step(self, state: Fitted, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> Fitted:
        flow, each, own = self.flow(like), like.spread(self.draws), ParticleRng(rng, self.draws)
        z = grouped(each.noise_image(own).flatten(1), self.draws)
        x = flow.push(state.weights, z)[0].reshape(-1, *like.A.shape)
        slope = grouped((grad(each.nll, x) + self.prior_slope(x, t, prior, own)).flatten(1), self.draws)

        def energy(weights: Tensor) -> Tensor:  # its gradient is that of the objective
            x, logdet = flow.push(weights, z)
            return ((slope * x).sum(2) - logdet).mean(1)

        lr = self.lr * (1 - k.before / k.total)
        weights, adam = state.adam.update(k.index, state.weights, grad(energy, state.weights), lr)
        x = flow.push(weights, z[:, :1])[0].reshape(-1, *like.A.shape)
        return Fitted(x, x, weights, adam)
