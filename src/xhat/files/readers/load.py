"""Any source as a measurement: a path, an array, a PIL image or a tensor."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...checks import instance, seed, shown
from ...errors import DataError
from ...spec import without_code
from ..extras import pick
from ..measurement import KNOWN, Measurement, Source
from ..numbers import dense, fields_of, listed
from ..pictures import ARRAYS, PICTURES, apart, from_pixels, is_picture, layers, pixels_of
from ..room import LARGEST, fits
from ..video import VIDEOS, animated, load_video
from . import read

AXES = 8  # of an image, at most


def load(source: Source) -> Measurement:
    """Any source as a measurement.

    uint8 and uint16 arrays are pixels, with channels last as in Pillow and NumPy or first as in a tensor. Other
    numbers are data in the units of y, which for images means [−1, 1]. `scan.h5#12` is item 12 of a file with several.
    Raises DataError for a source that cannot be read, is empty, or holds NaN or infinity.
    """
    if isinstance(source, Measurement):
        found = replace(source, y=dense(instance("y", source.y, Tensor, "a tensor"), source.origin))
    elif isinstance(source, str | Path):
        found = _from_file(*split(source))
    elif isinstance(source, Tensor):
        found = Measurement(_from_tensor(dense(source, "the measurement"), "the measurement"), pixels=counts(source))
    elif isinstance(source, np.ndarray):
        found = Measurement(_from_array(source, "the measurement"), pixels=counts(source))
    elif isinstance(source, Image.Image):
        found = _from_pillow(source)
    else:
        raise DataError(f"a measurement is a path, an array, a PIL image or a tensor, not {type(source).__name__}")
    if bad := int((~torch.isfinite(found.y.abs())).sum()):
        raise DataError(f"{found.origin}: holds {bad} values that are NaN or infinite")
    if found.y.numel() == 0:
        raise DataError(f"{found.origin}: is empty")
    return found


def _from_pillow(picture: Image.Image) -> Measurement:
    """A Pillow image; if it is what a file holds from which it was opened, that file, which tells more of it."""
    x, alpha = apart(pixels_of(picture), "the image")
    name = getattr(picture, "filename", None)
    if isinstance(name, str) and Path(name).suffix.lower() in PICTURES and Path(name).is_file():
        same, opaque = layers(name)
        if same.shape == x.shape and torch.equal(same, x) and (opaque is None) == (alpha is None):
            return _from_file(Path(name), None)
    return Measurement(x, origin="the image", pixels=True, physics={} if alpha is None else {"mask": alpha == 1})


def counts(x: np.ndarray | Tensor) -> bool:
    """Whether the numbers of an array are pixels, of 8 or 16 bits."""
    return x.dtype in (np.uint8, np.uint16, torch.uint8, torch.uint16)


def load_reference(source: Source) -> Tensor:
    """A true image (*image); if the file holds a measurement and its truth, the truth. Raises DataError like `load`."""
    found = load(source)
    if found.file is not None and "mask" in found.physics:
        raise DataError(f"{found.origin}: has transparent pixels; flatten it onto a background first")
    truth = found.y if found.truth is None else found.truth
    if truth.ndim == 0:
        raise DataError(f"{found.origin}: is a single number, and no image")
    return truth


def split(source: str | Path) -> tuple[Path, int | None]:
    """`scan.h5#12` as the path and the item; the item is None if there is a file with the whole name.

    Raises DataError if what follows # is not a number.
    """
    name, mark, item = str(source).rpartition("#")
    if not mark or Path(source).exists():
        return Path(source), None
    if not item.isdecimal():
        more = "; all slices of a volume are restored by xhat restore" if item == "all" else ""
        raise DataError(f"{source}: no such file, and {item!r} is no number of an item in {name}{more}")
    return Path(name), int(item)


def _from_file(path: Path, item: int | None) -> Measurement:
    suffix = path.suffix.lower()
    known = suffix in (*ARRAYS, *PICTURES, *VIDEOS)
    if (told := read(path, item, otherwise=known)) is not None:
        return told
    if animated(path):
        film = load_video(path)
        if item is not None:
            return Measurement(film.x[:, pick(film.x.shape[1], item, path, "frame")], origin=f"{path}#{item}")
        return Measurement(film.x, origin=str(path), file=path, rate=film.rate)
    if item is not None and suffix not in ARRAYS:
        raise DataError(f"{path}: is one picture, it has no items")
    if suffix not in ARRAYS:
        x, alpha = layers(path)
        hole = {} if alpha is None else {"mask": alpha == 1}
        return Measurement(x, origin=str(path), file=path, pixels=True, physics=hole)
    fields = fields_of(path, None if item is not None else LARGEST)
    if item is not None:
        return Measurement(_one_of_stack(fields, item, path), origin=f"{path}#{item}")
    if "y" not in fields and len(fields) == 1:
        fields = {"y": next(iter(fields.values()))}
    if "y" not in fields:
        raise DataError(f"{path}: has no entry 'y', only {listed(fields)}")
    y = fields["y"]
    if not isinstance(y, Tensor | np.ndarray):
        raise DataError(f"{path}: 'y' is no array but {type(y).__name__}")
    physics = {k: _plain(v) for k, v in fields.items() if k not in KNOWN}
    return Measurement(
        y=_from_tensor(y, path) if isinstance(y, Tensor) else _from_array(y, path),
        pixels=counts(y),
        image_shape=_shape(fields["image_shape"], path) if "image_shape" in fields else None,
        operator=_spec("operator", fields, path),
        noise=_spec("noise", fields, path),
        seed=seed(_plain(fields["seed"]), f"{path}: seed") if "seed" in fields else None,
        origin=str(path),
        physics=physics,
    )


def _shape(given: Any, path: Path) -> tuple[int, ...]:
    """The shape of an image, as a file says it. Raises DataError for anything but a few positive whole numbers."""
    try:
        row = np.asarray(given) if isinstance(given, Tensor | np.ndarray | list | tuple) else np.empty(())
        listed = row.ndim == 1 and 0 < len(row) <= AXES and np.isrealobj(row)
        shape = tuple(int(n) for n in row) if listed else ()
        if shape and min(shape) > 0 and (np.asarray(shape) == row).all():
            fits(4 * math.prod(shape), f"{path}: image_shape {shape}", LARGEST)
            return shape
    except (TypeError, ValueError, OverflowError, RuntimeError):  # torch has the last for what numpy cannot hold
        pass
    raise DataError(f"{path}: image_shape holds up to {AXES} positive whole numbers, not {str(given)[:60]!r}")


def _spec(name: str, fields: Mapping[str, Any], path: Path) -> str | None:
    """The spec of a part, as a file says it. Raises DataError for what is no text, and SpecError for code."""
    if name not in fields:
        return None
    said = _plain(fields[name])
    if not isinstance(said, str) or not said.strip():
        raise DataError(f"{path}: {name} is no text but {shown(said)}")
    return str(without_code(said, path))


def _one_of_stack(fields: Mapping[str, Any], item: int, path: Path) -> Tensor:
    """One image of a data set: of `x` or `y`, or the only entry, the images first."""
    name = next((n for n in ("x", "y") if n in fields), None) or (next(iter(fields)) if len(fields) == 1 else None)
    stack = None if name is None else fields[name]
    if not isinstance(stack, Tensor | np.ndarray) or stack.ndim < 2:
        raise DataError(f"{path}: has no stack of images x, only {listed(fields)}")
    one = stack[pick(len(stack), item, path, "image")]
    return _from_tensor(one, path) if isinstance(one, Tensor) else _from_array(one, path)


def _plain(v: Any) -> Any:
    """An entry of a file as an option: an array as a tensor, a number or text of no axes as itself."""
    if isinstance(v, np.ndarray) and v.ndim == 0:
        return v.item()
    return torch.from_numpy(v) if isinstance(v, np.ndarray) and v.dtype.kind in "biufc" else v


def _from_array(array: np.ndarray, origin: object) -> Tensor:
    if array.dtype in (np.uint8, np.uint16):
        if array.ndim == 3 and len(array) in (1, 3) and array.shape[-1] > 4:  # a picture as torch has it
            return from_pixels(array.transpose(1, 2, 0), origin)
        volume = array[0] if array.ndim == 4 and len(array) == 1 else array
        if volume.ndim == 3 and volume.shape[-1] > 4:  # no channels: slices, each (h, w)
            white = np.iinfo(array.dtype).max
            return torch.from_numpy(volume.astype(np.float32) / white * 2 - 1)[None]
        return from_pixels(array, origin)
    if array.dtype.kind not in "biufc":
        raise DataError(f"{origin}: holds {array.dtype} values, not numbers")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, which `load` refuses
        return torch.from_numpy(array.astype(np.complex64 if array.dtype.kind == "c" else np.float32))


def _from_tensor(x: Tensor, origin: object) -> Tensor:
    if x.dtype in (torch.uint8, torch.uint16):
        if not is_picture(tuple(x.shape)):
            raise DataError(f"{origin}: pixels of shape {tuple(x.shape)} are no image (1 or 3, h, w)")
        return from_pixels(x.permute(1, 2, 0).cpu().numpy(), origin)
    return x.to("cpu", torch.complex64 if x.is_complex() else torch.float32)
