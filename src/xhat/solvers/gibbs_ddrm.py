"""GibbsDDRM, a blind solver."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ..likelihoods import BlindGaussian
from ..numerics.inner import langevin
from ..ranges import Fraction, Positive, Repeats, Steps
from ..types import PerImage
from .base import Count, Level, Prior, Rng, Solver
from .blind import Blind, first, simplex
from .ddrm import DDRM
from .kernel_prior import kernel_prior


@dataclass(frozen=True)
class GibbsDDRM(Solver[BlindGaussian, Blind]):
    """Partially collapsed Gibbs sampling of image and kernel (Murata et al., 2023). arXiv:2301.12686

    A step of DDRM from x_t to x_s with the current kernel. From t ≤ `start` on, then `sweeps` times: x̂₀ from x_s at
    level s, Langevin dynamics of `inner_steps` steps for the kernel,

        φ ← φ − l ∇_φ [ −log p(y|φ ⋆ x̂₀) − log p(φ) ] + √(2 l) ε,   φ made positive with sum `size`,

    and x_s drawn anew from x_t with that kernel, so that a step costs 1 + `sweeps` calls. l is `lr` divided by a bound
    on the curvature (a constant in the official code, which takes 500 steps of it). The prior of φ is that which
    `blind_blur` names, a defocus or a camera shake (Laplace in the paper). The image step is DDRM's as it is, whereas
    the code has an η for each of its cases.
    """

    name: ClassVar[str] = "gibbs_ddrm"
    needs = BlindGaussian

    steps: int = 100
    eta: Annotated[float, Fraction] = 0.85
    eta_b: Annotated[float, Fraction] = 0.9
    sweeps: Annotated[int, Repeats] = 3
    inner_steps: Annotated[int, Steps] = 50
    lr: Annotated[float, Positive] = 0.5
    start: Annotated[float, Fraction] = 0.7

    @property
    def ddrm(self) -> DDRM:
        """The solver of the image step."""
        return DDRM(eta=self.eta, eta_b=self.eta_b)

    def init(self, t: Level, prior: Prior, like: BlindGaussian, rng: Rng) -> Blind:
        phi = first(like)
        chain = self.ddrm.init(t, prior, like.known(simplex(phi)), rng)
        return Blind(chain.x, chain.x0, phi)

    def step(self, state: Blind, k: Count, t: Level, s: Level, prior: Prior, like: BlindGaussian, rng: Rng) -> Blind:
        x0, phi = prior(state.x, t), state.phi

        def draw(phi: Tensor) -> Tensor:
            return self.ddrm.drawn(state.x, x0, t, s, like.known(simplex(phi)), rng)

        x = draw(phi)
        for _ in range(self.sweeps if t.t <= self.start else 0):
            phi = self.sample(phi, prior(x, s) if s.sigma > 0 else x0, like, rng)
            x = draw(phi)
        return Blind(x, x0, phi)

    def sample(self, phi: Tensor, x0: Tensor, like: BlindGaussian, rng: Rng) -> Tensor:
        """φ ~ p(φ|x̂₀, y) by Langevin dynamics from the current φ."""
        size, bank = phi.shape[-1], kernel_prior(like.A)

        def energy(phi: Tensor) -> PerImage:
            return like.noise.nll(like.y, like.A.blur(x0, phi[:, 0] / size)) - bank.log_density(phi)

        power = torch.fft.rfft2(x0).abs().square().sum(1).amax((1, 2))  # ≥ ∂²‖k ⋆ x̂₀‖²/∂k² / 2
        curvature = power / (size * like.noise.scale(like.y)) ** 2 + 1 / bank.narrow
        phi = langevin(energy, phi, self.lr / curvature, self.inner_steps, rng)
        return size * simplex(phi)[:, None]
