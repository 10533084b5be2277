"""EDM training of a denoiser (Karras et al., 2022, section 5 and table 1). arXiv:2206.00364

    min_F  E λ(σ) ‖D(x₀ + σ ε; σ) − x₀‖²,   D(u; σ) = c_skip u + c_out F(c_in u, c_noise),   λ = 1 / c_out²

So F learns (x₀ − c_skip u)/c_out with weight 1 at every level; ln σ ~ N(p_mean, p_std²).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..priors.precondition import Precondition
from ..rng import Rng

Network = Callable[[Tensor, Tensor], Tensor]  # (c_in u, c_noise (b,)) → F, as u


class Batched(NamedTuple):
    """`precondition.Coefficients` for each image of a batch: (b, 1, 1, 1), and (b,) for the time."""

    skip: Tensor
    out: Tensor
    into: Tensor
    noise: Tensor


def coefficients(precondition: Precondition, sigma: Tensor) -> Batched:
    """The four numbers for every σ of `sigma` (b,)."""
    table = torch.tensor([precondition(s) for s in sigma.tolist()], dtype=torch.float64).to(sigma.device)
    skip, out, into = (table[:, i, None, None, None].to(sigma.dtype) for i in range(3))
    return Batched(skip, out, into, table[:, 3].to(sigma.dtype))


def draw_sigma(rng: Rng, n: int, p_mean: float, p_std: float) -> Tensor:
    """`n` noise levels, (n,), with ln σ ~ N(p_mean, p_std²)."""
    normal = rng.randn_like(torch.empty(n, 1))[:, 0]
    return (p_mean + p_std * normal).exp()


def widened(sigma: Tensor, rng: Rng, share: float, low: float, high: float) -> Tensor:
    """`sigma` (n,) with about the `share` of it replaced by levels spread evenly in ln σ over [`low`, `high`]."""
    if not share:
        return sigma
    which, where = rng.rand_like(torch.empty(len(sigma), 2)).T
    return torch.where(which < share, low * (high / low) ** where, sigma)


def preconditioned(network: Network, u: Tensor, sigma: Tensor, precondition: Precondition) -> Tensor:
    """c_skip u + c_out F(c_in u, c_noise) for `u` (b, c, h, w) and `sigma` (b,): D, or what the convention makes of
    F.
    """
    c = coefficients(precondition, sigma)
    return c.skip * u + c.out * network(c.into * u, c.noise).to(u.dtype)


def loss(network: Network, x0: Tensor, sigma: Tensor, noise: Tensor, precondition: Precondition) -> Tensor:
    """λ(σ) ‖D − x₀‖²/n of each image, (b,); `noise` is standard normal."""
    c = coefficients(precondition, sigma)
    u = x0 + sigma[:, None, None, None] * noise
    target = (x0 - c.skip * u) / c.out
    return (network(c.into * u, c.noise).to(target.dtype) - target).square().flatten(1).mean(1)


def weighted(error: float, sigma: float, sigma_data: float) -> float:
    """λ(σ) times a mean squared error at level σ: what that error contributes to the loss."""
    return error * (math.hypot(sigma, sigma_data) / (sigma * sigma_data)) ** 2
