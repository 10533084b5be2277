"""A mixture of isotropic Gaussians, whose denoiser is known in closed form."""

import math

import torch
from torch import Tensor

from ..errors import SpecError
from ..rng import Rng
from ..schedule import EDM, Level, Schedule
from ..types import Image, PerImage
from .base import FixedShape


class MixturePrior(FixedShape):
    """x₀ ~ Σ_k w_k N(μ_k, v_k I): exact in closed form, with as many modes as you like.

    With u = x_t/α_t, responsibilities p_k ∝ w_k N(u; μ_k, (v_k + ρ²) I) and s_k = v_k/(v_k + ρ²),

        E[x₀|x_t] = Σ_k p_k (μ_k + s_k (u − μ_k))

    `means` is (K, *shape). `variances` is a number or K of them; 0 makes a point mass. `weights` are K positive numbers
    of any sum; without them all components weigh the same. Raises SpecError if the counts or signs are wrong.
    """

    closed_form = True
    source = "closed form"

    means: Tensor
    v: Tensor
    log_w: Tensor

    def __init__(
        self,
        means: Tensor,
        variances: Tensor | float = 1.0,
        weights: Tensor | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.schedule = tuple(means.shape[1:]), schedule or EDM()
        v = torch.as_tensor(variances, dtype=means.dtype, device=means.device).expand(len(means)).clone()
        w = torch.ones_like(v) if weights is None else weights.to(v)
        if w.shape != v.shape or not (w > 0).all() or not (v >= 0).all():
            raise SpecError(f"a mixture of {len(means)} needs as many positive weights and variances of at least 0")
        self.register_buffer("means", means)
        self.register_buffer("v", v)
        self.register_buffer("log_w", (w / w.sum()).log())

    def forward(self, x: Image, t: Level) -> Image:
        u = x / t.alpha
        p = self.responsibilities(x, t)
        s = self.v / (self.v + t.ratio**2)
        centres = (p * (1 - s)) @ self.means.flatten(1)
        return centres.reshape(x.shape) + u * (p @ s).reshape(-1, *[1] * (x.ndim - 1))

    def mse(self, t: Level) -> float | None:
        """tr Cov[x₀|x_t]/n, exact at given x_t, averaged over 512 fixed draws of x_t, which is accurate to a few per
        cent.

            tr Cov[x₀|x_t] = Σ_k p_k (n s_k ρ² + ‖m_k‖²) − ‖Σ_k p_k m_k‖²,  m_k = μ_k + s_k (u − μ_k)
        """
        rng = Rng(range(512))
        x0 = self.sample(rng)
        u, level = x0 + t.ratio * rng.randn_like(x0), Level(t.t, 1.0, t.ratio)
        p, s, mu = self.responsibilities(u, level), self.v / (self.v + t.ratio**2), self.means.flatten(1)
        m = mu + s[:, None] * (u.flatten(1)[:, None] - mu)
        gaps = (m - self(u, level).flatten(1)[:, None]).square().mean(2)  # Σ p ‖m‖² − ‖Σ p m‖², without cancellation
        return float((p * (s * t.ratio**2 + gaps)).sum(1).mean())

    def responsibilities(self, x: Image, t: Level) -> Tensor:
        """p(k | x_t), the posterior probability of each component: (b, K)."""
        return self._joint(x, t).softmax(1)

    @property
    def degenerate(self) -> bool:
        return not bool((self.v > 0).all())

    def log_density(self, x: Image, t: Level) -> PerImage:
        """log p(x_t) per image in nats, (b,), normalised."""
        return self._joint(x, t).logsumexp(1) - x[0].numel() * math.log(t.alpha)

    def _joint(self, x: Image, t: Level) -> Tensor:
        """log w_k N(u; μ_k, (v_k + ρ²) I) with u = x_t/α_t, (b, K)."""
        u = (x / t.alpha).flatten(1)
        var = self.v + t.ratio**2
        gaps = (u[:, None] - self.means.flatten(1)).square().sum(2)  # by differences: no cancellation
        return self.log_w - gaps / (2 * var) - u.shape[1] / 2 * (2 * math.pi * var).log()

    def sample(self, rng: Rng) -> Image:
        """One exact draw per stream of `rng`: (b, *shape)."""
        like = self.means[:1].expand(len(rng.generators), *self.shape)
        k = torch.searchsorted(self.log_w.exp().cumsum(0), rng.rand_like(like.flatten(1)[:, 0]))
        k = k.clamp_max(len(self.v) - 1)
        return self.means[k] + self.v[k].sqrt().reshape(-1, *[1] * len(self.shape)) * rng.randn_like(like)
