"""Solvers that search the layers of a consistency model."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from math import prod
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import TypeVar

from ..numerics.autodiff import grad, vjp
from ..numerics.inner import Adam
from ..priors.consistency import LayeredConsistency
from ..schedule import CLEAN, Schedule
from .base import Count, Level, Likelihood, Rng, Solver, State


@dataclass(frozen=True)
class Layers(State):
    """z in `x`, its image in `x0`; z and the shift of every layer, flat (b, n), with Adam's moments."""

    latent: Tensor
    adam: Adam

    def finish(self, rng: Rng) -> "Layers":
        """The answer is the image, not its latent."""
        return self


E = TypeVar("E", bound=Layers)


class LayerSearch(Solver[Likelihood, E, LayeredConsistency]):
    """min −log p(y|f(σ_T z; δ₁, δ₂, …)) + what is known of the layers, first over z, then over δ₁ alone, then δ₂, …

    δ_k is added to the output of layer k of the network. A U-Net's layers are its middle and its upward blocks; what
    its skip connections carry stays as z made it. The `stages`, of which the first is that of z, share `steps` equally.
    """

    needs_prior = LayeredConsistency
    denoises: ClassVar[bool] = False
    returns: ClassVar[str] = "point"

    stages: int
    lr: float

    def levels(self, schedule: Schedule, like: Likelihood) -> list[Level]:
        return [schedule.levels(1)[0]] * self.steps + [CLEAN]

    def begin(self, prior: LayeredConsistency, like: Likelihood, rng: Rng) -> Layers:
        """A z of white noise and no shifts."""
        z, last = like.noise_image(rng), list(self.places(prior).values())[-1]
        latent = torch.cat([z.flatten(1), z.new_zeros(len(z), last.stop - z[0].numel())], 1)
        return Layers(z, torch.zeros_like(z), latent, Adam.start(latent))

    def places(self, net: LayeredConsistency) -> dict[str, slice]:
        """The slices of the flat latent that hold z and the shifts of the first layers, by name."""
        sizes = {"z": prod(net.shape)} | {k: prod(net.sizes[k]) for k in net.layers[: self.stages - 1]}
        return dict(zip(sizes, (slice(a, b) for a, b in pairwise([0, *accumulate(sizes.values())])), strict=True))

    def step(self, state: E, k: Count, t: Level, s: Level, prior: LayeredConsistency, like: Likelihood, rng: Rng) -> E:
        places = self.places(prior)
        stage = k.before * len(places) // k.total
        name, own = list(places.items())[stage]
        began = -(-stage * k.total // len(places))
        out, pullback = vjp(lambda latent: torch.cat(self.generate(latent, name, t, prior), 1), state.latent)
        x0, h = (out[:, : prod(prior.shape)].reshape(state.x.shape), out[:, prod(prior.shape) :])
        g = pullback(torch.cat([grad(like.nll, x0).flatten(1), self.slope(h, own, state)], 1))
        moved, adam = state.adam.update(k.index - began, state.latent, g, self.lr)
        latent = state.latent.clone()
        latent[:, own] = self.settle(moved[:, own], own, rng)
        if s.sigma == 0:
            x0 = self.generate(latent, name, t, prior)[0].reshape(x0.shape)
        z = latent[:, places["z"]].reshape(x0.shape)
        return replace(state, x=z, x0=x0, latent=latent, adam=adam)

    def generate(self, latent: Tensor, name: str, t: Level, net: LayeredConsistency) -> tuple[Tensor, Tensor]:
        """The image, and the output of the layer `name` (z itself for z), both flat."""
        parts = {k: latent[:, own] for k, own in self.places(net).items()}
        z = parts.pop("z").reshape(-1, *net.shape)
        x0, values = net.jump_through(t.sigma * z, t, {k: p.reshape(-1, *net.sizes[k]) for k, p in parts.items()})
        return x0.flatten(1), (z if name == "z" else values[name]).flatten(1)

    @abstractmethod
    def slope(self, h: Tensor, own: slice, state: E) -> Tensor:
        """The gradient, (b, n), of what is known of z or of a layer's output `h`, (b, n), which lies at `own`."""

    @abstractmethod
    def settle(self, moved: Tensor, own: slice, rng: Rng) -> Tensor:
        """z or a shift after an update of Adam, (b, n), moved back to where it is allowed."""
