"""Problems whose posterior is known in closed form."""

import torch
from torch import Tensor

from xhat.likelihoods import Likelihood, likelihood
from xhat.noise import Gaussian, Noise
from xhat.operators import OPERATORS, Operator
from xhat.priors import GaussianPrior
from xhat.rng import Rng
from xhat.schedule import EDM, VP, Level
from xhat.solvers.base import Count
from xhat.spec import build
from xhat.testing.exact import SHAPE, GaussianText, LayeredGaussian, Rotation, covariance, posterior  # noqa: F401
from xhat.testing.exact import smooth_field as rbf_prior  # noqa: F401
from xhat.testing.linear import matrix  # noqa: F401

NOISE = Gaussian(0.1)
ONLY = Count(1, 1)  # the number of a step that is looked at by itself


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


LEVELS = [VP()(0.9), VP()(0.5), VP()(0.2), EDM()(0.6)]


def noised(x: torch.Tensor, t: Level, seed: int = 99) -> torch.Tensor:
    return t.alpha * x + t.sigma * Rng(range(seed, seed + len(x))).randn_like(x)


def exact_mean(prior, like, x, t):
    """E[x₀|x_t, y] of a Gaussian prior: fold x_t/α_t = x₀ + ρ n into the prior, then y."""
    C, n = covariance(prior), len(prior.lam)
    gain = C @ torch.linalg.inv(C + t.ratio**2 * torch.eye(n, dtype=C.dtype))
    mean = prior.mean + ((x / t.alpha - prior.mean).flatten(1) @ gain.T).reshape(x.shape)
    return posterior(prior, like, C - gain @ C, mean)[0]
