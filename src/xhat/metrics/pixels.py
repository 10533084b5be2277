"""How far x̂ is from the truth, pixel by pixel, for each image.

Everything but `relative_l2` is measured on clip(x/2 + ½, 0, 1), which has a data range of 1.
"""

import math

from torch import Tensor
from torch.linalg import vector_norm as norm

from ..errors import ShapeError
from ..types import Image, PerImage

CAP = 80.0  # dB: a root mean square error of 1e-4 of the range, a tenth of what rounding to 8 bits leaves


def unit(x: Image) -> Image:
    """Images in [−1, 1] converted to [0, 1] and clipped."""
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


def relative_l2(x: Image, reference: Image) -> PerImage:
    """‖x − x*‖/‖x*‖ of images as they are, not clipped; lower is better."""
    off: Tensor = norm((x - reference).flatten(1), dim=1)
    size: Tensor = norm(reference.flatten(1), dim=1)
    return off / size
