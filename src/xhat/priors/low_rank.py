"""A mixture of Gaussians of low rank: its denoiser in closed form, and its fit to pictures."""

import math

import torch
from torch import Tensor

from ..errors import SpecError
from ..rng import Rng
from ..schedule import EDM, Level, Schedule
from ..types import Image, PerImage
from .base import FixedShape


class LowRankMixture(FixedShape):
    """x₀ ~ Σ_k w_k N(μ_k, U_kᵀ diag(λ_k) U_k + v_k I): a mixture of probabilistic principal components, in closed form.

    With d = x_t/α_t − μ_k, z = U_k d (rows of U_k orthonormal), a = v_k + ρ² and b = λ_k + a,

        log p(k|x_t) = log w_k − ½ [(‖d‖² − ‖z‖²)/a + Σ z²/b + (n − r) log a + Σ log b] + const
        E[x₀|x_t, k] = μ_k + (v_k/a) d + U_kᵀ ((λ_k + v_k)/b − v_k/a) z                  (Tipping & Bishop, 1999)

    `means` is (K, *shape), `axes` (K, r, n), `lam` (K, r), `v` (K,), and `weights` (K,) holds positive numbers of any
    sum. Raises SpecError if they do not have the same K.
    """

    closed_form = True
    source = "closed form"

    means: Tensor
    axes: Tensor
    lam: Tensor
    v: Tensor
    log_w: Tensor

    def __init__(
        self, means: Tensor, axes: Tensor, lam: Tensor, v: Tensor, weights: Tensor, schedule: Schedule | None = None
    ) -> None:
        super().__init__()
        self.shape, self.schedule = tuple(means.shape[1:]), schedule or EDM()
        if not (len(means) == len(axes) == len(lam) == len(v) == len(weights)):
            raise SpecError("a mixture needs as many axes, variances and weights as means")
        log_w = (weights / weights.sum()).log()
        for name, buffer in (("means", means), ("axes", axes), ("lam", lam), ("v", v), ("log_w", log_w)):
            self.register_buffer(name, buffer)

    def forward(self, x: Image, t: Level) -> Image:
        d, z, log_p = self.terms(x, t)
        p, shrink = log_p.softmax(1), self.v / (self.v + t.ratio**2)
        b = (self.lam + self.v[:, None]) / (self.lam + self.v[:, None] + t.ratio**2)
        along = (b - shrink[:, None]) * z
        centres = p @ self.means.flatten(1) + torch.einsum("bk,bkn->bn", p * shrink, d)
        return (centres + torch.einsum("bkr,krn->bn", p[..., None] * along, self.axes)).reshape(x.shape)

    @property
    def degenerate(self) -> bool:
        return not bool((self.v > 0).all())

    def log_density(self, x: Image, t: Level) -> PerImage:
        """log p(x_t) per image in nats, (b,), normalised."""
        n = x[0].numel()
        return self.terms(x, t)[2].logsumexp(1) - n / 2 * math.log(2 * math.pi) - n * math.log(t.alpha)

    def terms(self, x: Image, t: Level) -> tuple[Tensor, Tensor, Tensor]:
        """d (b, K, n), z (b, K, r), and log p(k, x_t) (b, K) up to a constant that all components share."""
        d = (x / t.alpha).flatten(1)[:, None] - self.means.flatten(1)  # (b, K, n)
        z = torch.einsum("bkn,krn->bkr", d, self.axes)
        a = self.v + t.ratio**2
        b = self.lam + a[:, None]
        rest = (d.square().sum(2) - z.square().sum(2)).clamp_min(0)
        free = d.shape[2] - z.shape[2]
        log_p = self.log_w - (rest / a + (z.square() / b).sum(2) + free * a.log() + b.log().sum(1)) / 2
        return d, z, log_p

    def sample(self, rng: Rng) -> Image:
        """One exact draw per stream of `rng`, (b, *shape): with one white image z and the axes a of the component,

            μ_k + √v_k z + Σ (√(λ + v_k) − √v_k) (a·z) a

        This is the symmetric root of the covariance. It does not depend on the signs and the order of the axes, which
        differ from one machine's LAPACK to the next, so that a seed means the same picture everywhere.
        """
        like = self.means[:1].expand(len(rng.generators), *self.shape)
        k = torch.searchsorted(self.log_w.exp().cumsum(0), rng.rand_like(like.flatten(1)[:, 0]))
        k = k.clamp_max(len(self.v) - 1)
        z, v = rng.randn_like(like).flatten(1), self.v[k][:, None]
        more = ((self.lam[k] + v).sqrt() - v.sqrt()) * torch.einsum("bn,brn->br", z, self.axes[k])
        drawn = v.sqrt() * z + torch.einsum("br,brn->bn", more, self.axes[k])
        return self.means[k] + drawn.reshape(like.shape)


def fit(x: Tensor, components: int, rank: int, rounds: int = 12, floor: float = 1e-4) -> dict[str, Tensor]:
    """Fits a mixture to the pictures `x` (N, n): k-means, then the principal components of each cluster.

    `rounds` is the number of k-means iterations, and `floor` the smallest variance of a pixel. The result is
    deterministic, because the first centres are spread over the pictures in order. Returns the arguments of
    LowRankMixture, with `means` flat: (components, n). Raises SpecError if there are fewer pictures than components or
    a picture holds NaN.
    """
    if not 1 <= components <= len(x) or rank < 1:
        raise SpecError(f"a mixture of {components} components of rank {rank} cannot be fitted to {len(x)} pictures")
    means = x[torch.arange(components) * len(x) // components].clone()
    for _ in range(rounds):
        gaps = means.square().sum(1) - 2 * x @ means.T
        near = gaps.argmin(1)
        for k in range(components):
            if (near == k).any():
                means[k] = x[near == k].mean(0)
    axes, lam = x.new_zeros(components, rank, x.shape[1]), x.new_zeros(components, rank)
    v, weights = x.new_full((components,), floor), x.new_zeros(components)
    for k in range(components):
        d = x[near == k] - means[k]
        weights[k] = max(1, len(d))
        # At most 1500 pictures per cluster: more hardly move its principal components, and eigh is cubic in them.
        d = d[:: -(-len(d) // 1500)] if len(d) else d
        values, left = torch.linalg.eigh((d @ d.T).double() / max(1, len(d)))
        # Directions with less than 1e-6 of the largest variance are rounding errors of float32.
        kept = min(rank, int((values > 1e-6 * float(values[-1])).sum())) if len(d) > 1 else 0
        if kept:
            rows = left[:, -kept:].flip(1).T.to(d) @ d
            axes[k, :kept] = rows / rows.norm(dim=1, keepdim=True)
            lam[k, :kept] = values[-kept:].flip(0).to(d)
        v[k] = max(floor, (float(values.sum()) - float(lam[k].sum())) / (x.shape[1] - kept)) if len(d) else floor
    if len(axes) and math.isnan(float(lam.sum())):
        raise SpecError("the pictures hold NaN")
    return {"means": means, "axes": axes, "lam": (lam - v[:, None]).clamp_min(0), "v": v, "weights": weights}
