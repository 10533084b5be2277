"""Photons counted behind an object: the noise of transmission tomography, and the weighted problem it leads to."""

import logging
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor

from ...errors import MismatchError
from ...likelihoods.base import Likelihood, likelihood, restated
from ...noise import Gaussian, Noise, Noiseless
from ...ranges import Range
from ...rng import Rng
from ...types import Data, PerImage
from .operator import Attenuation
from .weighted import WeightedCT

LEAST = 1.0  # a reading of less than one count is none


@dataclass(frozen=True)
class Transmission(Noise):
    """c ~ Poisson(`counts` e^−A(x)) photons, of which y = −log(c/`counts`) is the line integral (Sauer & Bouman, 1993).

    `counts` are the photons that a cell is sent in a view; cells that are sent more or less say so in the operator's
    `flux`. A cell that counts nothing is given half a count when a measurement is simulated, and is left out when an
    image is made. With an attenuation (`ct` with `white`) the problem is made a weighted linear one, ½ Σ c (y − A(x))²,
    to which −log p is a second-order expansion about y.
    """

    counts: Annotated[float, Range(above=0, most=1e15)] = 1e4

    def rate(self, clean: Data) -> Data:
        """The expected counts."""
        return self.counts * self.flux(clean) * (-clean).exp()

    def flux(self, clean: Data) -> Tensor:
        """The light of each cell, relative to the usual one."""
        flux: Tensor | None = getattr(self, "relative", None)
        return torch.ones((), dtype=clean.dtype, device=clean.device) if flux is None else flux.to(clean)

    def bind(self, detector: object) -> "Transmission":
        """This noise with the light of each cell of the operator `ct`."""
        if not isinstance(detector, Tensor):
            raise MismatchError("noise transmission is that of the operator ct; this operator counts no photons")
        bound = replace(self)
        object.__setattr__(bound, "relative", detector)
        return bound

    def sample(self, clean: Data, rng: Rng) -> Data:
        rate = self.rate(clean)
        draw = iter(rate.cpu())
        c = rng.each(lambda image, g: image.copy_(torch.poisson(next(draw), generator=g)), rate)
        return -(c.clamp_min(LEAST / 2) / (self.counts * self.flux(clean)).clamp_min(1e-30)).log()

    def nll(self, y: Data, clean: Data) -> PerImage:
        return (self.rate(clean) + self.rate(y) * clean).flatten(1).sum(1)

    def expected_residual(self, clean: Data, support: Tensor | None = None) -> PerImage:
        variance = 1 / self.rate(clean).clamp_min(LEAST)
        if support is None:
            return variance.flatten(1).mean(1).sqrt()
        return ((support * variance).flatten(1).sum(1) / self.count(clean, support)).sqrt()

    def scale(self, y: Data) -> PerImage:
        return self.expected_residual(y)


@restated.register
def _(A: Attenuation, noise: Noise, y: Data) -> Likelihood | None:
    """Gaussian noise: line integrals of x. Photons: the same, weighted by √counts, where something was counted."""
    if isinstance(noise, Gaussian | Noiseless):
        return likelihood(A.linear, noise, y - A.offset)
    if not isinstance(noise, Transmission):
        return None
    counts, rays = noise.rate(y), A.linear
    use = rays.seen & (counts >= LEAST)
    if empty := int((rays.seen & (counts < LEAST)).sum()):
        logging.getLogger("xhat").warning("ct: %d readings counted less than a photon; they are left out", empty)
    weights = torch.where(use, counts, 0).sqrt().mean(1, keepdim=True)
    return likelihood(WeightedCT(rays, weights), Gaussian(1.0), weights * (y - A.offset))
