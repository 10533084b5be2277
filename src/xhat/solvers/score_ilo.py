"""Score-guided intermediate-layer optimisation."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ..priors.consistency import LayeredConsistency
from ..ranges import Many, NonNegative, Positive, Steps
from ..rng import Rng
from .base import Level, Likelihood
from .layer_search import Layers, LayerSearch


@dataclass(frozen=True)
class Scored(Layers):
    """The state of `ilo` with the mean and variance of z and of the layers' outputs under the prior, flat (b, n)."""

    mean: Tensor
    var: Tensor


@dataclass(frozen=True)
class ScoreILO(LayerSearch[Scored]):
    """Score-guided intermediate-layer optimisation (Daras et al., 2022). arXiv:2206.09104

        h ← h − Adam(∇[−log p(y|f)] − τ s(h)) + τ_n √(2 η) n,   s(h) = ∇ log p(h),   η = `lr`

    for h = z, then for the output of layer 1, 2, …, in place of `ilo`'s ball. The paper trains a network for s. Here
    p(h) is the Gaussian of independent entries with the mean and variance of `draws` images of the prior, the same for
    every problem. τ_n = `noise_temp` = 0 gives a mode.
    """

    name: ClassVar[str] = "score_ilo"

    steps: int = 200
    stages: Annotated[int, Steps] = 4
    lam: Annotated[float, NonNegative] = 1.0
    lr: Annotated[float, Positive] = 0.02
    temperature: Annotated[float, NonNegative] = 0.1
    noise_temp: Annotated[float, NonNegative] = 0.025
    draws: Annotated[int, Many] = 64

    def init(self, t: Level, prior: LayeredConsistency, like: Likelihood, rng: Rng) -> Scored:
        start = self.begin(prior, like, rng)
        z = Rng(range(self.draws)).randn_like(start.x[:1].expand(self.draws, *prior.shape))
        _, values = prior.jump_through(t.sigma * z, t, {})
        layers = [values[k].flatten(1) for k in self.places(prior) if k != "z"]
        h = torch.cat([z.flatten(1), *layers], 1)
        mean, var = h.mean(0).expand_as(start.latent), (h.var(0) + 1e-6).expand_as(start.latent)
        own = slice(0, z[0].numel())  # of z both are known
        mean, var = mean.clone(), var.clone()
        mean[:, own], var[:, own] = 0.0, 1.0
        return Scored(**vars(start), mean=mean, var=var)

    def slope(self, h: Tensor, own: slice, state: Scored) -> Tensor:
        weight = self.lam if own.start == 0 else self.temperature
        return weight * (h - state.mean[:, own]) / state.var[:, own]

    def settle(self, moved: Tensor, own: slice, rng: Rng) -> Tensor:
        return moved + self.noise_temp * math.sqrt(2 * self.lr) * rng.randn_like(moved)
