"""The errors that a user can cause; the command line turns each into one line and exit code 2."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class XhatError(Exception):
    """Base class of every error that names a cause that the user can change."""


class SpecError(XhatError, ValueError):
    """An unknown name, an unknown option or a value out of range."""


class DataError(XhatError, ValueError):
    """A file or an array that is not what it should be: unreadable, NaN, wrong channels, empty mask."""


class Declined(DataError):
    """A file that a reader does not know by its content, so that the next reader of its suffix is asked.

    A reader raises it before it makes anything of the file; its text says what the file lacks.
    """


class WriteError(DataError):
    """A file that cannot be written, because the disk is full, for example, or the folder may not be changed.

    `path` names the file and `reason` says why.
    """

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: cannot be written ({reason})")
        self.path, self.reason = path, reason


class TooMuchError(DataError):
    """Work or data for which there is not enough memory, and which were not agreed to all the same."""


class TooLongError(TooMuchError):
    """Work that takes more than an hour, and was not agreed to."""


class ShapeError(XhatError, ValueError):
    """Two parts of a problem whose shapes do not fit together."""


class MismatchError(XhatError, TypeError):
    """A solver, an operator, a noise model or a prior that cannot work together."""


class DivergedError(XhatError, FloatingPointError):
    """NaN or infinity appeared, or an inner problem did not converge.

    `images` lists the images of the batch, counted from 0, in which it happened; it is empty if that is unknown.
    """

    def __init__(self, message: str = "", images: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.images = tuple(images)


FITTING = (ShapeError, MismatchError, DivergedError)
ANY = (*FITTING, SpecError, DataError)


@contextmanager
def about(origin: object, kinds: tuple[type[XhatError], ...] = FITTING, word: str = "") -> Iterator[None]:
    """Names the file `origin`, behind `word`, in an error of one of the `kinds` that does not say what it is about.

    An error of a file that cannot be written, or of too much, is about something else.
    """
    try:
        yield
    except kinds as e:
        if not isinstance(e, WriteError | TooMuchError) and str(origin) not in str(e):
            e.args = (f"{word}{origin}: {e}",)
        raise


def named(given: object) -> str:
    """What a message calls a thing that cannot be taken: a class by its name, anything else by that of its class."""
    return f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__


def out_of_memory(e: BaseException) -> bool:
    """Whether an error means that memory ran out; torch has a class for that on a GPU and a RuntimeError on a CPU."""
    gpu = type(e).__name__ == "OutOfMemoryError"  # by its name: this module imports nothing
    return isinstance(e, MemoryError) or gpu or (isinstance(e, RuntimeError) and "allocate memory" in str(e))
