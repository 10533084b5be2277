"""Reads one array from a file of arrays, such as coil maps or a sampling mask."""

from pathlib import Path

import torch
from torch import Tensor

from ...files import hdf5
from ...files.numbers import array_of
from ...files.room import LARGEST
from . import bart

H5_NAMES = ("s_maps", "maps", "mask")  # fastMRI's name for maps comes first


def load(path: Path) -> Tensor:
    """The array in a .npy, .cfl or .h5 file.

    In an .h5 file it is `s_maps`, `maps` or `mask`; if there are several slices, `maps.h5#12` names one. Raises
    DataError if the file cannot be read.
    """
    from ...files.readers.load import split

    path, item = split(path)
    suffix = path.suffix.lower()
    if suffix in (".cfl", ".hdr"):
        return torch.from_numpy(bart.coils_first(bart.array(path), path))
    if suffix in (".h5", ".hdf5"):
        return torch.from_numpy(hdf5.array(path, H5_NAMES, item))
    return torch.from_numpy(array_of(path, most=LARGEST))
