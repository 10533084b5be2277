"""Intermediate-layer optimisation."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ..numerics.linalg import project_l1
from ..priors.consistency import LayeredConsistency
from ..ranges import NonNegative, Positive, Steps
from .base import Level, Likelihood, Rng
from .layer_search import Layers, LayerSearch


@dataclass(frozen=True)
class ILO(LayerSearch[Layers]):
    """Intermediate-layer optimisation on a consistency model (Daras et al., 2021, Algorithm 1). arXiv:2102.07364

        min −log p(y|f(σ_T z; δ₁, δ₂, …)),   first over z with λ ‖z‖²/2 added, then over δ₁ alone, then over δ₂, …

    δ_k is added to the output of layer k of the network and kept where mean |δ_k| ≤ `radius`. A U-Net's layers are its
    middle and its upward blocks; what its skip connections carry stays as z made it. The `stages`, of which the first
    is that of z, share `steps` equally. The paper's generator is StyleGAN.
    """

    steps: int = 200
    stages: Annotated[int, Steps] = 4
    radius: Annotated[float, NonNegative] = 0.1
    lam: Annotated[float, NonNegative] = 1.0
    lr: Annotated[float, Positive] = 0.02

    def init(self, t: Level, prior: LayeredConsistency, like: Likelihood, rng: Rng) -> Layers:
        return self.begin(prior, like, rng)

    def slope(self, h: Tensor, own: slice, state: Layers) -> Tensor:
        return self.lam * h if own.start == 0 else torch.zeros_like(h)

    def settle(self, moved: Tensor, own: slice, rng: Rng) -> Tensor:
        return moved if own.start == 0 else project_l1(moved, self.radius * moved.shape[1])
