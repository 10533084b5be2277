"""MRC images of electron microscopy: numbers and the size of a pixel (Cheng et al., J. Struct. Biol. 192, 2015)."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from ...errors import DataError
from ...files.extras import extra, pick, reason
from ...files.measurement import Measurement
from ...files.room import LARGEST, fits, regular
from ...files.writing import atomic
from .scaled import Scaled, plane, scaled


def read(path: Path, item: int | None) -> Measurement:
    """An image (1, h, w) of an MRC file, its first row above; of a stack or a volume `stack.mrcs#3` is number 3.

    Raises DataError for what is no MRC file, for complex numbers and several volumes.
    """
    regular(path)
    library = extra("mrcfile", str(path))
    name = str(path) if item is None else f"{path}#{item}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about labels
            with library.mmap(path, mode="r", permissive=False) as file:
                stack = file.data
                if stack.ndim not in (2, 3):
                    raise DataError(f"{path}: has the shape {stack.shape}; images and stacks of them are read")
                which = pick(len(stack) if stack.ndim == 3 else 1, item, path, "image")
                fits(4 * stack.shape[-1] * stack.shape[-2], path, LARGEST)
                values = np.array(stack[which] if stack.ndim == 3 else stack)
                size = float(file.voxel_size.y), float(file.voxel_size.x)
    except DataError:
        raise
    except Exception as e:  # the library's own errors, and numpy's if the bytes do not match the header
        raise DataError(f"{path}: cannot be read as MRC ({reason(e)})") from e
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    scale = scaled(values, name)
    return plane(values, scale, name, Micrograph(size, scale, (values.shape[0], values.shape[1])))


@dataclass(frozen=True)
class Micrograph:
    """The size of a pixel in ångström, (down, across), of an image of `shape` (h, w)."""

    pixel: tuple[float, float]
    scale: Scaled
    shape: tuple[int, int]

    def files(self, stem: str, x: Tensor) -> Mapping[str, Callable[[Path], object]]:
        """The MRC image of `x` (1, h, w), as wide as the one read."""
        return {f"{stem}.mrc": partial(self.write, x=x)}

    def write(self, path: Path, x: Tensor) -> None:
        """Writes the image `x` (1, h, w) to `path`."""
        library = extra("mrcfile", path.name)
        down, across = (p * old / new for p, old, new in zip(self.pixel, self.shape, x.shape[1:], strict=True))

        def put(file: Path) -> None:
            with library.new(file, overwrite=True) as made:
                made.set_data(self.scale.outside(x))
                made.voxel_size = (across, down, across)

        atomic(path, put)
