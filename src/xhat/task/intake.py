"""Arrays that people have as a measurement, in memory or in a file: channels last, pictures in [0, 1] or [0, 255]."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import SpecError, XhatError
from ..files.arrays import Range, positive, scaled, upright, which_range
from ..files.measurement import Measurement, Source
from ..files.pictures import ARRAYS, is_picture
from ..files.readers.load import counts, load, split
from ..notes import note
from ..operators import OPERATORS
from ..operators.base import Operator
from ..spec import factors, parse
from .parts import NoiseLike, Shape, as_operator, number

ONLY_FLOATS = "value_range is for arrays and tensors of floats; picture files and pixels say themselves what white is"
Given = str | Operator | Callable[[Tensor], Tensor] | None


def taken(y: Source, given: Given, shape: Shape | None, values: Range | None) -> tuple[Measurement, bool]:
    """`y` as a measurement, and whether `values`, the numbers of black and white, were used for it.

    A picture of an array, in memory or alone in a file, may have its channels last or no axis of them. Raises DataError
    for floats that may be a picture in [0, 1] or [0, 255] if `values` are not given, and like `load`.
    """
    if isinstance(y, Tensor) and counts(y) and not is_picture(tuple(y.shape)):
        y = y.cpu().numpy()  # the reader of arrays knows pixels with channels last
    found = load(y)
    if not isinstance(y, np.ndarray | Tensor) and not _bare(y, found):
        return found, False
    if found.pixels or found.y.is_complex() or not _pictures(given):
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


def _bare(y: Source, found: Measurement) -> bool:
    """Whether a file holds an array and nothing that says what it is."""
    if not isinstance(y, str | Path) or split(y)[0].suffix.lower() not in ARRAYS:
        return False
    return found.reader is None and not (found.operator or found.image_shape or found.noise or found.physics)


def image(x: Source, truth: Tensor, given: Given, values: Range | None) -> Tensor:
    """The `truth` that `x` holds, (*image), as `simulate` takes it: pictures of arrays in any layout, and in [−1, 1].

    Numbers that look like [0, 1] or [0, 255] are taken as they are unless `values` are given, which is said. Raises
    SpecError if `values` are given for what says itself what white is.
    """
    pixels = not isinstance(x, np.ndarray | Tensor) or counts(x)
    if values is not None and pixels:
        raise SpecError(ONLY_FLOATS)
    if pixels or truth.is_complex() or not _of_pictures(given):
        return truth
    if not (isinstance(given, Operator) and tuple(truth.shape) == given.shape):
        truth = upright(truth)
    if values is not None:
        return scaled(truth, values)
    if is_picture(tuple(truth.shape)) and positive(truth):
        note("the image is taken to be in [-1, 1], and is bright there; value_range=(0, 1) says that 0 is black")
    return truth


def _of_pictures(given: Given) -> bool:
    """Whether the images of an operator may be pictures."""
    if isinstance(given, str):
        return parse(factors(given)[-1]).name in OPERATORS.own
    return isinstance(given, Operator) and is_picture(given.shape)


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
