"""How far x̂ is from the truth, per image. Everything is measured on clip(x/2 + ½, 0, 1) with data range 1."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.linalg import vector_norm as norm

from ..errors import ShapeError, SpecError
from ..science.fwi.velocity import velocity
from ..science.vlbi.metrics import psnr_blur, psnr_shift
from ..types import Image, PerImage
from .perceptual import distance, lpips_net, stlpips_net

CAP = 80.0  # dB; what PSNR would give for an error far below 16-bit rounding


def unit(x: Image) -> Image:
    return (x / 2 + 0.5).clamp(0, 1)


def decibels(mse: float) -> float:
    """The peak signal-to-noise ratio in dB of a mean squared error in units of [−1, 1], nothing clipped or capped."""
    return 10 * math.log10(4 / mse)


def psnr(x: Image, reference: Image) -> PerImage:
    """Peak signal-to-noise ratio −10 log₁₀ MSE in dB over all channels, at most 80; higher is better."""
    mse = (unit(x) - unit(reference)).square().flatten(1).mean(1)
    return -10 * mse.clamp_min(10 ** (-CAP / 10)).log10()


def ssim(x: Image, reference: Image) -> PerImage:
    """Structural similarity, 11×11 Gaussian window of σ 1.5, valid (Wang et al., 2004); higher is better."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    if x.ndim != 4 or min(x.shape[-2:]) < 11:
        raise ShapeError(f"ssim needs images (c, h, w) of at least 11 × 11 pixels, not {tuple(x.shape[1:])}")
    _, full = structural_similarity_index_measure(
        unit(x), unit(reference), sigma=1.5, data_range=1.0, reduction="none", return_full_image=True
    )
    return full[..., 5:-5, 5:-5].flatten(1).mean(1)  # torchmetrics mirrors at the border; valid is the inner part


def lpips(x: Image, reference: Image) -> PerImage:
    """Learned perceptual distance on VGG-16 (Zhang et al., 2018), weights from torch's cache. arXiv:1801.03924"""
    return distance(lpips_net("vgg"), x, reference)


def lpips_alex(x: Image, reference: Image) -> PerImage:
    """Learned perceptual distance on AlexNet (Zhang et al., 2018), weights from torch's cache. arXiv:1801.03924"""
    return distance(lpips_net("alex"), x, reference)


def stlpips(x: Image, reference: Image) -> PerImage:
    """Shift-tolerant LPIPS on AlexNet, not LPIPS; needs no download: xhat[offline-metrics]. arXiv:2207.13686"""
    return distance(stlpips_net(), x, reference)


def _magnitudes(x: Image, reference: Image) -> tuple[Tensor, Tensor]:
    """|x| and |reference| of complex images (b, 2, h, w), divided by the reference's maximum and clipped there."""
    if x.ndim != 4 or x.shape[1] != 2:
        raise ShapeError(f"magnitudes are of complex images (2, h, w), not {tuple(x.shape[1:])}")
    a, b = (norm(i, dim=1, keepdim=True) for i in (x, reference))
    white = b.amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(b.dtype).tiny)
    return (2 * a / white - 1).clamp_max(1), 2 * b / white - 1


def magnitude_psnr(x: Image, reference: Image) -> PerImage:
    """PSNR in dB of the magnitude of complex images, the reference's maximum as range (as in InverseBench)."""
    return psnr(*_magnitudes(x, reference))


def magnitude_ssim(x: Image, reference: Image) -> PerImage:
    """SSIM of the magnitude of complex images, the reference's maximum as range (as in InverseBench)."""
    return ssim(*_magnitudes(x, reference))


def relative_l2(x: Image, reference: Image) -> PerImage:
    """‖x − x*‖/‖x*‖ of images as they are, not clipped; lower is better."""
    off: Tensor = norm((x - reference).flatten(1), dim=1)
    size: Tensor = norm(reference.flatten(1), dim=1)
    return off / size


def velocity_l2(x: Image, reference: Image) -> PerImage:
    """‖v − v*‖/‖v*‖ of velocities v = 3 + 1.5 x in km/s, as operator fwi has them by default; lower is better."""
    return relative_l2(velocity(x), velocity(reference))


METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "lpips": lpips,
    "lpips_alex": lpips_alex,
    "magnitude_psnr": magnitude_psnr,
    "magnitude_ssim": magnitude_ssim,
    "psnr": psnr,
    "psnr_blur": psnr_blur,
    "psnr_shift": psnr_shift,
    "relative_l2": relative_l2,
    "ssim": ssim,
    "stlpips": stlpips,
    "velocity_l2": velocity_l2,
}
# smaller is better
LOWER = (
    *("lpips", "lpips_alex", "stlpips", "relative_l2", "velocity_l2"),
    *("crps", "fid", "kid", "frechet_lite0", "chi2_cp", "chi2_lca"),
)


def applicable(names: Sequence[str], shape: Sequence[int]) -> list[str]:
    """PSNR and SSIM of a complex image (2, h, w) are those of its magnitude, under their own names."""
    if len(shape) != 3 or shape[0] != 2:
        return list(names)
    return [f"magnitude_{n}" if n in ("psnr", "ssim") else n for n in names]


def choose(names: Sequence[str] | None, reference: Tensor) -> list[str]:
    """The metrics asked for, or PSNR and, where images allow it, SSIM; each tried once, to fail before a long run.

    Of images with two channels, complex ones, those of the magnitude.
    """
    if names is None:
        names = ["psnr", "ssim"] if reference.ndim == 3 and min(reference.shape[1:]) >= 11 else ["psnr"]
        names = applicable(names, reference.shape)
    for name in names:
        if name not in METRICS:
            raise SpecError(f"unknown metric {name!r}; choose from {', '.join(METRICS)}")
        METRICS[name](reference[None], reference[None])
    return list(names)
