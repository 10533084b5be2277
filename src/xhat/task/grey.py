"""A grey photograph that is stored in colour is restored as what it is, so that no colours appear in it."""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from ..errors import MismatchError
from ..files.measurement import Measurement
from ..files.pictures import is_picture
from ..notes import note
from ..operators.base import Operator
from ..operators.building import kind
from ..priors import Denoiser, Prior


def stored_in_colour(x: Tensor) -> bool:
    """Whether a picture has three channels that are equal."""
    return is_picture(tuple(x.shape)) and len(x) == 3 and bool((x == x[:1]).all())


def as_grey(
    found: Measurement,
    operator: str | Operator | Callable[[Tensor], Tensor] | None,
    channels: int | None,
    prior: Callable[[], object],
) -> Measurement:
    """`found` with one channel, if it is the file of a grey photograph in colour and the other parts take it so.

    `channels` is the number of channels that the image is known to have, None if it is not known; `prior` gives the
    prior, which is asked for only if everything else allows it.
    """
    if found.file is None or not stored_in_colour(found.y) or not isinstance(operator, str | None):
        return found
    shape = (1, *found.y.shape[1:])
    made = shape if operator is None else kind(operator).image_shape(shape)
    if channels is not None and made[0] != channels:
        return found
    known = prior()
    if not isinstance(known, Prior) or isinstance(known, Denoiser):  # a function does not say what it takes
        return found
    try:
        known.check(made)
    except MismatchError:
        return found
    note("%s: is grey, though stored in colour; it is restored as grey", found.origin)
    return replace(found, y=found.y[:1])
