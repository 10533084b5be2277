"""What a JPEG file says about its own compression: its quantisation tables and its subsampling."""

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from math import log
from pathlib import Path

import numpy as np
import torch
from PIL import Image, JpegImagePlugin
from torch import Tensor

from .pictures import opened

SAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}  # as Pillow numbers them
ORIENTATION = 0x0112  # the EXIF tag


@dataclass(frozen=True)
class JpegHeader:
    """The compression of one file; `quality` is the setting of libjpeg whose luma table is nearest to the file's."""

    quality: int
    exact: bool  # whether the table is that of `quality`, and not one of the maker of the camera
    subsampling: str | None  # 4:4:4, 4:2:2 or 4:2:0; None for grey and for any other
    steps: tuple[int, ...]  # the luma table, row by row
    loss: float  # upper bound of the error's standard deviation, in grey levels: a step over √12, over all frequencies
    turned: bool  # shown turned, so that its blocks may not begin at the upper left corner
    size: tuple[int, int]  # as stored, (width, height)


def jpeg_header(path: str | Path) -> JpegHeader | None:
    """The compression that the header of `path` tells, or None if it is no JPEG file."""
    try:
        with opened(path) as picture:
            if not isinstance(picture, JpegImagePlugin.JpegImageFile) or not picture.quantization:
                return None
            tables = picture.quantization
            luma = tuple(tables[min(tables)])
            quality = min(range(1, 101), key=lambda q: _distance(luma, _standard(q)))
            return JpegHeader(
                quality=quality,
                exact=luma == _standard(quality),
                subsampling=SAMPLING.get(JpegImagePlugin.get_sampling(picture)),
                steps=luma,
                loss=(sum(step**2 for step in luma) / len(luma) / 12) ** 0.5,
                turned=picture.getexif().get(ORIENTATION, 1) != 1,
                size=picture.size,
            )
    except (OSError, SyntaxError, ValueError):
        return None


def stored_luma(path: str | Path) -> Tensor:
    """The luma of a JPEG in grey levels, (h, w), as it is stored: not turned, so that blocks begin at the corner."""
    with opened(path) as picture:
        luma = np.asarray(picture.convert("YCbCr" if picture.mode != "L" else "L"), np.float32)
    return torch.from_numpy(luma if luma.ndim == 2 else luma[..., 0].copy())


@lru_cache(100)
def _standard(quality: int) -> tuple[int, ...]:
    """The luma table that libjpeg writes at `quality`, as Pillow reads it back."""
    file = BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
    with opened(file) as picture:
        assert isinstance(picture, JpegImagePlugin.JpegImageFile)
        return tuple(picture.quantization[0])


def _distance(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    return sum(abs(log(a / b)) for a, b in zip(one, other, strict=True))
