"""Where the voxels of a volume lie, and what its numbers mean: kept from the file that is read to the one written."""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from .extras import extra
from .writing import atomic

NIFTI = (".nii", ".nii.gz")


@dataclass(frozen=True, eq=False)
class Grid:
    """Of a volume (slices, rows, columns).

    `affine`, 4 x 4, takes the number of a column, a row and a slice, in this order, to millimetres to the right, to the
    front and upwards (RAS+, as NIfTI has it). −1 and 1 inside xhat stand for the numbers `black` and `white` of the
    file. `flipped` says which axes, (slice, row, column), are read backwards, so that pictures are upright; in a file
    that is written they are as they were. `units` are those of NIfTI's header.
    """

    affine: np.ndarray
    shape: tuple[int, int, int]
    black: float
    white: float
    flipped: tuple[bool, bool, bool] = (False, False, False)
    units: tuple[str, str] = ("mm", "unknown")

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The size of a voxel along slices, rows and columns, in millimetres."""
        column, row, slice_ = (float(v) for v in np.sqrt((self.affine[:3, :3] ** 2).sum(0)))
        return slice_, row, column

    def of(self, shape: tuple[int, ...]) -> "Grid":
        """That of the same volume in `shape` (slices, rows, columns) voxels: its outer faces stay where they are."""
        affine = self.affine.copy()
        for axis, (old, new) in enumerate(zip(self.shape[::-1], shape[::-1], strict=True)):
            affine[:3, 3] += affine[:3, axis] * (old / new - 1) / 2
            affine[:3, axis] *= old / new
        return replace(self, affine=affine, shape=(shape[0], shape[1], shape[2]))

    def inside(self, values: np.ndarray) -> Tensor:
        """Numbers of the file, (slices, rows, columns) in its own order, as a volume (1, slices, rows, columns)."""
        x = (values.astype(np.float32) - self.black) * (2 / (self.white - self.black)) - 1
        return torch.from_numpy(np.flip(x, self._axes).copy())[None]

    def outside(self, x: Tensor) -> np.ndarray:
        """A volume (1, slices, rows, columns) in the numbers and the order of the file."""
        values = (x[0].detach().cpu().double().numpy() + 1) / 2 * (self.white - self.black) + self.black
        return np.ascontiguousarray(np.flip(values, self._axes)).astype(np.float32)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(axis for axis, turned in enumerate(self.flipped) if turned)


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice on its `grid`: it goes out as a NIfTI volume in the numbers and at the place of its file."""

    grid: Grid

    def files(self, stem: str, x: Tensor) -> Mapping[str, Callable[[Path], object]]:
        """`stem`.nii.gz of an image (1, h, w)."""
        return {f"{stem}.nii.gz": partial(save_volume, x=x[:, None], grid=self.grid)}


def plain(shape: tuple[int, ...]) -> Grid:
    """Voxels of 1 mm, and numbers as they are in xhat."""
    return Grid(np.eye(4), (shape[0], shape[1], shape[2]), -1.0, 1.0)


def upright(affine: np.ndarray) -> tuple[bool, bool, bool]:
    """Which axes, (slice, row, column), to read backwards: pictures then show the front or the top above, and the right
    side of a body on the left, as radiologists have it; slices go upwards.
    """
    turned = []
    for axis in (2, 1, 0):
        along = int(np.abs(affine[:3, axis]).argmax())
        wanted = 1 if axis == 2 and along == 2 else -1
        turned.append(bool(affine[along, axis] * wanted < 0))
    return turned[0], turned[1], turned[2]


def levels(values: np.ndarray) -> tuple[float, float]:
    """The numbers of a file that stand for black and white: 0, or the lowest but a thousandth if there are negative
    ones; and the highest but a thousandth.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.quantile(finite, (0.001, 0.999)))
    black = 0.0 if low >= 0 else low
    return (black, high) if high > black else (black, black + 1.0)


def names_volume(path: str | Path) -> bool:
    """Whether a file of this name is NIfTI."""
    return Path(path).name.lower().endswith(NIFTI)


def save_volume(path: Path, x: Tensor, grid: Grid | None = None) -> None:
    """Writes a volume `x` (1, slices, rows, columns) as NIfTI-1, float32, at the place and in the numbers of `grid`.

    Raises DataError if nibabel is missing or `x` is no volume.
    """
    if x.ndim != 4 or x.shape[0] != 1:
        raise DataError(f"{path}: a volume has the shape (1, slices, rows, columns), not {tuple(x.shape)}")
    nibabel = extra("nibabel", path.name)
    packed = path.name.lower().endswith(".gz")
    there = (grid or plain(tuple(x.shape[1:]))).of(tuple(x.shape[1:]))
    image = nibabel.Nifti1Image(there.outside(x).transpose(), there.affine)
    image.header.set_xyzt_units(*there.units)
    whole = image.to_bytes()
    atomic(path, lambda file: file.write_bytes(gzip.compress(whole, 6, mtime=0) if packed else whole))
