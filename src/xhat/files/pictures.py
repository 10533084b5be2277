"""Image files ⇄ float32 tensors (c, h, w) in [−1, 1], one channel or three: the pixel range is defined here alone."""

import struct
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from torch import Tensor

from ..checks import instance, shown
from ..checks import path as checked_path
from ..errors import DataError, SpecError
from .encode import Pixels, encoded
from .recognised import SEEN, recognised
from .room import regular
from .suffixes import PICTURES as PICTURES
from .writing import atomic

LEVELS = 127.5  # grey levels of 8 bits in one unit of an image in [−1, 1]
ASKED = "PNG, TIFF or JPEG"  # what people are asked for
ARRAYS = (".npy", ".npz", ".pt")
# Formats of Pillow that are programs or are drawn by other programs: EPS is PostScript, which it has Ghostscript run.
PROGRAMS = ("EPS", "WMF", "PDF", "MPEG", "HDF5", "GRIB", "BUFR", "FPX", "MIC")
OTHER_BYTE = {"B": "L", "L": "B", "N": "B"}  # Pillow drops one byte of each sample; in this byte order, the other one


def opened(file: str | Path | BytesIO) -> ImageFile:
    """The picture in `file`, its pixels not read yet. A format that is a program is no picture.

    Raises what Pillow raises, UnidentifiedImageError (an OSError) if it is none.
    """
    Image.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # phones have so many pixels; twice is an error
        return Image.open(file, formats=[name for name in Image.OPEN if name not in PROGRAMS])


def layers(path: str | Path) -> tuple[Tensor, Tensor | None]:
    """A picture as (c, h, w) in [−1, 1], upright, and how opaque it is, (h, w) from 0 to 1; None if it is all opaque.

    Raises DataError like `load_image`, but not for transparent pixels.
    """
    return apart(_opened(path), path)


def apart(pixels: Pixels, origin: object = "the array") -> tuple[Tensor, Tensor | None]:
    """Pixels as `from_pixels` takes them, as colours (c, h, w) in [−1, 1] and how opaque they are, as in `layers`."""
    if pixels.ndim != 3 or pixels.shape[-1] not in (2, 4):
        return from_pixels(pixels, origin), None
    alpha = torch.from_numpy(pixels[..., -1].astype(np.float32)) / float(np.iinfo(pixels.dtype).max)
    return from_pixels(pixels[..., :-1], origin), None if bool((alpha == 1).all()) else alpha


def load_image(path: str | Path, content: BytesIO | None = None) -> Tensor:
    """A PNG, JPEG, WebP, TIFF … of 8 or 16 bits as (c, h, w) in [−1, 1], upright; palettes become RGB.

    Example:

        x = xhat.load_image("photo.jpg")  # (3, height, width), or (1, height, width) if it is grey

    `content` holds the bytes of a file that is not in a folder, for example in an archive; `path` then only names it.
    Raises DataError for a file that is unreadable, has transparent pixels or is neither grey nor colour.
    """
    return from_pixels(_opened(checked_path(path), content), path)


def _opened(path: str | Path, content: BytesIO | None = None) -> Pixels:
    if content is None:
        regular(Path(path))
    try:
        with opened(content or path) as picture:
            if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":  # MPO: a phone's JPEG with a preview
                raise DataError(f"{path}: holds several images; save the one you mean as a file of its own")
            return raw_pixels(picture, path, content)
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as e:
        what = _unknown(path, content) if isinstance(e, UnidentifiedImageError) else ""
        raise DataError(f"{path}: cannot be read as an image ({what or str(e).splitlines()[0]})") from e


def _unknown(path: str | Path, content: BytesIO | None) -> str:
    """What a file is that Pillow does not know, and what to do about it; empty if nobody knows."""
    if content is None:
        with Path(path).open("rb") as file:
            head = file.read(SEEN)
    else:
        head = content.getvalue()[:SEEN]
    what = recognised(head)
    return what and f"it is {what}; save the picture as {ASKED}"


def raw_pixels(picture: ImageFile, path: str | Path, content: BytesIO | None = None) -> Pixels:
    """The upright pixels of an opened file, all 16 bits of them where it has so many.

    Of 16-bit colour Pillow keeps one byte a sample: decode twice and keep the other one, too.
    """
    if not any(";16" in _raw_mode(tile.args) for tile in picture.tile) or picture.mode.startswith("I;16"):
        return pixels_of(picture, path)
    with opened(BytesIO(content.getvalue()) if content else path) as other:
        try:
            for i, tile in enumerate(other.tile):
                mode = _raw_mode(tile.args)
                swapped = mode[:-1] + OTHER_BYTE[mode[-1]]
                rest = tile.args[1:] if isinstance(tile.args, tuple) else None
                other.tile[i] = tile._replace(args=(swapped, *rest) if rest else swapped)
            low: Pixels = pixels_of(other, path)
        except (KeyError, ValueError) as e:
            raise DataError(f"{path}: 16-bit {picture.mode} cannot be read; save it as RGB, grey or .npy") from e
    whole: Pixels = pixels_of(picture, path).astype(np.uint16) * 256 + low
    return whole


def _raw_mode(args: Any) -> str:
    return str(args[0] if isinstance(args, tuple) else args)


def pixels_of(picture: Image.Image, origin: object = "the image") -> Pixels:
    """The upright pixels (h, w[, c]) of a PIL image as uint8 or, if it is grey with 16 bits, uint16.

    `origin` is named in errors. Raises DataError for 32-bit pixels.
    """
    if picture.mode in ("I", "F"):
        raise DataError(f"{origin}: 32-bit pixels have no agreed range; save them as .npy in [-1, 1]")
    if picture.has_transparency_data and picture.mode not in ("LA", "RGBA"):
        picture = picture.convert("LA" if picture.mode in ("1", "L") else "RGBA")
    elif picture.mode not in ("L", "LA", "RGB", "RGBA") and not picture.mode.startswith("I;16"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    return np.asarray(ImageOps.exif_transpose(picture))


def from_pixels(pixels: Pixels, origin: object = "the array") -> Tensor:
    """uint8 or uint16 pixels (h, w) or (h, w, 1 | 2 | 3 | 4) as (c, h, w) in [−1, 1].

    The last of 2 or 4 channels is alpha, which must be opaque and is dropped. `origin` is named in errors. Raises
    DataError for other shapes and for transparent pixels.
    """
    white = float(np.iinfo(pixels.dtype).max)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 2, 3, 4) or 0 in pixels.shape:
        raise DataError(f"{origin}: pixels of shape {pixels.shape} are not an image (h, w), (h, w, 1) or (h, w, 3)")
    if pixels.shape[-1] in (2, 4):
        if (pixels[..., -1] < white).any():
            raise DataError(f"{origin}: has transparent pixels; flatten it onto a background first")
        pixels = pixels[..., :-1]
    x = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32))
    return x / (white / 2) - 1


def to_pixels(x: Tensor, depth: int = 8) -> Pixels:
    """`x` (c, h, w) in [−1, 1] as (h, w[, 3]) pixels of 8 or 16 bits, clipped and rounded.

    Raises DataError if `x` is not a grey or a colour image.
    """
    instance("an image", x, Tensor, "a tensor (c, h, w)")
    if depth not in (8, 16):
        raise SpecError(f"depth must be 8 or 16, not {shown(depth)}")
    if not is_picture(x.shape) or x.is_complex() or x.numel() == 0:
        raise DataError(f"data of shape {tuple(x.shape)} is not a picture (1 or 3, h, w); save it as .npz")
    if not torch.isfinite(x).all():
        raise DataError("an image with values that are NaN or infinite is no picture")
    white = 2**depth - 1
    pixels = ((x.detach().cpu().double().clamp(-1, 1) + 1) * (white / 2)).round()
    out: Pixels = pixels.permute(1, 2, 0).squeeze(-1).numpy().astype(np.uint8 if depth == 8 else np.uint16)
    return out


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether `shape` is that of a grey or a colour picture, (1 or 3, h, w)."""
    return len(shape) == 3 and shape[0] in (1, 3)


def normalised(x: Tensor) -> Tensor:
    """`x`, of any shape, stretched so that its 1 % and 99 % quantiles become −1 and 1; what lies beyond is clipped."""
    lo, hi = (float(np.quantile(x.numpy(), q)) for q in (0.01, 0.99))
    return ((x - lo) / max(hi - lo, 1e-12) * 2 - 1).clamp(-1, 1)


def save_image(path: str | Path | Any, x: Tensor | Any, depth: int = 8) -> None:
    """Writes `x` (c, h, w) in [−1, 1] as a picture in the format of the suffix of `path`; `depth` 16 is for PNG and
    TIFF.

    Example:

        xhat.save_image("better.png", r.first, depth=16)

    The file is written completely or not at all, as by every writer here. Raises DataError if the path does not come
    first, or if pictures of that kind cannot hold `x`.
    """
    if not isinstance(path, str | Path):
        raise DataError(f"save_image takes the path first, then the image, not {type(path).__name__} first")
    path = checked_path(path)
    content = encoded(path, to_pixels(x, depth))
    atomic(path, lambda file: file.write_bytes(content))


def save_array(path: str | Path, x: Tensor | np.ndarray) -> None:
    """Writes an array as .npy, all or nothing."""
    atomic(path, lambda file: np.save(file, x.numpy() if isinstance(x, Tensor) else x))


def centre_crop(x: Tensor, h: int, w: int) -> Tensor:
    """The middle h × w pixels of `x` (c, H, W)."""
    top, left = (x.shape[-2] - h) // 2, (x.shape[-1] - w) // 2
    return x[..., top : top + h, left : left + w]


def resize(x: Tensor, h: int, w: int) -> Tensor:
    """`x` (c, H, W) resized to (c, h, w) with Pillow's antialiased Lanczos filter in floating point, clipped to [−1,
    1].
    """
    planes = [Image.fromarray(plane.numpy()).resize((w, h), Image.Resampling.LANCZOS) for plane in x]
    return torch.from_numpy(np.stack([np.asarray(p) for p in planes])).clamp(-1, 1)
