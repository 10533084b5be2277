"""Enhanced DICOM: one file with many frames, each with its place and scale in functional groups (PS3.3, C.7.6.16)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ...files.extras import pick, reason
from ...files.measurement import Measurement
from ...files.room import LARGEST, fits, regular
from ...files.stacking import stacked
from ...files.volume import Grid, Slice, levels, upright
from ...notes import note
from .numbers import affine_of, number, numbers, turned

PER_FRAME, SHARED = "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"
# What the place of a frame in its volume is called in the list of dimensions: all others tell volumes apart.
WITHIN = (0x0020_0032, 0x0020_9057, 0x0020_1041, 0x0020_9301)


@dataclass(frozen=True)
class Frame:
    """One frame by its head: where it lies (`affine`), how its numbers are rescaled, and what tells its volume."""

    affine: np.ndarray
    slope: float
    intercept: float
    volume: tuple[Any, ...]


def is_enhanced(head: Any) -> bool:
    """Whether a file says place and scale of each of its frames."""
    return PER_FRAME in head or SHARED in head


def read(pydicom: Any, path: Path, head: Any, item: int | None) -> Measurement:
    """The volume (1, slices, rows, columns) of the frames in the file at `path`, or one slice (1, rows, columns) if
    there is one frame. Of several volumes, echoes or times for instance, `file.dcm#1` is the second.

    Raises DataError for frames that are no volume.
    """
    count = int(head.get("NumberOfFrames", 1) or 1)
    listed = head.get(PER_FRAME) or []
    if len(listed) != count:
        raise DataError(f"{path}: holds {count} frames and says the place of {len(listed)}; enhanced DICOM is read")
    frames = [frame(head, i, path) for i in range(count)]
    names = list(dict.fromkeys(f.volume for f in frames))
    which = pick(len(names), item, path, "volume")
    if len(names) > 1:
        note("%s: volume %d of %d is taken%s", path, which, len(names), _of(head, names[which]))
    chosen = [i for i, f in enumerate(frames) if f.volume == names[which]]
    fits(4 * count * int(head.Rows) * int(head.Columns), path, LARGEST)
    pixels = _pixels(pydicom, path, (count, int(head.Rows), int(head.Columns)))
    stack = stacked([frames[i].affine for i in chosen], [f"frame {i + 1}" for i in chosen], path)
    if len(chosen) > 1 and not stack.placed:
        raise DataError(f"{path}: {len(chosen)} frames lie at one place, and the file does not say how they differ")
    order = [chosen[i] for i in stack.order]
    values = np.stack([pixels[i] * frames[i].slope + frames[i].intercept for i in order])
    black, white = turned(levels(values), head)
    name = str(path) if item is None else f"{path}#{item}"
    if count == 1:
        grid = Grid(stack.affine, values.shape, black, white)
        return Measurement(grid.inside(values)[0], origin=name, file=path, native=Slice(grid))
    grid = Grid(stack.affine, values.shape, black, white, upright(stack.affine))
    return Measurement(grid.inside(values), origin=name, file=path, grid=grid)


def frame(head: Any, i: int, path: Path) -> Frame:
    """What the head of a file says of its frame `i`, counted from 0."""
    spacing = group(head, i, "PixelMeasuresSequence", "PixelSpacing")
    cosines = group(head, i, "PlaneOrientationSequence", "ImageOrientationPatient")
    place = group(head, i, "PlanePositionSequence", "ImagePositionPatient")
    if spacing is None or cosines is None or place is None:
        raise DataError(f"{path}: frame {i + 1} does not say the size of its pixels, its directions or its place")
    down, across = numbers(spacing, 2)
    thickness = group(head, i, "PixelMeasuresSequence", "SliceThickness")
    slope = number(group(head, i, "PixelValueTransformationSequence", "RescaleSlope"), 1.0)
    intercept = number(group(head, i, "PixelValueTransformationSequence", "RescaleIntercept"))
    return Frame(affine_of(cosines, place, (down, across), thickness), slope, intercept, volume_of(head, i))


def group(head: Any, i: int, sequence: str, name: str) -> Any:
    """The entry `name` of a functional group, of frame `i` itself or of all frames; None if there is none."""
    own, shared = (head.get(PER_FRAME) or []), (head.get(SHARED) or [])
    for part in (*own[i : i + 1], *shared[:1]):
        found = part.get(sequence)
        if found and name in found[0]:
            return found[0].get(name)
    return None


def volume_of(head: Any, i: int) -> tuple[Any, ...]:
    """What is the same for all frames of one volume: the indices of frame `i` in all dimensions but that of the place,
    or its stack and time where the file has no list of dimensions.
    """
    indices = group(head, i, "FrameContentSequence", "DimensionIndexValues")
    told = _others(head)
    if told and indices is not None:
        listed = [indices] if isinstance(indices, int) else list(indices)
        if len(listed) == len(head.DimensionIndexSequence):
            return tuple(int(listed[k]) for k in told)
    names = ("StackID", "TemporalPositionIndex")
    return tuple(str(group(head, i, "FrameContentSequence", name)) for name in names)


def _others(head: Any) -> list[int]:
    """Which of the dimensions tell volumes apart."""
    dimensions = head.get("DimensionIndexSequence") or []
    return [k for k, part in enumerate(dimensions) if int(part.get("DimensionIndexPointer", 0)) not in WITHIN]


def _of(head: Any, volume: Sequence[Any]) -> str:
    """The names and indices that tell a volume, as text."""
    names = [
        str(part.get("DimensionDescriptionLabel") or part.get("DimensionIndexPointer"))
        for k in _others(head)
        if (part := head.DimensionIndexSequence[k])
    ]
    return ", " + ", ".join(f"{n} {v}" for n, v in zip(names, volume, strict=True)) if len(names) == len(volume) else ""


def _pixels(pydicom: Any, path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """The stored numbers of all frames, (frames, rows, columns), float32."""
    regular(path)
    try:
        values = np.asarray(pydicom.dcmread(path).pixel_array, dtype=np.float32)
    except Exception as e:  # also of the libraries that unpack compressed pixels
        raise DataError(f"{path}: its pixels cannot be read ({reason(e)})") from e
    if values.size != int(np.prod(shape)) or values.shape[-2:] != shape[1:]:
        raise DataError(f"{path}: says {shape} frames, rows and columns and has {values.shape}")
    return values.reshape(shape)
