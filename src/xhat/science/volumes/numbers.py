"""Numbers in the heads of DICOM files."""

from typing import Any

import numpy as np

from ...errors import DataError

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM counts to the left and to the back, NIfTI to the right and to the front


def number(value: Any, default: float = 0.0) -> float:
    """A number of a file; `default` where it holds none."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return default
    return found if np.isfinite(found) else default


def numbers(value: Any, count: int) -> list[float]:
    """`count` numbers of a file. Raises DataError for anything else."""
    try:
        found = [float(v) for v in value]
    except (TypeError, ValueError):
        found = []
    if len(found) != count or not np.isfinite(found).all():
        raise DataError(f"a DICOM file says {str(value)[:60]!r} where {count} numbers are due")
    return found


def affine_of(cosines: Any, place: Any, spacing: tuple[float, float], thickness: Any) -> np.ndarray:
    """The affine (4, 4) to millimetres, as NIfTI has it, of a slice with a pixel `spacing` (down, across).

    `cosines` are the six of its rows and columns and `place` the three of its first pixel, as the file says them.
    """
    row, column = np.array(numbers(cosines, 6)).reshape(2, 3)
    down, across = spacing
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 3] = row * across, column * down, numbers(place, 3)
    affine[:3, 2] = np.cross(row, column) * number(thickness, 1.0)
    out: np.ndarray = LPS @ affine
    return out


def turned(levels: tuple[float, float], head: Any) -> tuple[float, float]:
    """The numbers of black and white: the other way round where a file says that low numbers are bright."""
    return levels[::-1] if head.get("PhotometricInterpretation") == "MONOCHROME1" else levels
