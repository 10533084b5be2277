"""Measurement files: one reader for each suffix; each science brings its own."""

from collections.abc import Callable
from pathlib import Path

from ...admission import FOLDER
from ...registry import Registry
from ..measurement import Measurement

# A reader takes a path and the number of an item in the file (`scan.h5#12`), None if none is named, and returns a
# `Measurement` with everything that the file says: `physics` holds arguments of the operator by name.
Reader = Callable[[Path, int | None], Measurement]

READERS: Registry[Reader] = Registry("readers", None, {})


def reader_for(path: Path) -> Reader | None:
    """The reader of a folder, or of a file by its suffix; None for pictures and plain arrays."""
    return READERS.get(FOLDER if path.is_dir() else path.suffix.lower())
