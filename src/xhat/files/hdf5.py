"""HDF5 files, read as data: their own numbers alone, whatever the file names."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .extras import extra, pick
from .room import LARGEST, fits, regular


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An open HDF5 file that holds all its data itself. Any error of the library while it is open becomes a
    DataError, as is a file that takes data from others.
    """
    h5py = extra("h5py", f"{path}")
    regular(path)
    try:
        with h5py.File(path, "r") as file:
            whole(file, path)
            yield file
    except DataError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as e:
        raise DataError(
            f"{path}: cannot be read as HDF5 ({str(e).splitlines()[0] if str(e) else type(e).__name__})"
        ) from e


def whole(file: Any, path: Path) -> None:
    """Raises DataError, which names the entry, if anything in the open HDF5 file lies in another file.

    HDF5 has three ways to do so: links to entries of other files, data sets in raw files, and data sets that are put
    together from parts of others. Whoever made the file would choose which file of this machine is read.
    """
    h5py = extra("h5py", f"{path}")
    seen, waiting = set(), [file]
    while waiting:
        group = waiting.pop()
        for name in group:
            link, entry = group.get(name, getlink=True), f"{group.name.rstrip('/')}/{name}"
            if isinstance(link, h5py.SoftLink):
                continue  # its target is in this file, or behind a link that is found by itself
            if not isinstance(link, h5py.HardLink):
                raise DataError(f"{path}: {entry} is a link to another file, which is not followed; copy the data in")
            thing = group[name]
            if isinstance(thing, h5py.Dataset) and (thing.is_virtual or thing.external):
                raise DataError(f"{path}: the data of {entry} lie in other files, which are not read; copy them in")
            if isinstance(thing, h5py.Group) and (place := h5py.h5o.get_info(thing.id).addr) not in seen:
                seen.add(place)  # a group may be reached by several ways, through itself, too
                waiting.append(thing)


def array(path: Path, names: tuple[str, ...], item: int | None) -> np.ndarray:
    """The first of `names` that the file at `path` holds, or of more than three axes its slice `item`.

    Raises DataError if the file holds none of them.
    """
    with opened(path) as file:
        found = next((n for n in names if n in file), None)
        if found is None:
            raise DataError(f"{path}: holds none of {', '.join(names)}, only {', '.join(file) or 'nothing'}")
        data = file[found]
        if isinstance(data, Mapping):
            raise DataError(f"{path}: {found!r} is a group, not an array")
        fits(data.dtype.itemsize * math.prod(data.shape[1:] if data.ndim > 3 else data.shape), path, LARGEST)
        return np.asarray(data[pick(len(data), item, path, "slice")] if data.ndim > 3 else data[()])
