"""Mixtures of Gaussians with one covariance: denoiser, posterior and modes, all in closed form."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor

from ..priors.base import FixedShape
from ..schedule import Level, Schedule
from ..types import Image, PerImage


class EqualMixture(FixedShape):
    """x₀ ~ Σ_k w_k N(μ_k, v I), equal v: `MixturePrior` by matrix products, for thousands of chains in float64.

        E[x₀|x_t] = s u + (1 − s) Σ_k p_k μ_k,   p_k ∝ w_k exp((u·μ_k − ½‖μ_k‖²)/(v + ρ²)),   s = v/(v + ρ²)

    `means` is (K, d), `weights` (K,) positive numbers of any sum.
    """

    source = "closed form"
    closed_form = True

    means: Tensor
    log_w: Tensor

    def __init__(self, means: Tensor, v: float, weights: Tensor, schedule: Schedule) -> None:
        super().__init__()
        self.shape, self.v, self.schedule = tuple(means.shape[1:]), v, schedule
        self.register_buffer("means", means)
        self.register_buffer("log_w", (weights / weights.sum()).log())

    def forward(self, x: Image, t: Level) -> Image:
        u, total = x / t.alpha, self.v + t.ratio**2
        p = (self.log_w + (u @ self.means.T - self.means.square().sum(1) / 2) / total).softmax(1)
        return self.v / total * u + t.ratio**2 / total * (p @ self.means)

    def log_density(self, x: Image, t: Level) -> PerImage:
        """log p(x_t) per image in nats, (b,), normalised."""
        u, total, n = x / t.alpha, self.v + t.ratio**2, x.shape[1]
        gaps = (u[:, None] - self.means).square().sum(2)
        constant = n / 2 * math.log(2 * math.pi * total) + n * math.log(t.alpha)
        return (self.log_w - gaps / (2 * total)).logsumexp(1) - constant


@dataclass(frozen=True)
class MixturePosterior:
    """Σ_k w_k N(m_k, C): the posterior of such a mixture, or of one Gaussian, under a linear-Gaussian likelihood."""

    log_w: Tensor  # (K,)
    means: Tensor  # (K, d)
    C: Tensor  # (d, d)

    def sample(self, n: int, g: Generator) -> Tensor:
        """`n` exact draws, (n, d), by the symmetric root of C, which no eigenvector's sign changes."""
        k = torch.multinomial(self.log_w.exp(), n, replacement=True, generator=g)
        z = torch.randn(n, len(self.C), dtype=self.C.dtype, generator=g)
        return self.means[k] + z @ self.root

    @cached_property
    def root(self) -> Tensor:
        """The symmetric root of C, (d, d)."""
        values, basis = torch.linalg.eigh(self.C)
        root: Tensor = basis * values.clamp_min(0).sqrt() @ basis.T
        return root

    def responsibilities(self, x: Tensor) -> Tensor:
        """p(k | x) for each row of `x` (n, d): (n, K)."""
        precise = torch.linalg.solve(self.C, self.means.T)  # (d, K)
        p: Tensor = (self.log_w - (self.means.T * precise).sum(0) / 2 + x @ precise).softmax(1)
        return p

    @property
    def mean(self) -> Tensor:
        """The mean, (d,)."""
        return self.log_w.exp() @ self.means

    @property
    def var(self) -> Tensor:
        """The variance of each coordinate, (d,)."""
        return self.C.diagonal() + self.log_w.exp() @ (self.means - self.mean).square()

    def climb(self, x: Tensor, steps: int = 1000, tol: float = 1e-10) -> Tensor:
        """The mode uphill of each row of `x` (n, d), by mean shift: x ← Σ_k p(k|x) m_k.

        It stops after `steps` iterations, or when no responsibility changes by more than `tol`.
        """
        if len(self.means) == 1:
            return self.means.expand_as(x)
        precise = torch.linalg.solve(self.C, self.means.T)  # (d, K)
        offset = self.log_w - (self.means.T * precise).sum(0) / 2
        p = (offset + x @ precise).softmax(1)
        for _ in range(steps):
            new = (offset + (p @ self.means) @ precise).softmax(1)
            moved, p = (new - p).abs().max(), new
            if moved < tol:
                break
        modes: Tensor = p @ self.means
        return modes

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x) up to one constant, (n,), for `x` (n, d)."""
        gaps = x[:, None] - self.means
        solved: Tensor = torch.linalg.solve(self.C, gaps.flatten(0, 1).T).T.reshape(gaps.shape)
        maha = (gaps * solved).sum(2)
        return (self.log_w - maha / 2).logsumexp(1)

    def peak(self) -> Tensor:
        """The global MAP, (d,): the highest of the modes uphill of the component means."""
        modes = self.climb(self.means)
        return modes[self.log_density(modes).argmax()]


def condition(log_w: Tensor, means: Tensor, C: Tensor, A: Tensor, var: float, y: Tensor) -> MixturePosterior:
    """The posterior of Σ_k w_k N(μ_k, C) given y = A x + N(0, var I), for `A` (m, d) and `y` (m,)."""
    S = A @ C @ A.T + var * torch.eye(len(A), dtype=C.dtype)
    gain = torch.linalg.solve(S, A @ C).T  # C Aᵀ S⁻¹
    res = y - means @ A.T
    evidence = log_w - (res * torch.linalg.solve(S, res.T).T).sum(1) / 2
    cov = C - gain @ A @ C
    return MixturePosterior(evidence.log_softmax(0), means + res @ gain.T, (cov + cov.T) / 2)
