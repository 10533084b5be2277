"""How far x̂ is from the truth, per image. Everything is measured on clip(x/2 + ½, 0, 1) with data range 1."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .errors import DataError, ShapeError, SpecError
from .types import Image, PerImage

CAP = 80.0  # dB; what PSNR would give for an error far below 16-bit rounding


def unit(x: Image) -> Image:
    return (x / 2 + 0.5).clamp(0, 1)


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
    """Learned perceptual distance on VGG features (Zhang et al., 2018), an extra; lower is better. arXiv:1801.03924"""
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ShapeError(f"lpips needs grey or colour images, not {tuple(x.shape[1:])}")
    net = _lpips_net().to(x.device)
    a, b = (unit(i).expand(-1, 3, -1, -1) for i in (x, reference))
    with torch.no_grad():
        return torch.stack([net(p[None], q[None]).reshape(()) for p, q in zip(a, b, strict=True)])


@cache
def _lpips_net() -> Any:
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        return LearnedPerceptualImagePatchSimilarity(net_type="vgg", normalize=True).eval()
    except Exception as e:  # a missing package, no network, a broken cache: all mean the same to the user
        reason = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
        raise DataError(
            f"lpips: its VGG weights are not at hand ({reason}). Install xhat[lpips] and run once with a network"
        ) from e


METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"lpips": lpips, "psnr": psnr, "ssim": ssim}


def choose(names: Sequence[str] | None, reference: Tensor) -> list[str]:
    """The metrics asked for, or PSNR and, where images allow it, SSIM; each tried once, to fail before a long run."""
    if names is None:
        names = ["psnr", "ssim"] if reference.ndim == 3 and min(reference.shape[1:]) >= 11 else ["psnr"]
    for name in names:
        if name not in METRICS:
            raise SpecError(f"unknown metric {name!r}; choose from {', '.join(METRICS)}")
        METRICS[name](reference[None], reference[None])
    return list(names)
