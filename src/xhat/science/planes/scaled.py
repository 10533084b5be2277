"""A plane of numbers in the units of its file as a picture in [−1, 1], and back."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError
from ...files.measurement import Measurement, Native
from ...files.volume import levels


@dataclass(frozen=True)
class Scaled:
    """−1 and 1 inside xhat stand for the numbers `black` and `white` of a file, whose first row is the lowest of the
    picture if it is `upward`.
    """

    black: float
    white: float
    upward: bool = False

    def inside(self, values: np.ndarray) -> Tensor:
        """Numbers (h, w) as a picture (1, h, w)."""
        x = (values.astype(np.float32) - self.black) * (2 / (self.white - self.black)) - 1
        return torch.from_numpy((x[::-1] if self.upward else x).copy())[None]

    def outside(self, x: Tensor) -> np.ndarray:
        """A picture (1, h, w) in the numbers and the order of the file, float32."""
        values = (x[0].detach().cpu().double().numpy() + 1) / 2 * (self.white - self.black) + self.black
        return np.ascontiguousarray(values[::-1] if self.upward else values).astype(np.float32)


def scaled(values: np.ndarray, origin: str, upward: bool = False) -> Scaled:
    """Black is 0, or near the lowest number if there are negative ones, and white near the highest (`files.levels`).

    Raises DataError for numbers that are no plane, are complex, or are NaN or infinite in places.
    """
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "biuf":
        raise DataError(f"{origin}: holds {values.dtype} numbers of shape {values.shape}, no plane of real ones")
    if lost := int((~np.isfinite(values)).sum()):
        raise DataError(f"{origin}: {lost} of its {values.size} pixels are blank (NaN) or infinite: fill or crop them")
    return Scaled(*levels(values), upward)


def plane(values: np.ndarray, scale: Scaled, origin: str, native: Native) -> Measurement:
    """The numbers (h, w) as a measurement that goes out in the format in which it came in."""
    return Measurement(scale.inside(values), origin=origin, native=native)
