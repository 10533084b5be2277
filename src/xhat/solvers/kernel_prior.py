"""Priors for an unknown blur kernel: defocus, or the path of a shaking camera."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..operators.blind_blur import BlindBlur, gaussians
from ..operators.kernels import motion_kernel
from ..priors import GaussianPrior, MixturePrior
from ..schedule import CLEAN, Level
from ..types import PerImage

ENTRY = 0.02  # how far an entry of φ, whose mean is 1/size, varies about what the prior knows of it
PATHS = 500  # camera paths that the prior of shakes is made of, each turned and mirrored in eight ways
FIRST = 1_000_000  # the seed of the first of them, far from what `motion_blur` is asked for


@dataclass(frozen=True)
class KernelPrior:
    """p(φ) of φ = `size` k, (1, size, size): `prior` about `mean`."""

    prior: MixturePrior | GaussianPrior
    mean: Tensor
    precision: Tensor  # a bound of the curvature of −log p at the clean level, (size², size²)

    def forward(self, phi: Tensor, t: Level) -> Tensor:
        """E[φ₀ given φ_t], (b, 1, size, size)."""
        mean = self.mean.to(phi)
        return mean + self.prior.forward(phi - t.alpha * mean, t)  # no call of a network, which is what counts

    def log_density(self, phi: Tensor, t: Level = CLEAN) -> PerImage:
        """log p(φ_t), (b,)."""
        return self.prior.log_density(phi - t.alpha * self.mean.to(phi), t)


def kernel_prior(A: BlindBlur) -> KernelPrior:
    """The prior that the operator names."""
    return (shakes if A.kernels == "shake" else defocus)(len(A.guess[0]), A.guess.dtype, A.guess.device)


@lru_cache(4)
def defocus(size: int, dtype: torch.dtype, device: torch.device) -> KernelPrior:
    """16 Gaussian kernels of 0.3 pixels to a third of `size`."""
    std = torch.logspace(math.log10(0.3), math.log10(size / 3), 16, dtype=torch.float64)
    bank = MixturePrior((size * gaussians(size, std)[:, None]).to(device, dtype), ENTRY**2)
    return KernelPrior(bank, bank.means.new_zeros(1), torch.eye(size**2, dtype=dtype, device=device) / ENTRY**2)


@lru_cache(4)
def shakes(size: int, dtype: torch.dtype, device: torch.device) -> KernelPrior:
    """The Gaussian with the mean and the covariance of camera paths of every intensity and heading."""
    mean, cov = moments_of_paths(size)
    cov = cov + ENTRY**2 * torch.eye(size**2, dtype=cov.dtype)
    prior = GaussianPrior((1, size, size), cov)
    return KernelPrior(prior.to(device, dtype), mean.to(device, dtype), cov.inverse().to(device, dtype))


def moments_of_paths(size: int) -> tuple[Tensor, Tensor]:
    """The mean, (1, size, size), and the covariance, (size², size²), of `size` times the kernels of camera paths."""
    golden = (math.sqrt(5) - 1) / 2  # its multiples fill [0, 1] evenly
    paths = torch.stack([size * motion_kernel(size, i * golden % 1, FIRST + i) for i in range(PATHS)])
    turned = [paths.rot90(quarter, (1, 2)) for quarter in range(4)]
    flat = torch.cat([*turned, *(k.flip(2) for k in turned)]).flatten(1)
    return flat.mean(0).reshape(1, size, size), flat.T.cov()
