"""A recorded k-space as a measurement, scaled to images of size 1, with an estimate of its noise."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError
from ...files.measurement import Measurement
from .kspace import combine, ifft2c, low_resolution, noise_level, rss, sampled


def measurement(
    k: Tensor,
    origin: Path | str,
    maps: Tensor | None = None,
    mask: Tensor | None = None,
    scale: float | None = None,
) -> Measurement:
    """k-space `k` (coils, h, w), 0 where nothing was sampled, as a measurement of the operator `mri`.

    It is divided by `scale`, by default the 99 % quantile of the low-resolution image of its fully sampled centre.
    Complete data also give the truth: the combination with `maps`, or without maps the root sum of squares, which has
    no phase. Incomplete data give the mask. The noise is estimated from the rim of k-space. `origin` is named in
    errors. Raises DataError if `k` holds NaN, infinity or only zeros.
    """
    if not bool(torch.isfinite(k.abs()).all()):
        raise DataError(f"{origin}: holds values that are NaN or infinite")
    k = k.to(torch.complex64)
    seen = sampled(k) if mask is None else mask.expand(k.shape[-2:])
    if not bool(seen.any()) or not bool(k.abs().max() > 0):
        raise DataError(f"{origin}: holds only zeros")
    try:
        scale = scale or float(np.quantile(rss(low_resolution(k, seen)).numpy(), 0.99))
    except DataError as e:
        raise DataError(f"{origin}: {e}") from e
    k = k / scale
    physics: dict[str, Any] = {"maps": "estimate" if maps is None else maps.to(torch.complex64), "calibration": k}
    truth = None
    if bool(seen.all()):
        truth = torch.view_as_real(combine(k, maps) if maps is not None else full(k)).permute(2, 0, 1).contiguous()
    else:
        physics["mask"] = seen
    sigma = noise_level(k)
    return Measurement(
        y=k,
        image_shape=(2, *k.shape[-2:]),
        operator="mri",
        noise=f"gaussian:sigma={sigma:.3g}" if sigma > 0 else None,
        origin=str(origin),
        physics=physics,
        truth=truth,
        scale=scale,
    )


def full(k: Tensor) -> Tensor:
    """The root sum of squares of a fully sampled k-space (coils, h, w), as a complex image (h, w) of phase 0."""
    return rss(ifft2c(k)).to(k.dtype)
