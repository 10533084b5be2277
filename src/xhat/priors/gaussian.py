"""The Gaussian prior, whose denoiser is known in closed form."""

import math

import torch
from torch import Tensor

from ..numerics.build_dtype import built
from ..rng import Rng
from ..schedule import EDM, Level, Schedule
from ..types import Image, PerImage
from .base import FixedShape


class GaussianPrior(FixedShape):
    """x₀ ~ N(μ, Q diag(λ) Qᵀ): the exact denoiser, and the oracle of every solver test.

        E[x₀|x_t] = μ + Q diag(λ/(λ + ρ²)) Qᵀ (x_t/α_t − μ)

    `shape` is (*image) with n numbers, `cov` the (n, n) covariance, `mean` the mean of every number.
    """

    closed_form = True
    source = "closed form"

    lam: Tensor
    Q: Tensor

    def __init__(
        self, shape: tuple[int, ...], cov: Tensor, mean: float = 0.0, schedule: Schedule | None = None
    ) -> None:
        super().__init__()
        self.shape, self.mean, self.schedule = tuple(shape), mean, schedule or EDM()
        eigenvalues, basis = torch.linalg.eigh(cov.double())
        self.register_buffer("lam", built(eigenvalues.clamp_min(0)))
        self.register_buffer("Q", built(basis))

    def forward(self, x: Image, t: Level) -> Image:
        z = (x / t.alpha - self.mean).flatten(1) @ self.Q
        shrink = self.lam / (self.lam + t.ratio**2)
        return self.mean + ((shrink * z) @ self.Q.T).reshape(x.shape)

    def flow(self, u: Image, sigma: float, end: float) -> Image:
        """The point at noise `end` on the probability flow through `u`, (b, *image), at noise `sigma`: a consistency
        function.

            μ + (C + end² I)^½ (C + σ² I)^−½ (u − μ)
        """
        z = (u - self.mean).flatten(1) @ self.Q
        scale = ((self.lam + end**2) / (self.lam + sigma**2)).sqrt()
        return self.mean + ((scale * z) @ self.Q.T).reshape(u.shape)

    def mse(self, t: Level) -> float | None:
        """Exact: the mean of ρ²λ/(λ + ρ²) over the eigenvalues."""
        var = t.ratio**2
        return float((var * self.lam / (self.lam + var)).mean())

    @property
    def degenerate(self) -> bool:
        return bool(self.lam.min() < 1e-6 * self.lam.max())  # what eigenvalues in float32 are worth

    def log_density(self, x: Image, t: Level) -> PerImage:
        """log N(x_t; α μ, α² C + σ² I), (b,)."""
        z, var = (x / t.alpha - self.mean).flatten(1) @ self.Q, self.lam + t.ratio**2
        return -(z.square() / var + (2 * math.pi * var).log()).sum(1) / 2 - x[0].numel() * math.log(t.alpha)

    def sample(self, rng: Rng) -> Image:
        """One exact draw per stream of `rng`, (b, *shape): μ + C^½ z.

        C^½ is the symmetric root, which does not depend on the signs and order of the eigenvectors: these differ from
        one machine's LAPACK to the next, and a seed means the same picture everywhere.
        """
        z = rng.randn_like(self.lam.expand(len(rng.generators), -1))
        return self.mean + ((z @ self.Q * self.lam.sqrt()) @ self.Q.T).reshape(-1, *self.shape)
