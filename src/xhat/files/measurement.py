"""A measurement on its way into the package, with what is known about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Union, runtime_checkable

import numpy as np
from PIL import Image
from torch import Tensor

from ..checks import path as checked_path
from ..errors import DataError
from ..notes import note
from ..spec import names_code
from .cut import Window
from .pictures import PICTURES, is_picture, save_image
from .show import html, line
from .volume import Grid
from .writing import atomic

KNOWN = ("y", "image_shape", "operator", "noise", "seed")
Source = Union[str, Path, np.ndarray, Image.Image, Tensor, "Measurement"]


@runtime_checkable
class Native(Protocol):
    """The format that a picture came in, for the pictures that go out."""

    def files(self, stem: str, x: Tensor) -> Mapping[str, Callable[[Path], object]]:
        """The writers, by file name, of an image (1, h, w) in the numbers, units and place of the file."""
        ...


@dataclass(frozen=True, repr=False)
class Measurement:
    """One measurement `y`, shape (*data), without a batch axis; `simulate` fills in how it was made.

    Example:

        y = xhat.Measurement(kspace, image_shape=(2, 320, 320), operator="mri:mask=lines.npy", physics={"maps": maps})
        r = xhat.restore(y, noise="gaussian:sigma=0.01", solver="tv")  # kspace is complex, (coils, 320, 320)
    """

    y: Tensor
    image_shape: tuple[int, ...] | None = None
    operator: str | None = None
    noise: str | None = None
    seed: int | None = None
    origin: str = "the measurement"
    physics: Mapping[str, Any] = field(default_factory=dict)  # what the file says about the operator, by option name
    truth: Tensor | None = None  # the image that it is of, if the file holds it
    file: Path | None = None  # the file of a picture: what else it says can be looked up there
    pixels: bool = False  # y was pixels: a picture from a file, or of 8 or 16 bits in memory
    guessed: Mapping[str, str] = field(default_factory=dict)  # `operator` and `noise` where they are guesses
    window: Window | None = None  # the part of the file's picture that y is; None: all of it
    resized: bool = False  # y was made smaller or larger after that
    grid: Grid | None = None  # where the voxels lie, and the file's numbers, if y is a volume from a file
    native: Native | None = None  # how images go out in the format that y came in, if that is no picture's
    affine: np.ndarray | None = None  # of a plane: (column, row, slice) to millimetres, RAS+ (`Grid.affine`)
    rate: float | None = None  # frames a second, if y is a video from a file
    reader: str | None = None  # the module of the reader that made it of its file
    parts: Mapping[str, Any] = field(default_factory=dict)  # `operator`, `noise`: objects that no file holds
    scale: float = 1.0  # the file's numbers are `scale` times those of y and the image

    def __repr__(self) -> str:
        return f"<Measurement: {self._line()}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the picture if it is one, of a complex one its size."""
        y = self.y.abs() / self.y.abs().max().clamp_min(1e-12) * 2 - 1 if self.y.is_complex() else self.y
        return html([("measurement", y)] if is_picture(tuple(y.shape)) else [], self._line())

    def _line(self) -> str:
        return line(tuple(self.y.shape), self.operator or "", self.noise or "")

    def save(self, path: str | Path, depth: int = 8) -> None:
        """Writes it as a picture, which clips to [−1, 1] and rounds to `depth` bits, or as `.npz`, which keeps
        everything but parts of your own, `package.module:Class`: no file may name code.

        Raises DataError for another suffix, or if a picture cannot hold it.
        """
        path = checked_path(path)
        suffix = path.suffix.lower()
        if suffix in PICTURES:
            return save_image(path, self.y, depth)
        if suffix != ".npz":
            raise DataError(f"{path}: measurements are written as .npz or as a picture ({', '.join(PICTURES)})")
        specs = {"operator": self.operator, "noise": self.noise}
        for name, spec in specs.items():
            if found := names_code(spec):
                specs[name] = None
                note(
                    "%s does not say its %s: %s is code, which no file may name; give it to restore", path, name, found
                )
        known: dict[str, Any] = {"image_shape": self.image_shape, **specs, "seed": self.seed}
        known |= {k: v.cpu() if isinstance(v, Tensor) else v for k, v in self.physics.items()}
        arrays: dict[str, Any] = {k: np.asarray(v) for k, v in known.items() if v is not None}
        return atomic(path, lambda file: np.savez_compressed(file, y=self.y.cpu().numpy(), **arrays))
