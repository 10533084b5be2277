"""Arrays of MATLAB as measurements, by the names that an .npz has for them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import DataError
from ...files.matlab import arrays_of
from ...files.measurement import KNOWN, Measurement
from ...files.numbers import listed
from ...files.pictures import from_pixels
from ...files.room import LARGEST, regular
from . import matlab73
from .matlab73 import is_hdf5


def read(path: Path, item: int | None) -> Measurement:
    """The array `y` of a .mat file, or its only one with two axes or more; what else it holds are options of the
    operator by name. Text, structures, cells and sparse arrays are left out.

    uint8 and uint16 are pixels with channels last, as in MATLAB; other numbers, complex ones too, are data in the units
    of y, with axes as they are in MATLAB. `image_shape` is a row. A row or column of options has one axis, and a single
    number none. Raises DataError if no array is the measurement.
    """
    if item is not None:
        raise DataError(f"{path}: holds named arrays, no items")
    regular(path)
    if is_hdf5(path):
        fields, left = matlab73.arrays_of(path, LARGEST)
    else:
        fields, left = arrays_of(path, LARGEST, imaginary=True), {}
    large = [name for name, v in fields.items() if min(v.shape[:2]) > 1]
    name = "y" if "y" in fields else large[0] if len(large) == 1 else None
    if name is None:
        more = f", and {listed({f'{k} ({v})': v for k, v in left.items()})}, which are left out" if left else ""
        raise DataError(f"{path}: has no array y, only {listed(fields)}{more}; call the measurement y")
    y, origin = fields[name], str(path)
    if y.dtype in (np.uint8, np.uint16):
        return Measurement(from_pixels(y, path), origin=origin, pixels=True)
    kind = np.complex64 if y.dtype.kind == "c" else np.float32
    found = Measurement(torch.from_numpy(np.ascontiguousarray(y).astype(kind)), origin=origin)
    shape = fields.get("image_shape")
    if shape is not None:
        found = replace(found, image_shape=tuple(int(n) for n in shape.reshape(-1)))
    return replace(found, physics={k: option(v) for k, v in fields.items() if k not in (*KNOWN, name)})


def option(v: np.ndarray) -> Any:
    """An array of MATLAB, which has two axes at least, as an option."""
    if v.size == 1:
        return v.reshape(-1)[0].item()
    return torch.from_numpy(np.ascontiguousarray(v.reshape(-1) if v.ndim == 2 and 1 in v.shape else v))
