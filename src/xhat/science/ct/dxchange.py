"""HDF5 files of synchrotrons in the layout of Data Exchange (De Carlo et al., J. Synchrotron Rad. 21, 2014)."""

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError, Declined
from ...files.extras import pick
from ...files.hdf5 import opened
from ...files.measurement import Measurement
from ...files.room import LARGEST, fits
from .recorded import from_counts, measured, plain

say = logging.getLogger("xhat").warning
UNITS = {"mm": 1.0, "um": 1e-3, "µm": 1e-3, "micron": 1e-3, "microns": 1e-3, "m": 1e3, "nm": 1e-6, "cm": 10.0}
PIXELS = ("measurement/instrument/detector/pixel_size_{}", "measurement/instrument/detector/{}_actual_pixel_size")


def read(path: Path, item: int | None) -> Measurement:
    """The slice `item` of `exchange/data` (angles, slices, cells), with `data_white`, `data_dark` and `theta`, which is
    in degrees unless its attribute says radians.

    Without a white field the data are line integrals. The beam is parallel. Raises DataError for what is wrong with
    such a file, in one line, and declines any other file.
    """
    with opened(path) as file:
        if not isinstance(file.get("exchange"), Mapping):
            raise Declined(f"{path}: is not Data Exchange's of tomography (no 'exchange')")
        return scanned(file, path, item)


def scanned(file: Any, path: Path, item: int | None) -> Measurement:
    """The slice `item` of an open file."""
    group = file["exchange"]
    if "data" not in group:
        raise DataError(f"{path}: exchange holds no 'data', only {', '.join(group) or 'nothing'}")
    data = stack(group, "data", path)
    order = str(attribute(data, "axes", ""))
    if data.ndim == 3 and order and not order.startswith("theta"):
        raise DataError(f"{path}: exchange/data has the axes {order}; theta:y:x is read")
    which = pick(data.shape[1], item, path, "slice") if data.ndim == 3 else None
    if data.ndim == 2 and item:
        raise DataError(f"{path}: is one slice, it has no slice {item}")
    counts = one(data, which, path)
    theta = angles(group, len(counts), path)
    fields = [one(stack(group, n, path), which, path) if n in group else None for n in ("data_white", "data_dark")]
    options: dict[str, Any] = {}
    pixel = pixel_size(file, path)
    options = {"pixel": pixel or 1, "pitch": pixel or 1}
    flat, dark = (None if f is None else np.atleast_2d(f) for f in fields)
    if flat is None:
        found = measured(plain(counts, path), options, theta, None, path)
    else:
        found = from_counts(counts, flat, dark, options, theta, path)
    if pixel is None:
        say("xhat: %s: does not say how far apart its cells are: lengths are in cells and attenuations per cell, "
            "where mm is written", path)  # fmt: skip
        return found
    return replace(found, affine=placed(pixel, pixel_size(file, path, "y") or pixel, which or 0, counts.shape[-1]))


def count(path: Path) -> int:
    """The number of slices of `exchange/data`, as `read` numbers them. Raises DataError like `read`, and declines any
    other file.
    """
    with opened(path) as file:
        if not isinstance(file.get("exchange"), Mapping) or "data" not in file["exchange"]:
            raise Declined(f"{path}: is not Data Exchange's of tomography (no 'exchange/data')")
        data = stack(file["exchange"], "data", path)
        return int(data.shape[1]) if data.ndim == 3 else 1


def placed(pixel: float, apart: float, which: int, n: int) -> np.ndarray:
    """The affine (4, 4) in mm of the slice `which` of n x n pixels of `pixel` mm about the axis of rotation, slices
    `apart`, in the order of the file.
    """
    affine = np.diag([pixel, -pixel, apart, 1.0])
    affine[:3, 3] = -pixel * (n - 1) / 2, pixel * (n - 1) / 2, which * apart
    return affine


def stack(group: Any, name: str, path: Path) -> Any:
    """A data set of two or three axes. Raises DataError if it is none."""
    data = group[name]
    if not hasattr(data, "ndim") or data.ndim not in (2, 3) or data.dtype.kind not in "fiu":
        what = f"{data.dtype} of shape {data.shape}" if hasattr(data, "ndim") else "a group"
        raise DataError(f"{path}: exchange/{name} is {what}, not real numbers (angles, slices, cells)")
    return data


def one(data: Any, which: int | None, path: Path) -> np.ndarray:
    """The slice `which` of a data set, (frames, cells), in double precision."""
    fits(8 * data.shape[0] * data.shape[-1], path, LARGEST)
    if data.ndim == 3 and which is not None and which >= data.shape[1]:
        raise DataError(f"{path}: {data.name} has {data.shape[1]} slices, fewer than exchange/data")
    return np.asarray(data[:, which] if data.ndim == 3 else data[()], dtype=np.float64)


def angles(group: Any, count: int, path: Path) -> np.ndarray:
    """`theta` in degrees. Raises DataError if it is missing, or does not have one number for each view."""
    if "theta" not in group:
        raise DataError(f"{path}: exchange holds no 'theta', the angles of its {count} views")
    theta = np.asarray(group["theta"][()], dtype=np.float64).reshape(-1)
    if len(theta) != count:
        raise DataError(f"{path}: {len(theta)} angles for {count} views")
    unit = str(attribute(group["theta"], "units", "deg")).lower()
    return np.degrees(theta) if unit.startswith("rad") else theta


def pixel_size(file: Any, path: Path, axis: str = "x") -> float | None:
    """The pitch of the detector along `axis` in mm, None if the file does not tell it."""
    name = next((n for n in (p.format(axis) for p in PIXELS) if n in file), None)
    if name is None:
        return None
    size = float(np.asarray(file[name][()]).reshape(-1)[0])
    unit = str(attribute(file[name], "units", "um")).lower()
    if unit not in UNITS or not (math.isfinite(size) and size > 0):
        raise DataError(f"{path}: {name} is {size} {unit}, which is no size of a pixel")
    return float(f"{size * UNITS[unit]:.6g}")


def attribute(data: Any, name: str, otherwise: str) -> str:
    """An attribute as text."""
    value = data.attrs.get(name, otherwise)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
