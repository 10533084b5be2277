"""FITS images: numbers, their unit, and the place on the sky, which the restored image keeps."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ...errors import DataError, Declined
from ...files.extras import extra, pick, reason
from ...files.measurement import Measurement
from ...files.room import LARGEST, fits, regular
from ...files.writing import atomic
from .scaled import Scaled, plane, scaled


def read(path: Path, item: int | None) -> Measurement:
    """An image (1, h, w) of a FITS file, its first row below as FITS has it; of several `image.fits#1` is the second.

    The numbers are those after BZERO and BSCALE. Raises DataError for what is no plane of real numbers and for blank
    pixels, and declines what is no image, such as random groups and tables alone.
    """
    regular(path)
    library = extra("astropy.io.fits", str(path))
    name = str(path) if item is None else f"{path}#{item}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about headers that break a rule and are understood
        try:
            # opened here, because astropy leaves a file open whose header it refuses
            with path.open("rb") as raw, library.open(raw, memmap=False) as file:
                images = [part for part in file if part.is_image and len(part.shape) > 1 and 0 not in part.shape]
                if not images:
                    raise Declined(f"{path}: holds no image")
                part = images[pick(len(images), item, path, "image")]
                fits(4 * int(np.prod(part.shape, dtype=np.int64)), path, LARGEST)
                values = np.asarray(part.data)
                header = part.header.copy(strip=True)
        except DataError:
            raise
        except Exception as e:  # astropy's own errors, and numpy's if the bytes do not match the header
            raise DataError(f"{path}: cannot be read as FITS ({reason(e)})") from e
    while values.ndim > 2 and len(values) == 1:
        values = values[0]
    scale = scaled(values, name, upward=True)
    return plane(values, scale, name, Sky(header, scale, (values.shape[0], values.shape[1])))


@dataclass(frozen=True, eq=False)
class Sky:
    """The header of an image of `shape` (h, w), without the cards that say how it was stored."""

    header: Any
    scale: Scaled
    shape: tuple[int, int]

    def files(self, stem: str, x: Tensor) -> Mapping[str, Callable[[Path], object]]:
        """The FITS image of `x` (1, h, w), which lies where the one read lay, with pixels that are smaller if it has
        more.
        """
        return {f"{stem}.fits": partial(self.write, x=x)}

    def write(self, path: Path, x: Tensor) -> None:
        """Writes the image `x` (1, h, w) to `path`, with the header."""
        library = extra("astropy.io.fits", path.name)
        header = self.header.copy()
        for axis, (old, new) in enumerate(zip(self.shape[::-1], x.shape[:0:-1], strict=True), 1):
            if (factor := new / old) != 1:
                resize(header, axis, factor)
        header["HISTORY"] = "restored by xhat; see record.json"
        image = library.PrimaryHDU(self.scale.outside(x), header)
        atomic(path, lambda file: image.writeto(file, overwrite=True, output_verify="silentfix"))


def resize(header: Any, axis: int, factor: float) -> None:
    """Makes the pixels of a header `factor` times narrower along `axis` (1 or 2); the edges of the image stay."""
    if f"CRPIX{axis}" in header:
        header[f"CRPIX{axis}"] = (header[f"CRPIX{axis}"] - 0.5) * factor + 0.5
    for key in (f"CDELT{axis}", *(f"CD{row}_{axis}" for row in (1, 2))):
        if key in header:
            header[key] = header[key] / factor
