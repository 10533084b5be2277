"""A recorded k-space as a measurement, scaled to images of size 1, with an estimate of its noise."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError
from ...files.measurement import Measurement
from .kspace import combine, ifft2c, low_resolution, noise_level, off_centre, padding, rss, sampled


def measurement(
    k: Tensor,
    origin: Path | str,
    maps: Tensor | None = None,
    mask: Tensor | None = None,
    scale: float | None = None,
    filled: Tensor | None = None,
    prescan: Tensor | None = None,
    sigma: float | None = None,
) -> Measurement:
    """k-space `k` (coils, h, w), 0 where nothing was sampled, as a measurement of the operator `mri`.

    It is divided by `scale`, by default the 99 % quantile of the low-resolution image of its fully sampled centre.
    `mask` (h, w) or (1, w) says what was sampled, by default what is not 0; what is zero `filled`, by default
    `kspace.padding` of it, belongs to the image as the scanner shows it, and so counts as sampled. Complete data also
    give the truth: the combination with `maps`, or without maps the root sum of squares, which has no phase. Incomplete
    data give the mask. `prescan` (coils, h, w) are calibration lines that were recorded apart, for maps and scale. The
    noise is `sigma` in the units of `k`, by default estimated from the rim of k-space. `origin` is named in errors.
    Raises DataError if `k` holds NaN, infinity or only zeros, or has its centre at an end.
    """
    if not bool(torch.isfinite(k.abs()).all()):
        raise DataError(f"{origin}: holds values that are NaN or infinite")
    k = k.to(torch.complex64)
    seen = sampled(k) if mask is None else mask.expand(k.shape[-2:])
    if not bool(seen.any()) or not bool(k.abs().max() > 0):
        raise DataError(f"{origin}: holds only zeros")
    if axes := off_centre(k):
        raise DataError(
            f"{origin}: most of its k-space lies at the ends of axis {', '.join(map(str, axes))}, and frequency 0 "
            f"belongs in the middle: numpy.fft.fftshift(y, axes={axes})"
        )
    seen = seen | (padding(seen) if filled is None else filled)
    source, sure = (k, seen) if prescan is None else (prescan, sampled(prescan))
    try:
        scale = scale or float(np.quantile(rss(low_resolution(source, sure)).numpy(), 0.99))
    except DataError as e:
        raise DataError(f"{origin}: {e}") from e
    k = k / scale
    physics: dict[str, Any] = {"maps": "estimate" if maps is None else maps.to(torch.complex64), "calibration": k}
    if prescan is not None:
        physics["prescan"] = prescan / scale
    truth = None
    if bool(seen.all()):
        truth = torch.view_as_real(combine(k, maps) if maps is not None else full(k)).permute(2, 0, 1).contiguous()
    else:
        physics |= {"mask": seen, "recorded": seen}
    level = noise_level(k) if sigma is None else sigma / scale
    noise = f"gaussian:sigma={level:.3g}" if level > 0 else None
    return Measurement(
        y=k,
        image_shape=(2, *k.shape[-2:]),
        operator="mri",
        noise=noise,
        guessed={"noise": noise} if noise and sigma is None else {},
        origin=str(origin),
        physics=physics,
        truth=truth,
        scale=scale,
    )


def understood(found: Measurement) -> Measurement:
    """A complex array that a user calls k-space as `measurement` reads one, with `maps` and `mask` if they lie beside
    it.

    Data that are not complex, or that one of this package's readers has been through, are returned as they are. Raises
    DataError like `measurement`.
    """
    k = found.y
    if not k.is_complex() or "calibration" in found.physics:
        return found
    if k.ndim not in (2, 3):
        raise DataError(f"{found.origin}: k-space has the axes ([coils,] h, w), not {tuple(k.shape)}")
    given = {name: torch.as_tensor(found.physics[name]) for name in ("maps", "mask") if name in found.physics}
    mask = given["mask"] != 0 if "mask" in given else None
    if mask is not None and (mask.ndim not in (1, 2) or mask.shape[-1] != k.shape[-1]):
        raise DataError(f"{found.origin}: its mask of shape {tuple(mask.shape)} does not fit k-space {tuple(k.shape)}")
    mask = None if mask is None else mask.reshape(-1, mask.shape[-1])
    k = k[None] if k.ndim == 2 else k
    read = measurement(k if mask is None else k * mask, found.origin, given.get("maps"), mask)
    others = {name: value for name, value in found.physics.items() if name not in given}
    return replace(
        read,
        operator=found.operator,
        noise=found.noise or read.noise,
        guessed={} if found.noise else read.guessed,
        seed=found.seed,
        physics={**others, **read.physics},
    )


def full(k: Tensor) -> Tensor:
    """The root sum of squares of a fully sampled k-space (coils, h, w), as a complex image (h, w) of phase 0."""
    return rss(ifft2c(k)).to(k.dtype)
