"""Pixels as the bytes of a picture file, 8 or 16 bits, with what else such a file says."""

import struct
import zlib
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from ..errors import DataError
from .suffixes import PICTURES, TIFF

Pixels = np.ndarray  # (h, w[, 2 | 3 | 4]) of uint8 or uint16; the last of 2 or 4 is alpha
DEEP = (".png", *TIFF)  # what can be written with 16 bits
OPTIONS: dict[str, Any] = {".webp": {"lossless": True}, ".jpg": {"quality": 95}, ".jpeg": {"quality": 95}}
METRE = 39.3701  # inches in a metre


@dataclass(frozen=True)
class Extras:
    """What a picture file says beside its pixels."""

    icc: bytes | None = None
    exif: Image.Exif = field(default_factory=Image.Exif)
    dpi: tuple[float, float] | None = None


NONE = Extras()


def encoded(path: str | Path, pixels: Pixels, extras: Extras = NONE) -> bytes:
    """The content of a picture file in the format of the suffix of `path`.

    Formats that cannot hold what is in `extras` leave it out. Raises DataError for other suffixes, and for 16 bits
    where a format has 8.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in PICTURES:
        raise DataError(f"{path}: a picture is written as {', '.join(PICTURES)}")
    if pixels.dtype == np.uint16:
        if suffix not in DEEP:
            raise DataError(f"{path}: such a file has 8 bits; 16 bits are written as {', '.join(DEEP)}")
        return _tiff16(pixels, extras) if suffix in TIFF else _png16(pixels, extras)
    content = BytesIO()  # Pillow does not notice if the disk is full while it writes a JPEG into a file
    options = dict(OPTIONS.get(suffix, {}))
    if extras.icc:
        options["icc_profile"] = extras.icc
    if len(extras.exif):
        options["exif"] = extras.exif.tobytes()
    if extras.dpi:
        options["dpi"] = extras.dpi
    Image.fromarray(pixels).save(content, Image.registered_extensions()[suffix], **options)
    return content.getvalue()


def _png16(pixels: Pixels, extras: Extras) -> bytes:
    """A 16-bit PNG of any number of channels, which Pillow writes for grey only."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    h, w = pixels.shape[:2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[pixels.shape[2] if pixels.ndim == 3 else 1]
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 16, kind, 0, 0, 0))
    if extras.icc:
        out += chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(extras.icc))
    if extras.dpi:
        out += chunk(b"pHYs", struct.pack(">IIB", *(round(d * METRE) for d in extras.dpi), 1))
    if len(extras.exif):
        out += chunk(b"eXIf", extras.exif.tobytes().removeprefix(b"Exif\0\0"))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)  # \0: the filter type "none"
    return out + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _tiff16(pixels: Pixels, extras: Extras) -> bytes:
    """A 16-bit TIFF of any number of channels in one deflated strip, which Pillow writes for grey only."""
    h, w = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    strip = zlib.compress(pixels.astype("<u2").tobytes())
    ifd: Any = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    for tag, value in extras.exif.items():
        ifd[tag] = value
    ifd[256], ifd[257], ifd[258], ifd[277] = w, h, (16,) * channels, channels  # width, height, bits, samples
    ifd[259], ifd[262], ifd[284] = 8, 2 if channels > 2 else 1, 1  # deflate; RGB or grey; samples beside each other
    ifd[273], ifd[278], ifd[279] = 0, h, len(strip)  # where the strip begins is set when the directory is written
    if channels in (2, 4):
        ifd[338] = 2  # alpha, colours not multiplied by it
    if extras.icc:
        ifd[34675] = extras.icc
    if extras.dpi:
        ifd[282], ifd[283], ifd[296] = *extras.dpi, 2
    content = BytesIO()
    ifd.save(content)
    content.write(strip)
    return content.getvalue()
