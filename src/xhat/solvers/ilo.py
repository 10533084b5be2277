"""Intermediate-layer optimisation."""

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from math import prod
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ..numerics.autodiff import grad, vjp
from ..numerics.inner import Adam
from ..numerics.linalg import project_l1
from ..priors.consistency import LayeredConsistency, layered
from ..ranges import NonNegative, Positive, Steps
from ..schedule import CLEAN, Schedule
from .base import Count, Level, Likelihood, Prior, Rng, Solver, State


@dataclass(frozen=True)
class Layers(State):
    """z in `x`, its image in `x0`; z and the shift of every layer, flat (b, n), with Adam's moments."""

    latent: Tensor
    adam: Adam

    def finish(self, rng: Rng) -> "Layers":
        return self  # the answer is the image, not its latent


@dataclass(frozen=True)
class ILO(Solver[Likelihood, Layers]):
    """Intermediate-layer optimisation on a consistency model (Daras et al., 2021, Algorithm 1). arXiv:2102.07364

        min −log p(y|f(σ_T z; δ₁, δ₂, …)),   first over z with λ ‖z‖²/2 added, then over δ₁ alone, then over δ₂, …

    δ_k is added to the output of layer k of the network and kept where mean |δ_k| ≤ `radius`. A U-Net's layers are its
    middle and its upward blocks; what its skip connections carry stays as z made it. The `stages`, of which the first
    is that of z, share `steps` equally. The paper's generator is StyleGAN.
    """

    returns: ClassVar[str] = "point"

    steps: int = 200
    stages: Annotated[int, Steps] = 4
    radius: Annotated[float, NonNegative] = 0.1
    lam: Annotated[float, NonNegative] = 1.0
    lr: Annotated[float, Positive] = 0.02

    def check(self, prior: Prior) -> None:
        layered(prior)

    def levels(self, schedule: Schedule, like: Likelihood) -> list[Level]:
        return [schedule.levels(1)[0]] * self.steps + [CLEAN]

    def init(self, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> Layers:
        z, last = like.noise_image(rng), list(self.places(layered(prior)).values())[-1]
        latent = torch.cat([z.flatten(1), z.new_zeros(len(z), last.stop - z[0].numel())], 1)
        return Layers(z, torch.zeros_like(z), latent, Adam.start(latent))

    def places(self, net: LayeredConsistency) -> dict[str, slice]:
        """The slices of the flat latent that hold z and the shifts of the first layers, by name."""
        sizes = {"z": prod(net.shape)} | {k: prod(net.sizes[k]) for k in net.layers[: self.stages - 1]}
        return dict(zip(sizes, (slice(a, b) for a, b in pairwise([0, *accumulate(sizes.values())])), strict=True))

    def step(self, state: Layers, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> Layers:
        net = layered(prior)
        places = self.places(net)
        stage = k.before * len(places) // k.total
        name, own = list(places.items())[stage]
        began = -(-stage * k.total // len(places))
        out, pullback = vjp(lambda latent: torch.cat(self.generate(latent, name, t, net), 1), state.latent)
        x0, h = (out[:, : prod(net.shape)].reshape(state.x.shape), out[:, prod(net.shape) :])
        g = pullback(torch.cat([grad(like.nll, x0).flatten(1), self.slope(h, own, state)], 1))
        moved, adam = state.adam.update(k.index - began, state.latent, g, self.lr)
        latent = state.latent.clone()
        latent[:, own] = self.settle(moved[:, own], own, rng)
        if s.sigma == 0:
            x0 = self.generate(latent, name, t, net)[0].reshape(x0.shape)
        z = latent[:, places["z"]].reshape(x0.shape)
        return replace(state, x=z, x0=x0, latent=latent, adam=adam)

    def generate(self, latent: Tensor, name: str, t: Level, net: LayeredConsistency) -> tuple[Tensor, Tensor]:
        """The image, and the output of the layer `name` (z itself for z), both flat."""
        parts = {k: latent[:, own] for k, own in self.places(net).items()}
        z = parts.pop("z").reshape(-1, *net.shape)
        x0, values = net.jump_through(t.sigma * z, t, {k: p.reshape(-1, *net.sizes[k]) for k, p in parts.items()})
        return x0.flatten(1), (z if name == "z" else values[name]).flatten(1)

    def slope(self, h: Tensor, own: slice, state: Layers) -> Tensor:
        """The gradient of −log p(h), (b, n), by what the method knows about h in advance."""
        return self.lam * h if own.start == 0 else torch.zeros_like(h)

    def settle(self, moved: Tensor, own: slice, rng: Rng) -> Tensor:
        """z or a shift after an update of Adam, moved back to where it is allowed."""
        return moved if own.start == 0 else project_l1(moved, self.radius * moved.shape[1])
