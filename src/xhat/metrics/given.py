"""The metrics as a person calls them: `xhat.metrics.psnr(r.first, "truth.png")`, with what is at hand for a picture.

The rows of `METRICS` want batches (b, *image) in [−1, 1] and take them at their word; here one picture is one picture.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..checks import shown
from ..errors import DataError, ShapeError, SpecError
from ..files.arrays import Range, positive, scaled, upright, which_range
from ..files.measurement import Measurement, Source
from ..files.pictures import is_picture
from ..files.readers.load import load, load_reference
from ..types import PerImage
from . import perceptual, pixels

PIXELS = {"uint8": 255, "uint16": 65535}


def psnr(x: Source | Any, reference: Source | Any, value_range: Range | Any = None) -> float | PerImage:
    """Peak signal-to-noise ratio −10 log₁₀ MSE in dB over all pixels and channels, at most 80; higher is better.

    Example:

        xhat.metrics.psnr(r.first, "truth.png")                       # a float
        xhat.metrics.psnr(r.images, x)                                # (samples,): each against the one truth
        xhat.metrics.psnr(r.to_numpy(), photo, value_range=(0, 1))    # arrays (h, w, 3) of floats in [0, 1]

    Parameters:
        x: a file, a PIL image, or a tensor or an array: one picture (c, h, w), (h, w, c) or (h, w), with one channel or
            three, or a batch of pictures (b, c, h, w) or (b, h, w, c).
        reference: the true picture, of the same size and channels; a batch has one for each or one for all.
        value_range: what black and white are in arrays and tensors of floats. None means [−1, 1], and is refused for
            numbers that look like [0, 1] or [0, 255]. Files, PIL images and whole numbers of 8 or 16 bits say it.

    Returns a float for one picture, and (b,) for a batch. Raises ShapeError for what is no picture or of another size,
    DataError where the range must be said or a file cannot be read, and SpecError for anything else.
    """
    return _compared("psnr", pixels.psnr, x, reference, value_range)


def ssim(x: Source | Any, reference: Source | Any, value_range: Range | Any = None) -> float | PerImage:
    """Structural similarity, 11×11 Gaussian window of σ 1.5, at most 1; higher is better.

    Parameters, returns and errors as of `psnr`; a picture has at least 11 × 11 pixels.
    """
    return _compared("ssim", pixels.ssim, x, reference, value_range)


def relative_l2(x: Source | Any, reference: Source | Any, value_range: Range | Any = None) -> float | PerImage:
    """‖x − x*‖/‖x*‖ of pictures in [−1, 1], not clipped; lower is better.

    Parameters, returns and errors as of `psnr`.
    """
    return _compared("relative_l2", pixels.relative_l2, x, reference, value_range)


def lpips(x: Source | Any, reference: Source | Any, value_range: Range | Any = None) -> float | PerImage:
    """Perceptual distance LPIPS by the features of VGG-16; lower is better.

    Parameters, returns and errors as of `psnr`, and DataError if the weights are not at hand.
    """
    return _compared("lpips", perceptual.lpips, x, reference, value_range)


def lpips_alex(x: Source | Any, reference: Source | Any, value_range: Range | Any = None) -> float | PerImage:
    """Perceptual distance LPIPS by the features of AlexNet; lower is better.

    Parameters, returns and errors as of `psnr`, and DataError if the weights are not at hand.
    """
    return _compared("lpips_alex", perceptual.lpips_alex, x, reference, value_range)


def stlpips(x: Source | Any, reference: Source | Any, value_range: Range | Any = None) -> float | PerImage:
    """Perceptual distance ST-LPIPS, which tolerates small shifts; lower is better.

    Parameters, returns and errors as of `psnr`.
    """
    return _compared("stlpips", perceptual.stlpips, x, reference, value_range)


def _compared(
    name: str, of: Callable[[Tensor, Tensor], Tensor], x: Any, reference: Any, values: Any
) -> float | PerImage:
    found, many = _pictures(name, x, "x", values)
    truth, each = _pictures(name, reference, "the reference", values)
    wrong = found.shape[1:] != truth.shape[1:]
    if wrong or (each and found.shape != truth.shape):
        raise ShapeError(
            f"{name}: x is {_size(found, many)} and the reference {_size(truth, each)}; they must be alike, or the "
            "reference one picture for all"
        )
    out = of(found, truth.expand_as(found))
    return out if many else float(out[0])


def _size(x: Tensor, many: bool) -> str:
    kind = f"{x.shape[-1]} x {x.shape[-2]} pixels in {'colour' if x.shape[1] == 3 else 'grey'}"
    return f"a batch of {len(x)}, {kind}" if many else kind


def _pictures(name: str, given: Any, what: str, values: Any) -> tuple[Tensor, bool]:
    """What was given as a batch (b, c, h, w) in [−1, 1], and whether it was one."""
    what = f"{name}: {what}"
    if isinstance(given, np.ndarray | Tensor):
        x, many = _of_array(given, what, values)
    elif isinstance(given, str | Path | Image.Image | Measurement):
        x, many = load_reference(given), False
    else:
        raise SpecError(f"{what} must be a file, a PIL image, a tensor or an array, not {shown(given)}")
    if x.is_complex() or not is_picture(tuple(x.shape)[many:]):
        kind = "complex numbers" if x.is_complex() else "an array"
        raise ShapeError(
            f"{what} is {kind} of shape {tuple(x.shape)}, and no picture (c, h, w), (h, w, c) or (h, w) of 1 or 3 "
            "channels, nor a batch of them; xhat.metrics.METRICS has rows for batches (b, *image) of other images"
        )
    return (x if many else x[None]), many


def _of_array(given: Any, what: str, values: Any) -> tuple[Tensor, bool]:
    """An array as (c, h, w) or (b, c, h, w), if it is a picture or several of them, and whether it is several."""
    if isinstance(given, np.ndarray) and given.dtype.kind not in "biufc":
        raise DataError(f"{what} holds {given.dtype} values, not numbers")
    counts = PIXELS.get(str(given.dtype).removeprefix("torch."))
    x = torch.from_numpy(np.array(given)) if isinstance(given, np.ndarray) else given.detach().cpu()
    if x.is_complex() or x.ndim not in (2, 3, 4):
        return x, False
    x = load(Measurement(x.float(), origin=what)).y  # which refuses NaN and what is empty
    if x.ndim == 4 and x.shape[-1] in (1, 3) and x.shape[1] not in (1, 3):
        x = x.movedim(-1, 1)
    elif x.ndim < 4:
        x = upright(x)
    values = (0, counts) if counts else values
    if values is not None:
        return scaled(x, values), x.ndim == 4
    if x.shape[-3] in (1, 3) and positive(x):
        raise which_range(x, what)
    return x, x.ndim == 4
