"""BART's pair of files: a .hdr with the dimensions as text, a .cfl of complex64 in which the first axis varies
fastest.
"""

import math
from pathlib import Path

import numpy as np
import torch

from ...errors import DataError, Declined
from ...files.measurement import Measurement
from ...files.room import LARGEST, fits, regular, text_of
from .recorded import measurement

AXES = 16  # of BART
COILS = 3  # BART's axes: readout, phase 1, phase 2, coils, maps, …


def read(path: Path, item: int | None) -> Measurement:
    """Two-dimensional k-space of one or more coils; a frequency that is zero in all coils was not measured.

    Raises DataError if the pair cannot be read, is not a plane, or `item` is not None.
    """
    numbers = array(path)
    if item is not None:
        raise DataError(f"{path}: is one array, it has no items")
    k = coils_first(numbers, path)
    return measurement(torch.from_numpy(k), path)


def array(path: Path) -> np.ndarray:
    """The numbers of NAME.cfl in the shape that NAME.hdr gives; `path` may be either. Raises DataError if they do not
    match; any other .hdr file is declined.
    """
    head, data = path.with_suffix(".hdr"), path.with_suffix(".cfl")
    try:
        lines = text_of(head, "ascii").splitlines()
        size = data.stat().st_size
    except (OSError, UnicodeDecodeError) as e:
        raise Declined(f"{path}: BART's {head.name} and {data.name} cannot be read together ({e})") from e
    try:
        text = lines[next(i for i, line in enumerate(lines) if line.strip() == "# Dimensions") + 1]
        shape = tuple(int(n) for n in text.split())
    except (StopIteration, IndexError, ValueError) as e:
        raise Declined(f"{head}: is not a header of BART, which has a line '# Dimensions' and numbers below") from e
    if len(shape) > AXES or not shape or min(shape) < 1:
        raise DataError(f"{head}: its dimensions are up to {AXES} positive whole numbers, not {len(shape)} of them")
    if 8 * math.prod(shape) != size:
        raise DataError(f"{data}: has {size} bytes, not the {8 * math.prod(shape)} of shape {shape}: truncated?")
    fits(size, data, LARGEST)
    regular(data)
    return np.fromfile(data, dtype="<c8").reshape(shape, order="F")


def coils_first(k: np.ndarray, path: Path) -> np.ndarray:
    """BART's (readout, phase 1, phase 2, coils, 1, …) as (coils, h, w): the two axes longer than 1, in their order.

    Raises DataError if there are more or fewer.
    """
    k = k.reshape(*k.shape, *[1] * max(0, COILS + 1 - k.ndim))
    if max(k.shape[COILS + 1 :], default=1) > 1:
        raise DataError(f"{path}: has shape {k.shape}; take one slice and one set of maps first (bart slice)")
    planes = [n for n in k.shape[:COILS] if n > 1]
    if len(planes) != 2:
        raise DataError(f"{path}: has shape {k.shape}: not a plane, of which two of the first three axes exceed 1")
    return np.ascontiguousarray(np.moveaxis(k.reshape(*planes, k.shape[COILS]), -1, 0))
