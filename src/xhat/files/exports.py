"""Files for other programs, beside the pictures and arrays: one line per format."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from ..errors import SpecError
from .extras import extra
from .pictures import atomic


def write_nifti(path: Path, x: Tensor) -> None:
    """NIfTI-1, float32, axes (column, row[, channel]), voxels of 1 mm: the magnitude of a complex image."""
    nibabel = extra("nibabel", f"{path.name}")
    plane = (x.square().sum(0, keepdim=True).sqrt() if len(x) == 2 else x).detach().cpu().float().numpy()
    voxels = np.squeeze(np.moveaxis(plane, 0, -1).swapaxes(0, 1))
    atomic(path, lambda file: nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), file))


EXPORTS: dict[str, tuple[str, Callable[[Path, Tensor], None]]] = {"nii": ("nibabel", write_nifti)}


def check(formats: Sequence[str]) -> None:
    """SpecError for an unknown format, DataError where its library is missing: before a long run."""
    for name in formats:
        if name not in EXPORTS:
            raise SpecError(f"unknown format {name!r}; choose from {', '.join(EXPORTS)}")
        extra(EXPORTS[name][0], f"a .{name} file")
