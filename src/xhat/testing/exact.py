"""Priors whose posterior is known: what the laws of solvers run on, and oracles for tests of your own."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..likelihoods import LinearGaussian
from ..operators.decoder import Autoencoder
from ..priors.base import Prior
from ..priors.consistency import LayeredConsistency
from ..priors.gaussian import GaussianPrior
from ..priors.latent import Text, TextPrior, Vector
from ..schedule import Level
from ..types import Image, Latents
from .linear import matrix

SHAPE = (1, 8, 8)


def smooth_field(shape: tuple[int, ...] = SHAPE, length: float = 2.0, scale: float = 0.5) -> GaussianPrior:
    """N(0, C) on a grid of pixels, with C falling off as a Gaussian of standard deviation `length` pixels.

    `scale` is the standard deviation of a pixel; the channels of `shape` are independent.
    """
    c, h, w = shape
    grid = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"), -1).reshape(-1, 2).double()
    cov = scale**2 * torch.exp(-(torch.cdist(grid, grid) ** 2) / (2 * length**2))
    one = cov + 1e-3 * torch.eye(h * w, dtype=cov.dtype)
    return GaussianPrior(shape, torch.kron(torch.eye(c, dtype=cov.dtype), one))


def covariance(prior: GaussianPrior) -> Tensor:
    """The covariance of an image under `prior`, (numbers, numbers)."""
    return (prior.Q * prior.lam) @ prior.Q.T


def posterior(
    prior: GaussianPrior, like: LinearGaussian, cov: Tensor | None = None, mean: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean (b, *image) and covariance (n, n) of N(mean, cov) given y; by default those of the prior.

    The covariance is that of the first image.
    """
    C = covariance(prior) if cov is None else cov
    mu = torch.full_like(like.A.blank(len(like.y)), prior.mean) if mean is None else mean
    A, var = matrix(like.A), float(like.var[0])
    gain = torch.linalg.solve(A @ C @ A.T + var * torch.eye(len(A), dtype=C.dtype), A @ C).T
    shift = (like.y - like.A(mu)).flatten(1) @ gain.T
    return mu + shift.reshape(mu.shape), C - gain @ A @ C


class LayeredGaussian(LayeredConsistency):
    """The exact consistency function of a Gaussian prior, split into two linear layers: f(u) = W (V (u − μ)) + μ."""

    V: Tensor
    left: Tensor

    def __init__(self, prior: GaussianPrior) -> None:
        super().__init__(prior.shape, denoiser=prior)
        self.layers = ("first", "second")
        n = prior.lam.numel()
        self.register_buffer("V", torch.randn(2 * n, n, generator=torch.Generator().manual_seed(0)).to(prior.Q))
        self.register_buffer("left", torch.linalg.pinv(self.V))

    def through(self, u: Tensor, sigma: float, shifts: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        prior = self.denoiser
        assert isinstance(prior, GaussianPrior)
        first = (u - prior.mean).flatten(1) @ self.V.T
        first = first + shifts.get("first", torch.zeros_like(first))
        second = prior.flow(((first @ self.left.T).reshape(u.shape) + prior.mean), sigma, self.sigma_min)
        second = second + shifts.get("second", torch.zeros_like(second))
        return second, {"first": first, "second": second}

    def endpoint(self, u: Tensor, sigma: float) -> Tensor:
        return self.through(u, sigma, {})[0]


class Rotation(Autoencoder):
    """z = Q x and x = Qᵀ z with a random orthogonal Q: an autoencoder that loses nothing and is linear."""

    Q: Tensor

    def __init__(self, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> None:
        super().__init__()
        n, g = torch.Size(shape).numel(), torch.Generator().manual_seed(seed)
        self.register_buffer("Q", torch.linalg.qr(torch.randn(n, n, generator=g, dtype=torch.float64))[0])

    def encode(self, x: Image) -> Latents:
        return (x.flatten(1) @ self.Q.T.to(x)).reshape(x.shape)

    def decode(self, z: Latents) -> Image:
        return (z.flatten(1) @ self.Q.to(z)).reshape(z.shape)

    def latent_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape

    def rotated(self, prior: GaussianPrior) -> GaussianPrior:
        """The distribution of z where x has the one of `prior`, whose mean is 0."""
        C = self.Q @ covariance(prior).double() @ self.Q.T
        return GaussianPrior(prior.shape, (C + C.T) / 2, schedule=prior.schedule)


class GaussianText(TextPrior):
    """z₀ ~ N(m(c), C) with m linear in the text c, (b, 3, 4): `prior` is the one for no words, all zeros."""

    B: Tensor

    def __init__(self, prior: Prior, autoencoder: Autoencoder, guidance: float = 2.0, eyes: bool = True) -> None:
        super().__init__()
        self.base, self.autoencoder, self.schedule = prior, autoencoder, prior.schedule
        self.guidance, self.eyes = guidance, eyes
        g = torch.Generator().manual_seed(1)
        n = torch.Size(SHAPE).numel()
        self.register_buffer("B", torch.randn(12, n, generator=g) / n**0.5)
        self.register_buffer("prompt", 0.1 * torch.randn(1, 3, 4, generator=g))
        self.register_buffer("negative", torch.zeros(1, 3, 4))

    def check(self, shape: tuple[int, ...]) -> None:
        self.base.check(shape)

    def mean(self, c: Text) -> Tensor:
        """m(c), (b, *SHAPE)."""
        return (c.flatten(1) @ self.B.to(c)).reshape(-1, *SHAPE)

    def denoise(self, z: Image, t: Level, c: Text) -> Image:
        m = self.mean(c).to(z)
        return self.base.forward(z - t.alpha * m, t) + m

    @property
    def sees(self) -> bool:
        return self.eyes

    def image_embedding(self, x: Image) -> Vector:
        return x.flatten(1)[:, :4] if self.sees else super().image_embedding(x)
