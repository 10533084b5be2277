"""Series of DICOM files: a folder with one file for each slice."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError, Declined
from ...files.extras import extra, pick, reason
from ...files.measurement import Measurement
from ...files.room import LARGEST, fits, regular
from ...files.stacking import stacked
from ...files.volume import Grid, Slice, levels, upright
from ...notes import note
from . import frames
from .numbers import affine_of, number, numbers, turned

MAGIC = b"DICM"  # after 128 bytes
MANY = 20_000  # files of a folder that are looked at, at most


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM does; links are not followed."""
    try:
        if path.is_symlink() or not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(132)[128:] == MAGIC
    except OSError:
        return False


def is_series(folder: Path) -> bool:
    """Whether a folder holds DICOM files."""
    return any(is_dicom(path) for path in _files(folder))


def _files(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = sorted(entry.name for _, entry in zip(range(MANY), entries, strict=False) if entry.name != "DICOMDIR")
    return [folder / name for name in names if not name.startswith(".")]


def read(path: Path, item: int | None) -> Measurement:
    """A volume (1, slices, rows, columns) from a folder of DICOM files, sorted by their place in space; or one slice,
    (1, rows, columns), from a single file, as it is stored.

    Numbers are rescaled as the files say, to Hounsfield units for instance. Of several series in a folder `folder#1` is
    the second. A file of several frames is read by `frames`. Subfolders, links and what a DICOMDIR names are not looked
    at. Raises DataError for what is no series of
    grey slices at even distances.
    """
    if path.is_dir() and not is_series(path):
        raise Declined(f"{path}: holds no files of DICOM")
    pydicom = extra("pydicom", str(path))
    files = [file for file in _files(path) if is_dicom(file)] if path.is_dir() else [path]
    heads = [(file, head) for file in files if (head := _head(pydicom, file)) is not None]
    if not heads:
        raise DataError(f"{path}: holds no pictures of DICOM")
    series: dict[str, list[tuple[Path, Any]]] = {}
    for file, head in heads:
        series.setdefault(str(head.get("SeriesInstanceUID", "")), []).append((file, head))
    many = len(series) > 1
    which = pick(len(series), item, path, "series") if many else 0
    slices = sorted(series.values(), key=lambda rows: number(rows[0][1].get("SeriesNumber")))[which]
    first = slices[0][1]
    for file, head in slices:
        _check(file, head, first)
    if any(frames.is_enhanced(head) or _frames(head) > 1 for _, head in slices):
        if len(slices) > 1:
            raise DataError(f"{path}: holds {len(slices)} files of several frames; give one of them, {slices[0][0]}")
        return frames.read(pydicom, slices[0][0], first, None if many else item)
    if not many:
        pick(1, item, path, "series")
    fits(4 * len(slices) * int(first.Rows) * int(first.Columns), path, LARGEST)
    name = str(path) if item is None else f"{path}#{item}"
    if not path.is_dir():
        values = _values(pydicom, *slices[0])
        grid = Grid(_placed(path, slices)[1], (1, *values.shape), *turned(levels(values), first))
        return Measurement(grid.inside(values[None])[0], origin=name, file=path, native=Slice(grid))
    slices, affine = _placed(path, slices)
    values = np.stack([_values(pydicom, file, head) for file, head in slices])
    black, white = turned(levels(values), first)
    grid = Grid(affine, values.shape, black, white, upright(affine))
    return Measurement(grid.inside(values), origin=name, file=path, grid=grid)


def _head(pydicom: Any, file: Path) -> Any | None:
    """What a file says beside its pixels; None if it holds no picture."""
    try:
        head = pydicom.dcmread(file, stop_before_pixels=True)
    except Exception as e:  # pydicom has many errors for a broken file
        raise DataError(f"{file}: cannot be read as DICOM ({reason(e)})") from e
    return head if "Rows" in head and "Columns" in head else None


def _frames(head: Any) -> int:
    return int(head.get("NumberOfFrames", 1) or 1)


def _check(file: Path, head: Any, first: Any) -> None:
    """Raises DataError for a slice that is in colour or does not fit the first one."""
    kind = str(head.get("PhotometricInterpretation", "no"))
    if int(head.get("SamplesPerPixel", 1)) != 1 or not kind.startswith("MONO"):
        raise DataError(f"{file}: holds {kind} pixels, no grey ones")
    if (head.Rows, head.Columns) != (first.Rows, first.Columns):
        raise DataError(
            f"{file}: has {head.Rows} x {head.Columns} pixels, the first slice {first.Rows} x {first.Columns}"
        )


def _values(pydicom: Any, file: Path, head: Any) -> np.ndarray:
    """The numbers of a slice, (rows, columns), rescaled as its file says."""
    regular(file)
    try:
        data = pydicom.dcmread(file)
        values: np.ndarray = np.asarray(data.pixel_array, dtype=np.float32)
    except Exception as e:  # also of the libraries that unpack compressed pixels
        raise DataError(f"{file}: its pixels cannot be read ({reason(e)})") from e
    if values.shape != (head.Rows, head.Columns):
        raise DataError(f"{file}: says {head.Rows} x {head.Columns} pixels and has {values.shape}")
    return values * number(head.get("RescaleSlope"), 1.0) + number(head.get("RescaleIntercept"))


def _placed(folder: Path, slices: Sequence[tuple[Path, Any]]) -> tuple[list[tuple[Path, Any]], np.ndarray]:
    """The slices in the order in which they lie in space, and the affine of their volume."""
    first = slices[0][1]
    if first.get("PixelSpacing") is None:
        note("%s: does not say the size of its pixels; they are taken for 1 mm", folder)
    down, across = _spacing(first)
    cosines = first.get("ImageOrientationPatient")
    if cosines is None or any(head.get("ImagePositionPatient") is None for _, head in slices):
        ordered = sorted(slices, key=lambda row: number(row[1].get("InstanceNumber")))
        thick = number(first.get("SpacingBetweenSlices"), number(first.get("SliceThickness"), 1.0))
        return ordered, np.diag([-across, -down, thick, 1.0])
    affines = [
        affine_of(head.get("ImageOrientationPatient"), head.ImagePositionPatient, _spacing(head),
                  first.get("SliceThickness"))
        for _, head in slices
    ]  # fmt: skip
    stack = stacked(affines, [file.name for file, _ in slices], folder)
    if len(slices) > 1 and not stack.placed:
        raise DataError(f"{folder}: its slices are 0 mm apart, all at one place, and are no volume")
    return [slices[i] for i in stack.order], stack.affine


def _spacing(head: Any) -> tuple[float, float]:
    """The size of a pixel, (down, across), in mm; 1 if the file does not tell it."""
    down, across = numbers(head.PixelSpacing, 2) if head.get("PixelSpacing") is not None else (1.0, 1.0)
    return down, across
