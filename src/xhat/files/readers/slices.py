"""Files of several slices of one volume: how many there are, told without reading them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError, Declined
from ..measurement import Measurement
from . import readers_for


@dataclass(frozen=True)
class OfSlices:
    """A reader whose items are slices of one volume: `read` reads one of them, and `count` says how many a file has.

    `count` raises DataError like `read`, and `Declined` for a file of another kind.
    """

    read: Callable[[Path, int | None], Measurement]
    count: Callable[[Path], int]

    def __call__(self, path: Path, item: int | None) -> Measurement:
        return self.read(path, item)


def slices_in(path: Path) -> int:
    """The number of slices in the file at `path`. Raises DataError if it is no file of slices of a volume."""
    if not path.exists():
        raise DataError(f"{path}: no such file")
    for reader in readers_for(path).values():
        if isinstance(reader, OfSlices):
            try:
                return reader.count(path)
            except Declined:
                continue
    raise DataError(f"{path}: is no file of slices of one volume; name its items one by one, {path}#0, {path}#1")
