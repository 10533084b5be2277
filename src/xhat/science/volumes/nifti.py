"""NIfTI volumes: numbers, voxel sizes, orientation and units."""

from pathlib import Path

import numpy as np
import torch

from ...errors import DataError, Declined
from ...files.extras import extra, pick, reason
from ...files.measurement import Measurement
from ...files.room import LARGEST, fits, regular
from ...files.volume import Grid, levels, names_volume, upright


def read(path: Path, item: int | None) -> Measurement:
    """A volume (1, slices, rows, columns) from a .nii or .nii.gz file; of a series `scan.nii#3` is volume 3.

    Black is 0, or near the lowest number if there are negative ones, and white near the highest. Complex numbers are an
    image in the units and the order of the file, (rows, columns) if it has one slice, else (slices, rows, columns).
    Raises DataError for what is no such file, and for colours.
    """
    if not names_volume(path):
        raise Declined(f"{path}: is no NIfTI file, whose names end with .nii or .nii.gz")
    regular(path)
    nibabel = extra("nibabel", str(path))
    try:
        image = nibabel.load(str(path))
        shape, dtype = tuple(int(n) for n in image.shape), image.get_data_dtype()
        if dtype.fields or dtype.kind not in "iufc":
            raise DataError(f"{path}: holds {'colours' if dtype.fields else f'{dtype} numbers'}, no grey volume")
        kind = np.complex64 if dtype.kind == "c" else np.float32
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        if len(shape) not in (3, 4) or min(shape) < 1:
            raise DataError(f"{path}: has the shape {shape}; a volume has three axes, and a series of them four")
        which = pick(shape[3] if len(shape) == 4 else 1, item, path, "volume")
        fits(np.dtype(kind).itemsize * int(np.prod(shape[:3], dtype=np.int64)), path, LARGEST)
        part = image.dataobj[(..., which)] if len(shape) == 4 else image.dataobj
        values = np.asarray(part, dtype=kind).reshape(shape[:3]).transpose()
        affine, units = np.asarray(image.affine, dtype=np.float64), image.header.get_xyzt_units()
    except DataError:
        raise
    except Exception as e:  # nibabel, gzip and zlib each have their own errors for a broken file
        raise DataError(f"{path}: cannot be read as NIfTI ({reason(e)})") from e
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise DataError(f"{path}: does not say how its voxels lie: its affine is not invertible")
    name = str(path) if item is None else f"{path}#{item}"
    if kind is np.complex64:
        numbers = torch.from_numpy(np.ascontiguousarray(values[0] if len(values) == 1 else values))
        return Measurement(numbers, origin=name, affine=affine)
    black, white = levels(values)
    s, h, w = values.shape
    grid = Grid(affine, (s, h, w), black, white, upright(affine), (units[0], units[1]))
    return Measurement(grid.inside(values), origin=name, file=path, grid=grid)
