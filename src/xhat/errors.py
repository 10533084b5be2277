"""What can go wrong on the user's side; the command line turns each into one line and exit code 2."""

from collections.abc import Sequence


class XhatError(Exception):
    """Base of every error that names a culprit the user can change."""


class SpecError(XhatError, ValueError):
    """An unknown name, an unknown option or a value out of range."""


class DataError(XhatError, ValueError):
    """A file or an array that is not what it should be: unreadable, NaN, wrong channels, empty mask."""


class ShapeError(XhatError, ValueError):
    """Two parts of a problem whose shapes do not fit."""


class MismatchError(XhatError, TypeError):
    """A solver, operator, noise or prior that cannot work together."""


class DivergedError(XhatError, FloatingPointError):
    """NaN or infinity appeared, or an inner problem did not converge; in `images` of the batch, where that is known."""

    def __init__(self, message: str = "", images: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.images = tuple(images)
