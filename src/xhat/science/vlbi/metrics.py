"""Scores of images whose position closure quantities do not determine, and at the resolution of an array.

Everything is measured on clip(x/2 + ½, 0, 1) with data range 1, as in InverseBench (arXiv 2503.11043). InverseBench
prints its blurred scores under the next larger factor; here a factor is the one that was used.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ...metrics.base import Metric, Number
from ...metrics.pixels import psnr
from ...types import Image, PerImage

STEPS, REACH = 30, 0.5  # number of shifts along each axis, and the largest, as a fraction of half the width


def aligned(x: Image, reference: Image) -> Image:
    """`x` moved to where it is closest to `reference`, among 30 × 30 shifts; both are (b, c, h, w) in [−1, 1].

    Shifts are bilinear, and black enters at the border.
    """
    moves = torch.linspace(-REACH, REACH, STEPS, dtype=x.dtype, device=x.device)
    dy, dx = (m.reshape(-1) for m in torch.meshgrid(moves, moves, indexing="ij"))
    theta = torch.zeros(STEPS**2, 2, 3, dtype=x.dtype, device=x.device)
    theta[:, 0, 0] = theta[:, 1, 1] = 1
    theta[:, 0, 2], theta[:, 1, 2] = dx, dy
    grid = F.affine_grid(theta, [STEPS**2, *x.shape[1:]], align_corners=True)
    out = []
    for one, truth in zip((x + 1) / 2, (reference + 1) / 2, strict=True):
        moved = F.grid_sample(one.expand(STEPS**2, *one.shape), grid, mode="bilinear", align_corners=True)
        error = (moved.clamp(0, 1) - truth.clamp(0, 1)).square().flatten(1).mean(1)
        out.append(moved[int(error.argmin())] * 2 - 1)
    return torch.stack(out)


def blurred(x: Image, fwhm: float) -> Image:
    """`x` (b, c, h, w) in [−1, 1] convolved with a Gaussian of full width at half maximum `fwhm` pixels.

    The Gaussian is cut at 4 standard deviations, and the outside is black.
    """
    if fwhm == 0:
        return x
    sigma = fwhm / math.sqrt(8 * math.log(2))
    reach = int(4 * sigma + 0.5)
    taps = torch.exp(-(torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device) ** 2) / (2 * sigma**2))
    taps = taps / taps.sum()
    c = x.shape[1]
    rows = F.conv2d((x + 1) / 2, taps.expand(c, 1, 1, -1), padding=(0, reach), groups=c)
    return F.conv2d(rows, taps[:, None].expand(c, 1, -1, 1), padding=(reach, 0), groups=c) * 2 - 1


def psnr_aligned(x: Image, reference: Image, fwhm: float = 0.0) -> PerImage:
    """PSNR in dB after the best shift, both images then blurred to `fwhm` pixels, (b,); higher is better."""
    return psnr(blurred(aligned(x, reference), fwhm), blurred(reference, fwhm))


def psnr_shift(x: Image, reference: Image) -> PerImage:
    """PSNR in dB after the best of 30 × 30 shifts, (b,), because closure quantities do not tell where an image is."""
    return psnr_aligned(x, reference)


def psnr_blur(x: Image, reference: Image) -> PerImage:
    """PSNR in dB after the best shift, both blurred to 15/160 of their width, which is 15 µas in the benchmark's field;
    (b,).
    """
    return psnr_aligned(x, reference, fwhm=x.shape[-1] * 15 / 160)


def nxcorr(x: Image, reference: Image) -> PerImage:
    """The correlation of two images at the best circular shift, (b,): 1 where they differ in place and scale alone.

    The normalised cross-correlation of the EHT (2019, Paper IV, section 5.3).
    """
    a, b = (v - v.mean((1, 2, 3), keepdim=True) for v in (x, reference))
    a, b = (v / v.flatten(1).norm(dim=1)[:, None, None, None].clamp_min(1e-12) for v in (a, b))
    found: PerImage = torch.fft.ifft2(torch.fft.fft2(a) * torch.fft.fft2(b).conj()).real.flatten(1).amax(1)
    return found


def ring(x: Tensor, pixel: float) -> dict[str, float]:
    """Diameter, width and more of the ring in an image `x` (h, w) of flux ≥ 0, in the units of `pixel`, the side of a
    pixel.

    As in the EHT's image analysis (2019, Paper IV, section 9), the centre is the point for which the radii of the
    brightest points of 360 rays scatter least. The diameter is twice their mean, `spread` twice their standard
    deviation, and the width the mean full width at half maximum of the rays. A thin ring of diameter D that is blurred
    to a width w peaks inside of itself, at d ≈ D − w²/(4 ln 2 D): `thin` is that D. The position angle is that of the
    first Fourier mode of the mean brightness around the ring, in degrees from north through east.
    """
    h, w = x.shape
    flux = x.double()
    reach = min(h, w) / 2

    def rays(cy: float, cx: float) -> tuple[Tensor, Tensor, Tensor]:
        angle = torch.arange(360, dtype=torch.float64).deg2rad()
        radius = torch.arange(0, reach, 0.1, dtype=torch.float64)
        px, py = cx - radius * angle.sin()[:, None], cy - radius * angle.cos()[:, None]  # east is left, north is up
        grid = torch.stack([2 * px / (w - 1) - 1, 2 * py / (h - 1) - 1], -1)
        values = F.grid_sample(flux[None, None], grid[None], mode="bilinear", align_corners=True)[0, 0]
        return values, radius, radius[values.argmax(1)]

    weights = flux.clamp_min(0) / flux.clamp_min(0).sum()
    cy = float((weights.sum(1) * torch.arange(h)).sum())
    cx = float((weights.sum(0) * torch.arange(w)).sum())
    step = min(h, w) / 16

    def score(place: tuple[float, float]) -> float:
        peak = rays(*place)[2]
        return float(peak.std() / peak.mean().clamp_min(1e-9))

    while step > 0.05:
        around = [(cy + a * step, cx + b * step) for a in (-1, 0, 1) for b in (-1, 0, 1)]
        best = min(around, key=score)
        if best == (cy, cx):
            step /= 2
        cy, cx = best
    values, radius, peak = rays(cy, cx)
    half = values > values.amax(1, keepdim=True) / 2
    near = radius <= float(peak.mean()) + reach / 4
    width = (half & near).sum(1).double() * 0.1
    inside = values[:, radius <= float(peak.mean()) * 1.5].mean(1)
    angle = torch.arange(360, dtype=torch.float64).deg2rad()
    mode = (inside * torch.exp(1j * angle)).sum()
    centre = float(values[:, radius <= max(0.5, float(peak.mean()) / 5)].mean())
    across, wide = 2 * float(peak.mean()) * pixel, float(width.mean()) * pixel
    return {
        "diameter": across,
        "thin": (across + math.sqrt(across**2 + wide**2 / math.log(2))) / 2,  # of D² − d D = w²/(4 ln 2)
        "spread": 2 * float(peak.std()) * pixel,
        "width": wide,
        "position_angle": float(mode.angle().rad2deg()) % 360,
        "asymmetry": float(mode.abs() / inside.sum()),
        "centre_to_ring": centre / float(values.amax(1).mean()),
        "row": cy,
        "column": cx,
    }


METRICS = (
    Metric("psnr_shift", psnr_shift, higher=True, unit="dB", digits=2),
    Metric("psnr_blur", psnr_blur, higher=True, unit="dB", digits=2),
    Metric("nxcorr", nxcorr, higher=True),
)
# what the noise model `vlbi` says of the fit
NUMBERS = (Number("chi2_cp", higher=False), Number("chi2_lca", higher=False))
