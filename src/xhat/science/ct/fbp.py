"""Filtered back-projection of the line integrals of `ct`."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fft import irfft, rfft

from ...baselines.base import Direct
from ...errors import MismatchError
from ...solvers.base import LinearGaussian
from ...spec import called
from ...types import Data, Image
from .gaps import filled
from .operator import CT
from .weighted import WeightedCT


def fbp(A: CT, y: Data) -> Image:
    """The image (b, c, h, w) by filtered back-projection of `y` (b, c, angles, detectors).

        f = Σ_θ Δθ q_θ/U²

    q is the ramp-filtered view and U the relative distance from the source (1 if parallel); Kak & Slaney, 1988, eqs.
    3.61, 3.107 and 3.97. Views of a fan are weighted by the cosine of the angle of the ray, filtered with half of the
    ramp, and on a curved detector with the ramp times (γ/sin γ)². Δθ is the angle that a view stands for
    (`Geometry.weights`), so that angles need not be even. For an axis beside the central ray of a fan (`shift`) it is
    right to first order.
    """
    g = A.geometry
    D, curved = g.distance, g.beam == "curved"
    s = g.cells().to(y)
    if g.diverges:
        gamma = s / g.length if curved else (s / g.length).atan()
        # the detector as it would be at the axis: flat at distance D, or in angles
        pitch = g.pitch / g.length if curved else g.pitch / g.magnification
        q = ramp(y * gamma.cos() * (D if curved else 1.0), pitch, curved) / 2
    else:
        pitch, q = g.pitch, ramp(y, g.pitch)
    h, w = A.shape[-2:]
    right = (torch.arange(w).to(y) - (w - 1) / 2) * A.pixel - g.axis[0]
    up = -(torch.arange(h).to(y)[:, None] - (h - 1) / 2) * A.pixel - g.axis[1]
    first = float(g.cells()[0])
    x = torch.zeros(len(y), *A.shape, dtype=y.dtype, device=y.device)
    for i, (angle, weight) in enumerate(zip(g.views().tolist(), g.weights().tolist(), strict=True)):
        across = right * math.cos(angle) + up * math.sin(angle) - g.shift
        along = up * math.cos(angle) - right * math.sin(angle)
        if not g.diverges:
            x += weight * at(q[..., i, :], (across - first) / pitch)
            continue
        away = D + along
        place = (across / away).atan() if curved else across * D / away
        begin = first / g.length if curved else first / g.magnification
        far = (away**2 + across**2) if curved else (away / D) ** 2
        x += weight * at(q[..., i, :], (place - begin) / pitch) / far
    return x / A.unit


def ramp(y: Tensor, pitch: float, curved: bool = False) -> Tensor:
    """The views `y` (…, detectors) convolved with the band-limited ramp (Ramachandran & Lakshminarayanan, 1971).

    The ramp is sampled in space, `pitch` apart; on a `curved` detector `pitch` is an angle γ, and the ramp is times
    (γ/sin γ)².
    """
    n = y.shape[-1]
    k = torch.arange(-n + 1, n)
    odd = torch.where(k % 2 == 1, -1 / (math.pi * k.double()) ** 2, 0.0)
    kernel = torch.where(k == 0, 0.25, odd) / pitch**2
    if curved:
        kernel = kernel / torch.sinc(k.double() * pitch / math.pi) ** 2
    # At least 3 n − 2 points, so that the circular convolution does not wrap around.
    size = 4 * n
    out: Tensor = irfft(rfft(y, size) * rfft(kernel.to(y), size), size)
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

    Fan beams are weighted as in Kak & Slaney, 1988, section 3.4; they assume views all around. What is inverted is the
    integral of x + 1, which is 0 outside the image as air is. Readings that were left out are interpolated in their
    view.
    """

    needs = LinearGaussian

    def image(self, like: LinearGaussian) -> Image:
        A, y = like.A, like.y
        if isinstance(A, WeightedCT):
            seen, y = A.support, y / torch.where(A.support, A.weights, 1)
            A = A.rays
        elif isinstance(A, CT):
            seen = A.support
        else:
            raise MismatchError(f"fbp inverts line integrals (ct), not {called(A)}")
        whole = y + A.forward(torch.ones_like(like.A.blank(1))) * seen
        lost = A.crossing & ~seen
        lost = lost.expand(len(y), -1, -1, -1)
        return torch.cat([fbp(A, filled(v[None], ~gone[0])) for v, gone in zip(whole, lost, strict=True)]) - 1
