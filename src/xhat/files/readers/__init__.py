"""Measurement files: one or more readers for each suffix; each science brings its own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ...admission import FOLDER
from ...checks import shown
from ...errors import DataError, Declined
from ...registry import Registry
from ..measurement import Measurement
from ..suffixes import PICTURES

# A reader takes a path and the number of an item in the file (`scan.h5#12`), None if none is named, and returns a
# `Measurement` with everything that the file says: `physics` holds arguments of the operator by name. For a file that
# another science may know, it raises `Declined`.
Reader = Callable[[Path, int | None], Measurement]

READERS: Registry[Reader] = Registry("readers", None, {}, shared=True)


def readers_for(path: Path) -> dict[str, Reader]:
    """The readers of a folder, or of a file by its suffix, by the plug-in of each, in the order of asking.

    There are none for pictures and plain arrays.
    """
    return READERS.every(FOLDER if path.is_dir() else path.suffix.lower())


def read(path: Path, item: int | None, otherwise: bool = False) -> Measurement | None:
    """What the first reader makes of the file at `path` that does not decline it; None if the file has no reader.

    Raises DataError if all decline it, which says who was asked; with `otherwise`, None is returned then, too.
    """
    declined: dict[str, Declined] = {}
    for plugin, reader in readers_for(path).items():
        try:
            found = reader(path, item)
        except Declined as e:
            declined[plugin] = e
            continue
        if not isinstance(found, Measurement):
            raise DataError(f"{path}: the reader of {plugin} returned {shown(found)}, and no Measurement")
        own = getattr(reader, "read", reader)  # of a reader of slices
        return replace(found, reader=getattr(own, "__module__", None))
    if otherwise or not declined:
        return None
    if len(declined) == 1:
        raise next(iter(declined.values()))
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{path}: the folder is empty")
    if path.is_dir() and (n := sum(p.suffix.lower() in PICTURES for p in path.iterdir())):
        raise DataError(f"{path}: is a folder with {n} pictures; give one of them, or in Python a list of their paths")
    asked = "; ".join(f"{plugin}: {str(e).removeprefix(f'{path}: ')}" for plugin, e in declined.items())
    if path.is_dir():
        raise DataError(f"{path}: holds no picture, and is no folder of measurements. Asked were {asked}")
    raise DataError(f"{path}: no reader of {path.suffix.lower()} files knows it. Asked were {asked}")
