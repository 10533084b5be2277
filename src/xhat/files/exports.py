"""Files for other programs, beside the pictures and arrays: one line per format."""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..errors import SpecError
from ..registry import Registry
from .extras import extra
from .writing import atomic


def write_nifti(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None) -> None:
    """NIfTI-1, float32 or complex64, packed if its name ends with .gz.

    `voxels` has the axes (column, row[, slice][, frame][, channel]). `affine` takes them to millimetres (RAS+); without
    it voxels are 1 mm wide.
    """
    nibabel = extra("nibabel", f"{path.name}")
    numbers = voxels.astype(np.complex64 if np.iscomplexobj(voxels) else np.float32)
    if affine is not None and numbers.ndim == 2:
        numbers = numbers[..., None]  # one slice has a thickness
    image = nibabel.Nifti1Image(numbers, np.eye(4) if affine is None else affine)
    image.header.set_xyzt_units("mm")
    whole = image.to_bytes()
    packed = path.name.endswith(".gz")
    atomic(path, lambda file: file.write_bytes(gzip.compress(whole, 6, mtime=0) if packed else whole))


# For each format: the library that it needs, and the writer of an image's voxels, in the order of `Modality.voxels`. A
# writer with an argument `affine` is told where they lie, (4, 4) as in NIfTI, or None.
EXPORTS: Registry[tuple[str, Callable[..., None]]] = Registry("exports", None, {"nii": ("nibabel", write_nifti)})


def check(formats: Sequence[str]) -> None:
    """Raises SpecError for an unknown format, and DataError if its library is missing, so that a long run does not end
    with it.
    """
    for name in formats:
        if name not in EXPORTS:
            raise SpecError(f"unknown format {name!r}; choose from {', '.join(EXPORTS)}")
        extra(EXPORTS[name][0], f"a .{name} file")
