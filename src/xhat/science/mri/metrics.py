"""Scores of complex images, of which only the magnitude is compared."""

import torch
from torch import Tensor

from ...errors import ShapeError
from ...metrics.base import Metric
from ...metrics.pixels import psnr, ssim
from ...types import Image, PerImage


def _magnitudes(x: Image, reference: Image) -> tuple[Tensor, Tensor]:
    """|x| and |reference| of complex images (b, 2, h, w) or volumes (b, 2, slices, h, w), divided by the reference's
    maximum and clipped there.
    """
    if x.ndim not in (4, 5) or x.shape[1] != 2:
        raise ShapeError(f"magnitudes are of complex images (2, [slices,] h, w), not {tuple(x.shape[1:])}")
    a, b = (torch.linalg.vector_norm(i, dim=1, keepdim=True) for i in (x, reference))
    white = b.amax(tuple(range(1, b.ndim)), keepdim=True).clamp_min(torch.finfo(b.dtype).tiny)
    return (2 * a / white - 1).clamp_max(1), 2 * b / white - 1


def magnitude_psnr(x: Image, reference: Image) -> PerImage:
    """PSNR in dB of the magnitude of complex images, the reference's maximum as range (as in InverseBench)."""
    return psnr(*_magnitudes(x, reference))


def magnitude_ssim(x: Image, reference: Image) -> PerImage:
    """SSIM of the magnitude of complex images, the reference's maximum as range (as in InverseBench)."""
    return ssim(*_magnitudes(x, reference))


METRICS = (
    Metric("magnitude_psnr", magnitude_psnr, higher=True, unit="dB", digits=2, label=""),
    Metric("magnitude_ssim", magnitude_ssim, higher=True, label="SSIM"),
)
