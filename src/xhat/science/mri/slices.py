"""How many slices a file of k-space has, told without reading them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...errors import DataError, Declined
from ...files.hdf5 import opened
from .ismrmrd import BOTH, CALIBRATION, HEAD, NOISE, OTHER


def count(path: Path) -> int:
    """The number of slices of a fastMRI or ISMRMRD file, as `hdf5.read` numbers them; any other HDF5 file is declined,
    and DataError raised for one that cannot be read.
    """
    with opened(path) as file:
        if "kspace" in file:
            stack = file["kspace"]
            if isinstance(stack, Mapping) or stack.ndim < 3:
                raise DataError(f"{path}: its 'kspace' is no stack of slices")
            return len(stack)
        for group in file.values():
            if isinstance(group, Mapping) and "data" in group and "xml" in group:
                names = group["data"].dtype.names or ()
                kinds = (group["data"].dtype["head"].names or ()) if "head" in names else ()
                if not set(HEAD) <= set(kinds):
                    raise DataError(f"{path}: its 'data' is no table of readouts with a head each")
                return slices_of(group["data"]["head"], path)
        raise Declined(f"{path}: is neither fastMRI's nor ISMRMRD's")


def slices_of(heads: np.ndarray, path: Path) -> int:
    """The number of slices that the `heads` of readouts tell, those of the first encoding with image data."""
    flags = heads["flags"]
    image = ((flags & (OTHER | NOISE)) == 0) & (((flags & CALIBRATION) == 0) | ((flags & BOTH) != 0))
    if not image.any():
        raise DataError(f"{path}: holds no imaging lines")
    found = heads[image]
    if "encoding_space_ref" in (heads.dtype.names or ()):
        found = found[found["encoding_space_ref"] == found["encoding_space_ref"][0]]
    return len(np.unique(found["idx"]["slice"]))
