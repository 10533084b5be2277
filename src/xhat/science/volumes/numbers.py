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


def turned(levels: tuple[float, float], head: Any) -> tuple[float, float]:
    """The numbers of black and white: the other way round where a file says that low numbers are bright."""
    return levels[::-1] if head.get("PhotometricInterpretation") == "MONOCHROME1" else levels
