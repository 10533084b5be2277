"""Kinds of images: how one is taken from a file, scored, shown and written.

Every operator names the `modality` of its images. Nobody else counts axes or channels to find out what an image is:
two channels may be a complex number at each pixel or two measured quantities, and only the operator knows.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..files.pictures import normalised, save_array, save_image
from .answer import Answer

Put = Callable[[Path], object]  # writes a file
SLICES = 16  # as many planes of a volume, a video or a stack are shown at most


@dataclass(frozen=True, kw_only=True)
class Modality(ABC):
    """A kind of image. Images have the shape (*image), no batch axis, and lie in [−1, 1] by convention."""

    name: str  # in messages
    metrics: tuple[str, ...] = ("psnr", "ssim")  # reported by default; those that do not take an image are left out

    @abstractmethod
    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether images of this kind may have this shape."""

    @abstractmethod
    def plane(self, x: Tensor) -> Tensor | None:
        """The numbers of an image, or of a deviation between images, laid out in a plane, (1 or 3, h, w).

        None if they have no place in a plane.
        """

    def as_image(self, x: Tensor) -> Tensor:
        """What a file holds, as an image of this kind: the same unless overridden."""
        return x

    def metric(self, name: str) -> str:
        """The metric that stands for `name` here; complex images, for instance, have a PSNR of their own."""
        return name

    def show(self, x: Tensor) -> Tensor | None:
        """An image as a picture to look at, (1 or 3, h, w) in [−1, 1]; None if there is none."""
        return self.plane(x)

    def write(self, images: Mapping[str, Tensor], depth: int) -> dict[str, Put]:
        """The writers, by file name, of images by the stem of their name; pictures have `depth` bits."""
        return {f"{stem}.npy": partial(save_array, x=x) for stem, x in images.items()}

    def write_std(self, std: Tensor, depth: int) -> dict[str, Put]:
        """The writers of a standard deviation, (*image)."""
        return {"std.npy": partial(save_array, x=std)}

    def files(self, answer: Answer) -> Mapping[str, Put]:
        """What the field expects beside pictures and arrays, writers by file name: none unless overridden."""
        return {}

    def voxels(self, x: Tensor) -> np.ndarray:
        """An image with its axes as imaging formats count them, (column, row[, slice][, frame][, channel]), float32.

        A single channel has no axis.
        """
        numbers: np.ndarray = x.detach().cpu().float().numpy().transpose()
        return numbers[..., 0] if numbers.ndim > 1 and numbers.shape[-1] == 1 else numbers

    def parts(self, x: Tensor) -> dict[str, np.ndarray]:
        """What imaging formats hold of an image, `voxels` by the end of the file's name."""
        return {"": self.voxels(x)}

    def most(self, std: Tensor) -> float:
        """The largest of the standard deviations (*image): the white of `std.png`."""
        return float(std.max())


class Raster(Modality):
    """What is written as PNG: planes of numbers in [−1, 1], black to white, or three of them as red, green and blue."""

    channels: int

    def fits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 3 and shape[0] == self.channels

    def plane(self, x: Tensor) -> Tensor | None:
        return x

    def write(self, images: Mapping[str, Tensor], depth: int) -> dict[str, Put]:
        return {f"{stem}.png": partial(save_image, x=x, depth=depth) for stem, x in images.items()}

    def write_std(self, std: Tensor, depth: int) -> dict[str, Put]:
        return {"std.png": partial(save_image, x=scaled(std), depth=depth)}


@dataclass(frozen=True, kw_only=True)
class Picture(Raster):
    """Grey (1, h, w) or colour (3, h, w) pictures."""

    channels: int


@dataclass(frozen=True, kw_only=True)
class Complex(Modality):
    """A complex number at each pixel, (real, imaginary), (2, h, w).

    Written as complex arrays, and as pictures of the magnitude in which 0 is black and the largest of all is white.
    """

    name: str = "complex image"
    metrics: tuple[str, ...] = ("magnitude_psnr", "magnitude_ssim")

    def fits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 3 and shape[0] == 2

    def metric(self, name: str) -> str:
        return f"magnitude_{name}" if name in ("psnr", "ssim") else name

    def as_image(self, x: Tensor) -> Tensor:
        """A complex (h, w) image, or a grey (1, h, w) one with black as 0 and white as 1, as (2, h, w).

        Other images are returned as they are.
        """
        if x.is_complex():
            return torch.view_as_real(x.reshape(x.shape[-2:])).permute(2, 0, 1) if x.shape[:-2].numel() == 1 else x
        return torch.cat([(x + 1) / 2, torch.zeros_like(x)]) if x.ndim == 3 and len(x) == 1 else x

    def plane(self, x: Tensor) -> Tensor | None:
        return x.square().sum(0, keepdim=True).sqrt()

    def show(self, x: Tensor) -> Tensor | None:
        return normalised(x.square().sum(0, keepdim=True).sqrt())

    def write(self, images: Mapping[str, Tensor], depth: int) -> dict[str, Put]:
        white = max(max(float(x.square().sum(0).max()) ** 0.5 for x in images.values()), 1e-12)
        files: dict[str, Put] = {}
        for stem, x in images.items():
            size = x.square().sum(0, keepdim=True).sqrt() / white
            files[f"{stem}.npy"] = partial(save_array, x=torch.complex(x[0], x[1]))
            files[f"{stem}.png"] = partial(save_image, x=2 * size - 1, depth=depth)
        return files

    def write_std(self, std: Tensor, depth: int) -> dict[str, Put]:
        """The deviation of the complex number as a picture, that of its two parts as an array."""
        together = std.square().sum(0, keepdim=True).sqrt()
        return super().write_std(std, depth) | {"std.png": partial(save_image, x=scaled(together), depth=depth)}

    def most(self, std: Tensor) -> float:
        return float(std.square().sum(0).sqrt().max())

    def voxels(self, x: Tensor) -> np.ndarray:
        """The magnitude of the complex image, in the order of axes of `Modality.voxels`."""
        return super().voxels(x.square().sum(0, keepdim=True).sqrt())

    def parts(self, x: Tensor) -> dict[str, np.ndarray]:
        """The magnitude, which every viewer shows, and the complex numbers, complex64."""
        whole: np.ndarray = torch.complex(x[0], x[1]).detach().cpu().numpy().transpose()
        return {"": self.voxels(x), "_complex": whole}


@dataclass(frozen=True, kw_only=True)
class Volume(Modality):
    """A volume (1, slices, rows, columns), shown as some of its slices."""

    name: str = "volume"

    def fits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 4 and shape[0] == 1

    def as_image(self, x: Tensor) -> Tensor:
        """A file may also hold (slices, rows, columns)."""
        return x[None] if x.ndim == 3 else x

    def plane(self, x: Tensor) -> Tensor | None:
        return sheet(x.transpose(0, 1))


@dataclass(frozen=True, kw_only=True)
class Video(Modality):
    """A grey or colour video (1 or 3, frames, rows, columns), shown as some of its frames."""

    name: str = "video"

    def fits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 4 and shape[0] in (1, 3)

    def plane(self, x: Tensor) -> Tensor | None:
        return sheet(x.transpose(0, 1))

    def voxels(self, x: Tensor) -> np.ndarray:
        """With one slice, since time is the fourth axis of imaging formats."""
        return super().voxels(x)[:, :, None]


@dataclass(frozen=True, kw_only=True)
class Plain(Modality):
    """Numbers of any shape of which nothing more is known: real channels that are no colours, for instance."""

    name: str = "array of numbers"

    def fits(self, shape: tuple[int, ...]) -> bool:
        return True

    def plane(self, x: Tensor) -> Tensor | None:
        """The planes side by side, none of them mixed with another."""
        if x.ndim < 2 or min(x.shape[-2:]) < 2:
            return None
        return sheet(x.reshape(-1, 1, *x.shape[-2:]))


PICTURE, GREY = Picture(name="colour picture", channels=3), Picture(name="grey picture", channels=1)
COMPLEX, VOLUME, VIDEO, PLAIN = Complex(), Volume(), Video(), Plain()


def by_shape(shape: tuple[int, ...]) -> Modality:
    """What an image is taken for if its operator does not tell: (1, h, w) is grey, (3, h, w) is colour,
    (1, d, h, w) is a volume, (3, d, h, w) is a video, everything else is plain numbers.
    """
    return next(m for m in (GREY, PICTURE, VOLUME, VIDEO, PLAIN) if m.fits(shape))


def fitting(wanted: Modality, shape: tuple[int, ...]) -> Modality:
    """`wanted`, or what an image of `shape` is taken for if it is none."""
    return wanted if wanted.fits(shape) else by_shape(shape)


def scaled(std: Tensor) -> Tensor:
    """A standard deviation, of any shape, as a picture in [−1, 1]: black where it is 0 and white at its maximum."""
    return std / std.max().clamp_min(1e-12) * 2 - 1


def sheet(planes: Tensor, most: int = SLICES) -> Tensor:
    """Up to `most` of the planes (n, c, h, w), evenly spread, side by side in rows: (c, height, width)."""
    n = min(most, len(planes))
    picks = [round(i * (len(planes) - 1) / max(1, n - 1)) for i in range(n)]
    columns = math.ceil(n**0.5)
    rows = -(-n // columns)
    _, c, h, w = planes.shape
    out = planes.new_full((rows * columns, c, h, w), float(planes.min()))
    out[:n] = planes[picks]
    return out.reshape(rows, columns, c, h, w).permute(2, 0, 3, 1, 4).reshape(c, rows * h, columns * w)
