"""Measurement files of the sciences: one line per suffix, and a reader imports its library when it runs.

A reader takes a path and which item of the file is meant (`scan.h5#12`), None where that was not said, and gives a
`Measurement` with all that the file knows: `physics` holds arguments of the operator by name.
"""

from collections.abc import Callable
from pathlib import Path

from ...science import inversebench
from ...science.mri import bart, hdf5
from ...science.vlbi import reader as uvfits
from ..measurement import Measurement

Reader = Callable[[Path, int | None], Measurement]

READERS: dict[str, Reader] = {
    ".h5": hdf5.read,
    ".hdf5": hdf5.read,
    ".cfl": bart.read,
    ".hdr": bart.read,
    ".uvfits": uvfits.read,
    ".uvf": uvfits.read,
}


def reader_for(path: Path) -> Reader | None:
    """The reader of a file by its suffix, of any folder; None for pictures and plain arrays."""
    return inversebench.read if path.is_dir() else READERS.get(path.suffix.lower())
