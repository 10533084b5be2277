"""Tweedie moment projected diffusion, exact and with two approximations."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..numerics.autodiff import vjp
from ..numerics.linalg import bcast
from ..transition import ddpm
from ..types import Data
from .base import Estimator, Image, Level, LinearGaussian, Prior, Rng

Map = Callable[[Data], Data]


class Tweedie(Estimator[LinearGaussian]):
    """x̂₀ = E[x₀|x_t] + V Aᵀ C⁻¹ (y − A E[x₀|x_t]),   C = σ_y² I + A V Aᵀ,   V = Cov[x₀|x_t] = σ_t²/α_t ∂x̂₀/∂x_t."""

    needs = LinearGaussian

    @abstractmethod
    def solve(self, AVAt: Map, res: Data, like: LinearGaussian) -> Data:
        """C⁻¹ res, (b, *data), given v ↦ A V Aᵀ v."""

    def estimate(self, x: Image, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> Image:
        x0, pullback = vjp(lambda x: prior(x, t), x)

        def VAt(v: Data) -> Image:
            return t.sigma**2 / t.alpha * pullback(like.A.adjoint(v))

        return x0 + VAt(self.solve(lambda v: like.A(VAt(v)), like.residual(x0), like))

    def fraction(self, t: Level, s: Level) -> float:
        return ddpm(t, s)


@dataclass(frozen=True)
class TMPD(Tweedie):
    """Tweedie moment projected diffusion (Boys et al., 2023). arXiv:2310.06721

        x̂₀ = E[x₀|x_t] + V Aᵀ (σ_y² I + A V Aᵀ)⁻¹ (y − A E[x₀|x_t]),   V = σ_t²/α_t ∂x̂₀/∂x_t,   then DDPM

    The matrix is built column by column and inverted, with one backward pass of the network per number in y. It is
    exact for a Gaussian prior, and what MMPS converges to, but it is for small data only.
    """

    steps: int = 100

    def solve(self, AVAt: Map, res: Data, like: LinearGaussian) -> Data:
        C = columns(AVAt, res) + bcast(like.var, res.flatten(1)[:, None]) * torch.eye(res[0].numel()).to(res)
        bad = ~torch.isfinite(C).flatten(1).all(1)  # pinv would raise; the loop names the image
        w = torch.linalg.pinv(torch.where(bcast(bad, C), 0.0, C)) @ res.flatten(1)[..., None]
        return torch.where(bcast(bad, res), torch.nan, w.reshape(res.shape))


@dataclass(frozen=True)
class TMPDDiag(Tweedie):
    """TMPD with only the diagonal of A V Aᵀ (Boys et al., 2023). arXiv:2310.06721

        x̂₀ = E[x₀|x_t] + V Aᵀ (y − A E[x₀|x_t])/(σ_y² + diag(A V Aᵀ))

    It takes one backward pass of the network per number in y.
    """

    name: ClassVar[str] = "tmpd_diag"

    steps: int = 100

    def solve(self, AVAt: Map, res: Data, like: LinearGaussian) -> Data:
        return over(res, columns(AVAt, res).diagonal(dim1=1, dim2=2).reshape(res.shape), like)


@dataclass(frozen=True)
class TMPDRowSum(Tweedie):
    """DTMPD: TMPD with row sums in place of the diagonal (Boys et al., 2023). arXiv:2310.06721

        x̂₀ = E[x₀|x_t] + V Aᵀ (y − A E[x₀|x_t])/(σ_y² + A V Aᵀ 1)

    It takes two backward passes of the network, and is right only if A V Aᵀ is diagonal. Sums below 0, which no
    variance can be, count as 0.
    """

    name: ClassVar[str] = "tmpd_rowsum"

    steps: int = 100

    @property
    def unit_norm(self) -> bool:
        """The rows of differences sum to about 0, which is no bound of anything."""
        return True

    def solve(self, AVAt: Map, res: Data, like: LinearGaussian) -> Data:
        return over(res, AVAt(torch.ones_like(res)), like)


def over(res: Data, variance: Data, like: LinearGaussian) -> Data:
    """res/(σ_y² + variance), and 0 if neither noise nor prior leaves any freedom."""
    c = bcast(like.var, res) + variance.clamp_min(0)
    return torch.where(c > 0, res / c, 0.0)


def columns(f: Map, y: Data) -> Tensor:
    """The matrices (b, n, n) of the linear map `f` of data, image by image; `y` (b, *data) gives the shape."""
    basis = torch.eye(y[0].numel(), dtype=y.dtype, device=y.device).reshape(-1, *y.shape[1:])
    return torch.stack([f(e.expand_as(y)).flatten(1) for e in basis], 2)
