"""Blind RED-diff."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ..likelihoods import BlindGaussian
from ..numerics.autodiff import grad
from ..numerics.inner import Adam
from ..numerics.linalg import sq
from ..ranges import NonNegative, Positive
from ..types import PerImage
from .base import Count, Image, Level, Prior, Rng, Solver
from .blind import Blind, first, simplex
from .kernel_prior import kernel_prior


@dataclass(frozen=True)
class BlindMoments(Blind):
    """μ in `x` and φ, with Adam's moments of both."""

    adam: Adam
    adam_phi: Adam


@dataclass(frozen=True)
class BlindREDDiff(Solver[BlindGaussian, BlindMoments]):
    """RED-diff on image and kernel in turn (Alkan et al., 2023, as the survey arXiv:2410.00083 describes it).

    With L = mean((y − k(φ) ⋆ μ)²)/2 and each variable's own denoiser at a noised copy of it, each level has one Adam
    step on

        L + λ mean(sg(μ − x̂₀) μ)      and then one on      L + λ_φ mean(sg(φ − φ̂₀) φ)

    with the new μ. The kernel's prior is that which `blind_blur` names, a defocus or a camera shake. The method finds
    one best pair and does not average over images. In twelve small deconvolutions of a defocus its error was 0.09 to
    0.16 of the image's mean square (BlindDPS 0.05 to 0.22, GibbsDDRM 0.04 to 0.30, the data 0.20), and its kernel in
    nine of them no nearer to the true one than nine tenths of the guess's distance. In eight of a camera shake, with
    its prior, all three find every kernel, and this one comes nearest; on a photograph it ended at 22.6 dB (the data
    18.3, with the prior of a defocus 19.3).
    """

    name: ClassVar[str] = "blind_reddiff"
    returns: ClassVar[str] = "point"
    needs = BlindGaussian

    steps: int = 400
    lam: Annotated[float, NonNegative] = 0.25
    lam_phi: Annotated[float, NonNegative] = 1.0
    lr: Annotated[float, Positive] = 0.1
    lr_phi: Annotated[float, Positive] = 0.02

    def init(self, t: Level, prior: Prior, like: BlindGaussian, rng: Rng) -> BlindMoments:
        zero, phi = torch.zeros_like(like.noise_image(rng)), first(like)
        return BlindMoments(zero, zero, phi, Adam.start(zero), Adam.start(phi))

    def step(
        self, state: BlindMoments, k: Count, t: Level, s: Level, prior: Prior, like: BlindGaussian, rng: Rng
    ) -> BlindMoments:
        mu, phi = state.x, state.phi

        def misfit(mu: Image, phi: Tensor) -> PerImage:
            return sq(like.y - like.A.blur(mu, simplex(phi))) / like.count / 2

        x0 = prior(t.alpha * mu + t.sigma * rng.randn_like(mu), t)
        g = grad(lambda mu: misfit(mu, phi), mu) + self.lam * (mu - x0) / mu[0].numel()
        mu, adam = state.adam.update(k.index, mu, g, self.lr, (0.9, 0.99))
        phi0 = kernel_prior(like.A).forward(t.alpha * phi + t.sigma * rng.randn_like(phi), t)
        g = grad(lambda phi: misfit(mu, phi), phi) + self.lam_phi * (phi - phi0) / phi[0].numel()
        phi, adam_phi = state.adam_phi.update(k.index, phi, g, self.lr_phi, (0.9, 0.99))
        return BlindMoments(mu, mu, phi, adam, adam_phi)
