"""Problems whose posterior is known in closed form."""

from collections.abc import Mapping

import torch
from torch import Tensor

from xhat.likelihoods import Likelihood, LinearGaussian, likelihood
from xhat.noise import Gaussian, Noise
from xhat.operators import OPERATORS, Operator
from xhat.operators.decoder import Autoencoder
from xhat.priors import GaussianPrior, LayeredConsistency, Prior, TextPrior
from xhat.rng import Rng
from xhat.schedule import Level
from xhat.spec import build

SHAPE = (1, 8, 8)
NOISE = Gaussian(0.1)


def rbf_prior(shape: tuple[int, ...] = SHAPE, length: float = 2.0, scale: float = 0.5) -> GaussianPrior:
    """A smooth Gaussian random field on the pixel grid, channels independent."""
    c, h, w = shape
    grid = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"), -1).reshape(-1, 2).double()
    cov = scale**2 * torch.exp(-(torch.cdist(grid, grid) ** 2) / (2 * length**2))
    return GaussianPrior(shape, torch.block_diag(*[cov + 1e-3 * torch.eye(h * w, dtype=cov.dtype)] * c))


class LayeredGaussian(LayeredConsistency):
    """The exact consistency function of a Gaussian prior, split into two linear layers: f(u) = W (V (u − μ)) + μ."""

    V: Tensor
    W: Tensor

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


def problem(
    prior: GaussianPrior, seeds: list[int], A: Operator | str = "inpaint", noise: Noise = NOISE
) -> tuple[Tensor, Likelihood]:
    """Truths and the likelihood of their measurements; image i depends on its seed only."""
    A = operator(A, prior.shape, prior.lam.dtype) if isinstance(A, str) else A
    x = prior.sample(Rng(seeds))
    return x, likelihood(A, noise, noise.sample(A(x), Rng([s + 1000 for s in seeds])))


def operator(spec: str, shape: tuple[int, ...] = SHAPE, dtype: torch.dtype = torch.float64) -> Operator:
    """Built in `dtype` from the start: its decompositions are as exact as that allows."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return build(spec, OPERATORS, shape)
    finally:
        torch.set_default_dtype(before)


def covariance(prior: GaussianPrior) -> Tensor:
    return (prior.Q * prior.lam) @ prior.Q.T


def matrix(A: Operator) -> Tensor:
    """A linear operator as a matrix (data, pixels)."""
    n = A.blank(1).numel()
    dtype = A.blank(1).dtype
    return A(torch.eye(n, dtype=dtype).reshape(n, *A.shape)).flatten(1).T


def posterior(
    prior: GaussianPrior, like: LinearGaussian, cov: Tensor | None = None, mean: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean (b, *image) and covariance (n, n) of N(mean, cov) given y; by default those of the prior."""
    C = covariance(prior) if cov is None else cov
    mu = torch.full_like(like.A.blank(len(like.y)), prior.mean) if mean is None else mean
    A, var = matrix(like.A), float(like.var[0])
    gain = torch.linalg.solve(A @ C @ A.T + var * torch.eye(len(A), dtype=C.dtype), A @ C).T
    shift = (like.y - like.A(mu)).flatten(1) @ gain.T
    return mu + shift.reshape(mu.shape), C - gain @ A @ C


class Rotation(Autoencoder):
    """z = Q x and x = Qᵀ z with a random orthogonal Q: an autoencoder that loses nothing and is linear."""

    Q: Tensor

    def __init__(self, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> None:
        super().__init__()
        n, g = torch.Size(shape).numel(), torch.Generator().manual_seed(seed)
        self.register_buffer("Q", torch.linalg.qr(torch.randn(n, n, generator=g, dtype=torch.float64))[0])

    def encode(self, x):
        return (x.flatten(1) @ self.Q.T.to(x)).reshape(x.shape)

    def decode(self, z):
        return (z.flatten(1) @ self.Q.to(z)).reshape(z.shape)

    def latent_shape(self, shape):
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

    def check(self, shape):
        self.base.check(shape)

    def mean(self, c: Tensor) -> Tensor:
        return (c.flatten(1) @ self.B.to(c)).reshape(-1, *SHAPE)

    def denoise(self, z, t: Level, c):
        m = self.mean(c).to(z)
        return self.base.forward(z - t.alpha * m, t) + m

    def image_embedding(self, x):
        return x.flatten(1)[:, :4] if self.eyes else super().image_embedding(x)
