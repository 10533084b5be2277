"""Arrays in MATLAB's files of version 7.3 (`save -v7.3`), which are HDF5: read as data, through h5py.

Axes are stored in reverse, complex numbers as pairs (real, imag), an attribute says the class, and another one that an
array is empty, of which only the shape is stored.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...files.hdf5 import opened
from ...files.room import fits

SIGNATURE, PLACES = b"\x89HDF\r\n\x1a\n", (0, 512)  # MATLAB writes 512 bytes of its own before it
NUMBERS = ("double", "single", "logical", *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)))


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, with or without MATLAB's header before it."""
    with path.open("rb") as file:
        head = file.read(PLACES[-1] + len(SIGNATURE))
    return any(head[at : at + len(SIGNATURE)] == SIGNATURE for at in PLACES)


def arrays_of(path: Path, most: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of numbers in a file by name, axes as in MATLAB, none of more than `most` bytes; and by name what
    else it holds, which is left out: text, structures, cells, sparse arrays.

    Raises DataError for a file that is damaged, takes data from others, or is larger than the memory.
    """
    found: dict[str, np.ndarray] = {}
    left: dict[str, str] = {}
    with opened(path) as file:
        for name, thing in file.items():
            if name.startswith("#"):
                continue  # what cells and objects refer to
            kind = kind_of(thing)
            if kind not in NUMBERS:
                left[name] = kind
                continue
            if thing.attrs.get("MATLAB_empty", 0):
                left[name] = "empty"
                continue
            fits(thing.dtype.itemsize * thing.size, path, most)
            found[name] = numbers(thing[()], kind)
    return found, left


def kind_of(thing: Any) -> str:
    """MATLAB's class of an entry; of one that says none the class of its numbers, as other programs write them."""
    said = thing.attrs.get("MATLAB_class", b"")
    kind = said.decode("ascii", "replace") if isinstance(said, bytes) else str(said)
    group = isinstance(thing, Mapping)
    if group:
        return "sparse" if "MATLAB_sparse" in thing.attrs else kind or "struct"
    plain = thing.dtype.kind in "biuf" or set(thing.dtype.names or ()) == {"real", "imag"}
    if not plain:
        return kind if kind and kind not in NUMBERS else "no array of numbers"
    return kind or "double"


def numbers(stored: np.ndarray, kind: str) -> np.ndarray:
    """An array as MATLAB has it: its axes turned back, at least two of them."""
    if stored.dtype.names:
        stored = stored["real"] + 1j * stored["imag"]
    array = np.asarray(stored).T
    array = array != 0 if kind == "logical" else array
    out: np.ndarray = np.ascontiguousarray(array.reshape(-1, 1) if array.ndim < 2 else array)
    return out
