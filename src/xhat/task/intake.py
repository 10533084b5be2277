"""What people have in memory as a measurement: arrays with channels last, pictures in [0, 1] or [0, 255]."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import XhatError
from ..files.arrays import Range, positive, scaled, upright, which_range
from ..files.measurement import Measurement, Source
from ..files.pictures import is_picture
from ..files.readers.load import load
from ..operators import OPERATORS
from ..operators.base import Operator
from ..spec import factors, parse
from .parts import NoiseLike, Shape, as_operator, number

Given = str | Operator | Callable[[Tensor], Tensor] | None


def taken(y: Source, given: Given, shape: Shape | None, values: Range | None) -> tuple[Measurement, bool]:
    """`y` as a measurement, and whether `values`, the numbers of black and white, were used for it.

    A picture of an array may have its channels last or no axis of them. Raises DataError for floats that may be a
    picture in [0, 1] or [0, 255] if `values` are not given, and like `load`.
    """
    if not isinstance(y, np.ndarray | Tensor):
        return load(y), False
    pixels = y.dtype in (np.uint8, np.uint16, torch.uint8, torch.uint16)
    if pixels and isinstance(y, Tensor) and not is_picture(tuple(y.shape)):
        y = y.cpu().numpy()  # the reader of arrays knows pixels with channels last
    found = load(y)
    if pixels or found.y.is_complex() or not _pictures(given):
        return found, False
    x = found.y
    if not (isinstance(given, Operator) and tuple(x.shape) == given.data_shape):
        x = upright(x)
    found = replace(found, y=x)
    if values is not None:
        return replace(found, y=scaled(x, values)), True
    if is_picture(tuple(x.shape)) and positive(x) and _like_images(given, found, shape):
        raise which_range(x, found.origin)
    return found, False


def in_range(noise: NoiseLike | None, values: Range | None) -> Any:
    """A noise that is a number in the units of y, in those of [−1, 1]; any other noise is in those already."""
    sigma = None if isinstance(noise, str) else number(noise)
    return noise if sigma is None or values is None else sigma * 2 / (values[1] - values[0])


def _pictures(given: Given) -> bool:
    """Whether the data of an operator may be pictures: those of this package, not of a science, and your own."""
    if isinstance(given, str):
        return parse(factors(given)[0]).name in OPERATORS.own
    return given is None or (isinstance(given, Operator) and is_picture(given.data_shape))


def _like_images(given: Given, found: Measurement, shape: Shape | None) -> bool:
    """Whether data are in the units of images: black is measured as −1 somewhere and white as +1."""
    if given is None:
        return True
    try:
        A = as_operator(given, shape or found.image_shape, tuple(found.y.shape), found.physics)
        black, white = A(A.blank(1) - 1), A(A.blank(1) + 1)
    except XhatError:
        return False
    near = 0.1  # JPEG rounds
    return abs(float(black.min()) + 1) < near and abs(float(white.max()) - 1) < near
