"""A mixture of rotated funnels: not Gaussian along its axis, Gaussian across it, so exact up to quadratures in 1-D."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Generator, Tensor

from ..priors.base import FixedShape
from ..schedule import Level, Schedule
from ..types import Image


class FunnelPrior(FixedShape):
    """Equal mixture of c_k + R_k (z₁, e^{b z₁} z₂, …, e^{b z₁} z_d), z₁ ~ N(0, a²), the other z ~ N(0, 1).

    Given z₁ everything is Gaussian. E[x₀|x_t] averages over p(z₁|x_t) by Gauss-Hermite quadrature with `nodes` nodes
    about p(z₁|first coordinate). `centres` are the c_k, (K, d), and `axes` the first columns of R_k, (K, d).
    """

    source = "closed form up to a quadrature in one dimension"
    closed_form = True

    centres: Tensor
    axes: Tensor
    nodes: Tensor
    log_w: Tensor

    def __init__(self, centres: Tensor, axes: Tensor, a: float, b: float, schedule: Schedule, nodes: int = 32) -> None:
        super().__init__()
        self.shape, self.a, self.b, self.schedule = (centres.shape[1],), a, b, schedule
        z, w = np.polynomial.hermite_e.hermegauss(nodes)
        for name, buffer in (("centres", centres), ("axes", axes)):
            self.register_buffer(name, buffer)
        self.register_buffer("nodes", torch.as_tensor(z).to(centres))
        self.register_buffer("log_w", torch.as_tensor(w).log().to(centres))

    def forward(self, x: Image, t: Level) -> Image:
        var, d, a2 = t.ratio**2, x.shape[1], self.a**2
        gap = (x / t.alpha)[:, None] - self.centres  # (n, K, d)
        along = (gap * self.axes).sum(2)
        across = (gap.square().sum(2) - along**2).clamp_min(0)
        z = a2 / (a2 + var) * along[..., None] + math.sqrt(a2 * var / (a2 + var)) * self.nodes  # (n, K, q)
        width = (2 * self.b * z).exp()
        log_p = self.log_w - along[..., None] ** 2 / (2 * (a2 + var))
        log_p = log_p - across[..., None] / (2 * (width + var)) - (d - 1) / 2 * (width + var).log()
        p = log_p.flatten(1).softmax(1).reshape(log_p.shape)
        shrink = (p * width / (width + var)).sum(2)
        first = (p * z).sum(2) - shrink * along
        return ((p.sum(2)[..., None] * self.centres) + shrink[..., None] * gap + first[..., None] * self.axes).sum(1)


@dataclass(frozen=True)
class FunnelPosterior:
    """The funnels given y = A x + N(0, var I), sampled by a funnel and z₁ from a fine grid, and then a Gaussian."""

    prior: FunnelPrior
    A: Tensor
    noise_var: float
    y: Tensor
    grid: int = 2000

    def sample(self, n: int, g: Generator) -> Tensor:
        """`n` draws, (n, d), exact up to the grid's spacing in z₁ of 0.008 a."""
        p, A = self.prior, self.A
        z, mass = self.cells
        cell = torch.multinomial(mass.flatten(), n, replacement=True, generator=g)
        k, i = cell // self.grid, cell % self.grid
        z1 = z[i] + (torch.rand(n, dtype=A.dtype, generator=g) - 0.5) * (z[1] - z[0])
        e, noise = (torch.randn(n, size, dtype=A.dtype, generator=g) for size in (A.shape[1], len(A)))
        r, width = p.axes[k], (p.b * z1).exp()[:, None]
        x = p.centres[k] + z1[:, None] * r + width * (e - (e * r).sum(1, keepdim=True) * r)
        AP = A - (r @ A.T)[..., None] * r[:, None]  # A (I − r rᵀ), (n, m, d)
        S = width[..., None] ** 2 * AP @ A.T + self.noise_var * torch.eye(len(A), dtype=A.dtype)
        res = self.y - x @ A.T - math.sqrt(self.noise_var) * noise
        out: Tensor = x + width**2 * (torch.linalg.solve(S, res)[:, None] @ AP)[:, 0]
        return out

    @cached_property
    def cells(self) -> tuple[Tensor, Tensor]:
        """The grid in z₁, (grid,), and the posterior mass of each of its cells for each funnel, (K, grid)."""
        p = self.prior
        edges = torch.linspace(-8 * p.a, 8 * p.a, self.grid + 1, dtype=self.A.dtype)
        z = (edges[1:] + edges[:-1]) / 2
        logs = torch.stack([self.evidence(c, r, z) for c, r in zip(p.centres, p.axes, strict=True)])
        return z, logs.flatten().softmax(0).reshape(logs.shape)

    @property
    def weights(self) -> Tensor:
        """The posterior mass of each funnel, (K,)."""
        return self.cells[1].sum(1)

    def responsibilities(self, x: Tensor) -> Tensor:
        """p(funnel | x) for each row of `x` (n, d): (n, K). Given x, the data tell nothing more."""
        p = self.prior
        gap = x[:, None] - p.centres
        along = (gap * p.axes).sum(2)
        across = (gap.square().sum(2) - along**2).clamp_min(0)
        log_p = -(along**2) / (2 * p.a**2) - across / 2 * (-2 * p.b * along).exp() - (x.shape[1] - 1) * p.b * along
        return log_p.softmax(1)

    def evidence(self, centre: Tensor, axis: Tensor, z: Tensor) -> Tensor:
        """log N(z₁; 0, a²) p(y|funnel, z₁) on the grid `z`, up to a constant, for the funnel at `centre` along
        `axis`.
        """
        A, p = self.A, self.prior
        across = A @ A.T - torch.outer(A @ axis, A @ axis)
        S = (2 * p.b * z).exp()[:, None, None] * across + self.noise_var * torch.eye(len(A), dtype=A.dtype)
        res = self.y - A @ centre - z[:, None] * (A @ axis)
        maha: Tensor = (res * torch.linalg.solve(S, res)).sum(1)
        return -(z**2) / (2 * p.a**2) - maha / 2 - torch.logdet(S) / 2
