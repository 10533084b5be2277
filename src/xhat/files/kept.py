"""What a picture's file says beside its colours: profile, EXIF, bits, alpha. The restored picture says it, too."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .cut import Window
from .encode import DEEP, Extras, Pixels, encoded
from .pictures import opened, raw_pixels, resize, to_pixels
from .writing import atomic

CLEAR = (*DEEP, ".webp")  # what can be transparent
ORIENTATION, EXIF_IFD, GPS_IFD, WIDTH, HEIGHT = 274, 0x8769, 0x8825, 0xA002, 0xA003
# Tags that describe the picture, not how its numbers lie in the file: description, make, model, software, date, artist,
# host, copyright, rating. Thumbnails of what the picture was are left out.
SAYS = (270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432)


@dataclass(frozen=True)
class Kept:
    """What is kept of a picture's file. The orientation is not: pixels and `alpha` are upright."""

    depth: int = 8
    colour: bool = False  # it has three channels in the file, also where they are equal
    icc: bytes | None = None
    tags: Mapping[int, Any] = field(default_factory=dict)  # EXIF, the tables within it by their own tags
    dpi: tuple[float, float] | None = None
    alpha: Tensor | None = field(default=None, repr=False)  # (h, w) from 0 to 1, also where it is 1 everywhere

    def opaque(self) -> "Kept":
        """The same without the alpha channel."""
        return replace(self, alpha=None)

    def within(self, window: Window) -> "Kept":
        """The same of a part of the picture."""
        return self if self.alpha is None else replace(self, alpha=window(self.alpha))

    def depth_of(self, path: Path) -> int:
        """The bits with which a picture is written as `path` unless somebody says otherwise."""
        return self.depth if path.suffix.lower() in DEEP else 8

    def pixels(self, x: Tensor, depth: int, path: Path) -> Pixels:
        """`x` (c, h, w) in [−1, 1] with the channels of the file, (h, w[, 2 | 3 | 4])."""
        pixels = to_pixels(x.expand(3, -1, -1) if self.colour and len(x) == 1 else x, depth)
        if self.alpha is None or path.suffix.lower() not in CLEAR:
            return pixels
        alpha = self.alpha[None] * 2 - 1
        if alpha.shape[1:] != x.shape[1:]:
            alpha = resize(alpha, *x.shape[1:])
        planes = pixels if pixels.ndim == 3 else pixels[..., None]
        return np.concatenate([planes, to_pixels(alpha, depth)[..., None]], -1)

    def extras(self, pixels: Pixels) -> Extras:
        """Profile and EXIF for these pixels, upright; a profile for other channels is left out."""
        h, w = pixels.shape[:2]
        exif = Image.Exif()
        for tag, value in self.tags.items():
            exif[tag] = value
        if self.tags:
            exif[ORIENTATION] = 1
        if EXIF_IFD in self.tags:
            exif[EXIF_IFD] = {**self.tags[EXIF_IFD], WIDTH: w, HEIGHT: h}
        channels = pixels.shape[2] if pixels.ndim == 3 else 1
        fits = self.icc and self.icc[16:20] == (b"RGB " if channels > 2 else b"GRAY")
        return Extras(self.icc if fits else None, exif, self.dpi)

    def save(self, path: str | Path, x: Tensor, depth: int | None = None) -> None:
        """Writes the restored picture `x` (c, h, w) in [−1, 1] in the format of the suffix of `path`.

        `depth` is the number of bits, by default that of the file where the format allows it.
        """
        path = Path(path)
        pixels = self.pixels(x, depth or self.depth_of(path), path)
        content = encoded(path, pixels, self.extras(pixels))
        atomic(path, lambda file: file.write_bytes(content))


def kept_of(path: str | Path) -> Kept:
    """What is kept of the picture at `path`; nothing of a file that cannot be read."""
    try:
        with opened(path) as picture:
            pixels = raw_pixels(picture, path)  # first: asking a PNG for its EXIF decodes it, to 8 bits
            found = picture.getexif()
            tags: dict[int, Any] = {tag: found[tag] for tag in SAYS if tag in found}
            tags |= {ifd: dict(found.get_ifd(ifd)) for ifd in (EXIF_IFD, GPS_IFD) if found.get_ifd(ifd)}
            dpi = picture.info.get("dpi")
            return Kept(
                depth=8 * pixels.dtype.itemsize,
                colour=pixels.ndim == 3 and pixels.shape[-1] > 2,
                icc=picture.info.get("icc_profile"),
                tags=tags,
                dpi=(float(dpi[0]), float(dpi[1])) if dpi and min(dpi) > 0 else None,
                alpha=_alpha(pixels),
            )
    except (OSError, ValueError, SyntaxError):
        return Kept()


def _alpha(pixels: Pixels) -> Tensor | None:
    if pixels.ndim != 3 or pixels.shape[-1] not in (2, 4):
        return None
    return torch.from_numpy(pixels[..., -1].astype(np.float32)) / float(np.iinfo(pixels.dtype).max)
