"""A part of the frames of a video, or of the slices of a volume, with what an operator measures of it alone."""

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import lcm

from torch import Tensor

from .base import O, Operator
from .compose import AffineComposed, Composed, LinearComposed, compose


@dataclass(frozen=True)
class Section:
    """The operator `A` of some consecutive frames, whose data are entries `first` to `first + count` of all data.

    `axis` is that of the frames in a batch of data. Data that depend on other frames, too, are left out.
    """

    A: Operator
    axis: int
    first: int
    count: int

    def data(self, y: Tensor) -> Tensor:
        """What is measured of these frames, of all data `y` (b, *data)."""
        return y.narrow(self.axis, self.first, self.count).contiguous()


class Sectioned(ABC):
    """An operator on (c, t, h, w) that can be had for a part of its frames."""

    @property
    def grain(self) -> int:
        """A section begins at a multiple of this many frames."""
        return 1

    @abstractmethod
    def section(self, begin: int, end: int) -> Section:
        """The operator of the frames `begin` to `end`, the last not counted; `count` is 0 if none is measured alone."""


def restricted(A: O, shape: tuple[int, ...], **buffers: Tensor) -> O:
    """`A` on images of another `shape`, with these buffers in place of its own."""
    new = copy.copy(A)
    for derived in ("_of_zeros", "data_shape"):
        vars(new).pop(derived, None)
    new.shape = shape
    new._buffers = {**A._buffers, **buffers}
    return new


def section(A: Operator, begin: int, end: int) -> Section | None:
    """The operator of the frames `begin` to `end` of those of `A`; None if it cannot be had for a part of them."""
    if isinstance(A, Sectioned):
        return A.section(begin, end)
    if not isinstance(A, Composed | LinearComposed | AffineComposed):
        return None
    first = section(A.inner, begin, end)
    if first is None or first.axis != 2 or len(first.A.data_shape) != 4:
        return None
    then = section(A.outer, first.first, first.first + first.count)
    if then is None:
        return None
    return Section(compose(then.A, first.A), then.axis, then.first, then.count)


def grain(A: Operator) -> int:
    """Where sections of `A` begin: at multiples of this many frames."""
    if isinstance(A, Composed | LinearComposed | AffineComposed):
        return lcm(grain(A.inner), grain(A.outer))
    return A.grain if isinstance(A, Sectioned) else 1
