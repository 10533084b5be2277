"""argmin ½‖y − A x‖² + λ R(x) by FISTA (Beck & Teboulle, 2009), image by image."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ..files.extras import extra
from ..numerics.linalg import bcast, norm
from ..operators.algebra import squared_norm
from ..ranges import Positive, Range
from ..solvers.base import Count, Image, Level, LinearGaussian, Prior, Rng, State
from .base import Baseline

MARGIN = 1.05  # power iteration finds ‖A‖² from below, and with too small a number FISTA diverges


@dataclass(frozen=True)
class Momentum(State):
    """The state: `z` is where the next gradient is taken, `t` (b,) FISTA's t_k, `step` (b,) its step 1/‖A‖², `lam` (b,)
    λ.
    """

    z: Image
    t: Tensor
    step: Tensor
    lam: Tensor


@dataclass(frozen=True)
class FISTA(Baseline[LinearGaussian, Momentum]):
    """x_k = prox_{λ/L R}(z_k + Aᵀ(y − A z_k)/L), z_{k+1} = x_k + (t_k − 1)/t_{k+1} (x_k − x_{k−1}).

    Without `lam`, λ follows from the noise by the discrepancy principle (Morozov, 1966): the residual should have the
    size s of the noise. λ starts at max|Aᵀy|, at which x is blank, and is multiplied by √(s/rms(y − A z_k)) in each
    step.
    """

    needs = LinearGaussian

    steps: int = 100
    lam: Annotated[float, Positive] | None = None

    @abstractmethod
    def prox(self, x: Image, weight: Tensor) -> Image:
        """argmin_x' ½‖x' − x‖² + w R(x'), with one weight w per image, (b,)."""

    def init(self, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> Momentum:
        zero = torch.zeros_like(like.noise_image(rng))
        ones = torch.ones_like(norm(zero))
        size = squared_norm(like.A, like.noise_image(rng))
        step = 1 / (MARGIN * size.clamp_min(1e-12))
        blank = like.A.adjoint(like.y).abs().flatten(1).amax(1)
        return Momentum(zero, zero, zero, ones, step, blank if self.lam is None else self.lam * ones)

    def step(
        self, state: Momentum, k: Count, t: Level, s: Level, prior: Prior, like: LinearGaussian, rng: Rng
    ) -> Momentum:
        res = like.residual(state.z)
        lam = state.lam if self.lam is not None else self.discrepancy(state, norm(res) / like.count.sqrt(), like)
        x = self.prox(state.z + bcast(state.step, state.z) * like.A.adjoint(res), lam * state.step)
        after = (1 + (1 + 4 * state.t**2).sqrt()) / 2
        return Momentum(x, x, x + bcast((state.t - 1) / after, x) * (x - state.x), after, state.step, lam)

    def discrepancy(self, state: Momentum, residual: Tensor, like: LinearGaussian) -> Tensor:
        """λ moved towards the value whose residual is that of the noise; the factor is bounded, because z_k lags behind
        λ.
        """
        factor = (like.noise.scale(like.y) / residual).sqrt().clamp(0.6, 1.2)
        return (state.lam * factor).clamp_min(1e-9 / state.step)  # 1e-9 of the range of an image regularises nothing


@dataclass(frozen=True)
class TV(FISTA):
    """FISTA with total variation, R = Σ √(Σ_channels |∇x|²) (Beck & Teboulle, 2009). doi 10.1109/TIP.2009.2028250

    Its prox is solved on the dual, by 20 steps of fast projected gradient.
    """

    inner_steps: ClassVar[int] = 20

    def prox(self, x: Image, weight: Tensor) -> Image:
        w = bcast(weight, x)
        p = q = torch.zeros(*x.shape, 2, dtype=x.dtype, device=x.device)
        t = 1.0
        for _ in range(self.inner_steps):
            new = q + gradient(x - w * divergence(q)) / (8 * w[..., None])
            new = new / new.square().sum((1, -1), keepdim=True).sqrt().clamp_min(1)
            after = (1 + (1 + 4 * t * t) ** 0.5) / 2
            p, q, t = new, new + (t - 1) / after * (new - p), after
        return x - w * divergence(p)


def gradient(x: Image) -> Tensor:
    """Forward differences of `x` (b, c, h, w) to the next row and column, 0 at the last: (b, c, h, w, 2)."""
    g = torch.zeros(*x.shape, 2, dtype=x.dtype, device=x.device)
    g[..., :-1, :, 0] = x[..., 1:, :] - x[..., :-1, :]
    g[..., :-1, 1] = x[..., 1:] - x[..., :-1]
    return g


def divergence(p: Tensor) -> Image:
    """The adjoint of `gradient`, (b, c, h, w)."""
    x = torch.zeros_like(p[..., 0])
    x[..., 1:, :] += p[..., :-1, :, 0]
    x[..., :-1, :] -= p[..., :-1, :, 0]
    x[..., 1:] += p[..., :-1, 1]
    x[..., :-1] -= p[..., :-1, 1]
    return x


@dataclass(frozen=True)
class Wavelet(FISTA):
    """FISTA with R the ℓ₁ norm of orthogonal wavelet coefficients (Lustig et al., 2007). doi 10.1002/mrm.21391

    `wavelet` is a name in PyWavelets, which is an extra. The coarsest scale is not thresholded, and channels are
    thresholded together. Raises DataError if PyWavelets is not installed.
    """

    wavelet: str = "db4"
    depth: Annotated[int, Range(1, 20)] = 4

    def prox(self, x: Image, weight: Tensor) -> Image:
        pywt = extra("pywt", "the wavelet baseline")
        most = pywt.dwt_max_level(min(x.shape[-2:]), self.wavelet)
        coefficients = pywt.wavedec2(x.cpu().numpy(), self.wavelet, "periodization", min(self.depth, most))
        kept = [coefficients[0]]
        for bands in coefficients[1:]:
            kept.append(tuple(soft(torch.from_numpy(c), weight.cpu()).numpy() for c in bands))
        out = torch.from_numpy(pywt.waverec2(kept, self.wavelet, "periodization"))
        return out[..., : x.shape[-2], : x.shape[-1]].to(x)


def soft(c: Tensor, w: Tensor) -> Tensor:
    """Shrinks the vector of channels at each position of `c` (b, channels, …) by `w`, one number per image."""
    size = c.square().sum(1, keepdim=True).sqrt()
    return c * (1 - bcast(w, c) / size.clamp_min(1e-30)).clamp_min(0)
