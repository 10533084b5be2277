"""Filtered back-projection of the line integrals of `ct`."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fft import irfft, rfft

from ...baselines.base import Direct
from ...errors import MismatchError
from ...solvers.base import LinearGaussian
from ...types import Data, Image
from .operator import CT


def fbp(A: CT, y: Data) -> Image:
    """The image (b, c, h, w) by filtered back-projection of `y` (b, c, angles, detectors).

        f = Δθ Σ_θ q_θ(s)/U²

    q is the ramp-filtered view and U the relative distance from the source (1 if parallel); Kak & Slaney, 1988, eqs.
    3.61 and 3.107. Fan views are weighted by D/√(D² + s²) and half of the ramp. A parallel arc beyond 180 degrees sees
    every line more than once, and the result is divided accordingly.
    """
    s, theta = A.offsets().to(y), A.views().to(y)
    q = ramp(y * A.distance / (A.distance**2 + s**2).sqrt() / 2, A.pitch) if A.fan else ramp(y, A.pitch)
    h, w = A.shape[-2:]
    across = (torch.arange(w).to(y) - (w - 1) / 2) / w
    up = -(torch.arange(h).to(y)[:, None] - (h - 1) / 2) / w
    x = torch.zeros(len(y), *A.shape, dtype=y.dtype, device=y.device)
    for i, angle in enumerate(theta):
        U = 1 + (-across * angle.sin() + up * angle.cos()) / A.distance if A.fan else torch.ones_like(across + up)
        place = (across * angle.cos() + up * angle.sin()) / U / A.pitch + (A.count - 1) / 2
        x += at(q[..., i, :], place) / U**2
    turn = math.radians(A.arc) / A.angles
    return x * (turn if A.fan else turn * min(1.0, 180 / A.arc))


def ramp(y: Tensor, pitch: float) -> Tensor:
    """The views `y` (…, detectors) convolved with the band-limited ramp (Ramachandran & Lakshminarayanan, 1971).

    The ramp is sampled in space, `pitch` apart.
    """
    n = y.shape[-1]
    k = torch.arange(-n + 1, n)
    odd = torch.where(k % 2 == 1, -1 / (math.pi * k.double()) ** 2, 0.0)
    kernel = (torch.where(k == 0, 0.25, odd) / pitch**2).to(y)
    # At least 3 n − 2 points, so that the circular convolution does not wrap around.
    size = 4 * n
    out: Tensor = irfft(rfft(y, size) * rfft(kernel, size), size)
    return pitch * out[..., n - 1 : 2 * n - 1]


def at(q: Tensor, place: Tensor) -> Tensor:
    """Views `q` (b, c, detectors) interpolated linearly at fractional positions `place` (h, w); 0 beyond the ends."""
    low = place.floor().long()
    part = place - low
    inside = (low >= 0) & (low < q.shape[-1] - 1)
    low = low.clamp(0, q.shape[-1] - 2)
    return torch.where(inside, q[..., low] * (1 - part) + q[..., low + 1] * part, 0.0)


@dataclass(frozen=True)
class FBP(Direct[LinearGaussian]):
    """Filtered back-projection with the ramp |ω| (Ramachandran & Lakshminarayanan, 1971), of parallel or fan beams.

    Fan beams are weighted as in Kak & Slaney, 1988, section 3.4; both assume views all around, evenly spaced.
    """

    needs = LinearGaussian

    def image(self, like: LinearGaussian) -> Image:
        if not isinstance(like.A, CT):
            raise MismatchError(f"fbp inverts line integrals (ct), not {type(like.A).__name__}")
        return fbp(like.A, like.y)
