"""FITS images: numbers, their unit, and the place on the sky, which the restored image keeps."""

import warnings
from collections.abc import Callable, Mapping, Sequence
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
from ...notes import note
from .scaled import Scaled, plane, scaled


def read(path: Path, item: int | None) -> Measurement:
    """An image (1, h, w) of a FITS file, its first row below as FITS has it; of several `image.fits#1` is the second.

    Each plane of a cube counts as an image, those of the last axis of FITS's order slowest; which one is taken is said.
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
                planes = [(part, place) for part in images for place in np.ndindex(*part.shape[:-2])]
                which = pick(len(planes), item, path, "image" if len(planes) == len(images) else "plane")
                part, place = planes[which]
                fits(8 * int(np.prod(part.shape[-2:], dtype=np.int64)), path, LARGEST)
                values = np.asarray(part.section[place] if any(n > 1 for n in part.shape[:-2]) else part.data)
                header, extra_axes = part.header.copy(strip=True), len(part.shape) - 2
                if any(n > 1 for n in part.shape[:-2]):
                    note("%s: plane %d of %d is taken, %s", path, which, len(planes), at_plane(header, place))
        except DataError:
            raise
        except Exception as e:  # astropy's own errors, and numpy's if the bytes do not match the header
            raise DataError(f"{path}: cannot be read as FITS ({reason(e)})") from e
    values = values.reshape(*values.shape[-2:])
    scale = scaled(values, name, upward=True)
    return plane(values, scale, name, Sky(header, scale, (values.shape[0], values.shape[1]), extra_axes))


@dataclass(frozen=True, eq=False)
class Sky:
    """The header of an image of `shape` (h, w), without the cards that say how it was stored. The image had `deep` axes
    more, of frequency or polarisation, which go out with a length of 1.
    """

    header: Any
    scale: Scaled
    shape: tuple[int, int]
    deep: int = 0

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
        values = self.scale.outside(x)
        image = library.PrimaryHDU(values.reshape(*[1] * self.deep, *values.shape), header)
        atomic(path, lambda file: image.writeto(file, overwrite=True, output_verify="silentfix"))


def at_plane(header: Any, place: Sequence[int]) -> str:
    """Where the plane `place` of a cube lies, as text; the header becomes that of this plane alone.

    `place` counts the axes of FITS from the last one to the third. The coordinate of an axis is CRVAL + (p − CRPIX)
    CDELT for the pixel p, counted from 1, unless the name of its type has an algorithm behind a dash.
    """
    told = []
    for axis, i in enumerate(reversed(place), 3):
        kind = str(header.get(f"CTYPE{axis}", f"axis {axis}")).strip()
        step = header.get(f"CDELT{axis}", header.get(f"CD{axis}_{axis}", 1.0))
        value = header.get(f"CRVAL{axis}", 0.0) + (i + 1 - header.get(f"CRPIX{axis}", 0.0)) * step
        linear = f"CRVAL{axis}" in header and "-" not in kind
        told.append(f"{kind} {value:.6g} {header.get(f'CUNIT{axis}', '')}".strip() if linear else f"{kind} number {i}")
        if linear:
            header[f"CRVAL{axis}"], header[f"CRPIX{axis}"] = value, 1.0
        elif f"CRPIX{axis}" in header:
            header[f"CRPIX{axis}"] -= i
    return ", ".join(told)


def resize(header: Any, axis: int, factor: float) -> None:
    """Makes the pixels of a header `factor` times narrower along `axis` (1 or 2); the edges of the image stay."""
    if f"CRPIX{axis}" in header:
        header[f"CRPIX{axis}"] = (header[f"CRPIX{axis}"] - 0.5) * factor + 0.5
    for key in (f"CDELT{axis}", *(f"CD{row}_{axis}" for row in (1, 2))):
        if key in header:
            header[key] = header[key] / factor
