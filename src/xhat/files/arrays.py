"""Arrays of floats that may be pictures: where their channels are, and what black and white are in them."""

from typing import Any

import numpy as np
from torch import Tensor

from ..checks import shown
from ..errors import DataError, SpecError

Range = tuple[float | int, float | int]
# Where the darkest hundredth of a noisy picture in [0, 1] may lie, as a part of the lightest; in [−1, 1] black is −1.
DARK = -0.15


def upright(x: Any) -> Any:
    """An array (h, w) or (h, w, 1 | 3) as (c, h, w); others are returned as they are."""
    if x.ndim == 2:
        return x[None]
    if x.ndim == 3 and x.shape[-1] in (1, 3) and x.shape[0] not in (1, 3):
        return x.permute(2, 0, 1) if isinstance(x, Tensor) else x.transpose(2, 0, 1)
    return x


def black_white(values: Range | Any) -> tuple[float, float]:
    """What black and white are. Raises SpecError for what is not two numbers with white above black."""
    try:
        black, white = (0.0, 0.0) if isinstance(values, str) else (float(v) for v in values)
    except (TypeError, ValueError):
        black = white = 0.0
    if not white > black:
        raise SpecError(f"value_range is (black, white) with white above black, not {shown(values)}")
    return black, white


def scaled(x: Tensor, values: Range | Any) -> Tensor:
    """A picture whose black and white are `values`, in [−1, 1]. Raises SpecError like `black_white`."""
    black, white = black_white(values)
    return (x - black) * (2 / (white - black)) - 1


def positive(x: Tensor) -> bool:
    """Whether a picture has hardly any number below 0, which is grey in [−1, 1]; a constant one tells nothing."""
    dark, light = (float(v) for v in np.quantile(x.numpy(), (0.01, 0.99)))
    return dark < light and dark > DARK * light


def which_range(x: Tensor, origin: str) -> DataError:
    """The question what black and white are in the picture `x`, as an error that the caller raises."""
    low, high = float(x.min()), float(x.max())
    white = 1 if high < 2 else 255
    return DataError(
        f"{origin}: its numbers go from {low:.3g} to {high:.3g}. Say what black and white are: "
        f"value_range=(0, {white}), or value_range=(-1, 1) if it is as bright as that in xhat's own units; "
        f"on the command line it is --value-range 0,{white}"
    )
