"""Blind DPS."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from ..likelihoods import BlindGaussian
from ..numerics.autodiff import grad, vjp
from ..numerics.linalg import norm
from ..ranges import NonNegative
from ..transition import ancestral
from .base import Count, Level, Prior, Rng, Solver
from .blind import Blind, simplex
from .kernel_prior import kernel_prior


@dataclass(frozen=True)
class BlindDPS(Solver[BlindGaussian, Blind]):
    """DPS on image and kernel at the same time, each with its own diffusion prior (Chung et al., 2023).
    arXiv:2211.10656

        (x, φ)_s = DDPM((x, φ)_t) − c n_t n_s ∇ ‖y − k(φ̂₀) ⋆ x̂₀‖,   k = max(φ, 0)/Σ

    The kernel's prior is that which `blind_blur` names, a defocus or a camera shake, in closed form; the paper has a
    network trained on kernels. It starts from noise and not from the guess. On photographs 200 steps are too few.
    """

    name: ClassVar[str] = "blind_dps"
    needs = BlindGaussian

    steps: int = 1000
    c: Annotated[float, NonNegative] = 0.3

    def init(self, t: Level, prior: Prior, like: BlindGaussian, rng: Rng) -> Blind:
        noise = like.noise_image(rng)
        phi = rng.randn_like(noise.new_empty(len(noise), 1, *like.A.guess.shape[-2:]))
        return Blind(t.sigma * noise, torch.zeros_like(noise), t.sigma * phi)

    def step(self, state: Blind, k: Count, t: Level, s: Level, prior: Prior, like: BlindGaussian, rng: Rng) -> Blind:
        bank = kernel_prior(like.A)
        x0, pull_x = vjp(lambda x: prior(x, t), state.x)
        phi0, pull_phi = vjp(lambda phi: bank.forward(phi, t), state.phi)
        g_x = pull_x(grad(lambda x0: norm(like.y - like.A.blur(x0, simplex(phi0))), x0))
        g_phi = pull_phi(grad(lambda phi0: norm(like.y - like.A.blur(x0, simplex(phi0))), phi0))
        c = self.c * t.norm * s.norm
        x, phi = ancestral(state.x, x0, t, s, rng), ancestral(state.phi, phi0, t, s, rng)
        return Blind(x - c * g_x, x0, phi - c * g_phi)
