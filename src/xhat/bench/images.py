"""Sets of test images; the name of each image determines its random stream and the key of its record."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Generator, Tensor

from ..errors import DataError, SpecError
from ..files.numbers import fields_of, listed
from ..files.photographs import PHOTOGRAPHS, photographs
from ..files.pictures import PICTURES, centre_crop, from_pixels, load_image, resize
from ..files.readers.load import load_reference
from ..priors import PowerLaw
from ..priors.generated import GENERATORS, check_pictures
from ..ranges import Checked, Range, Seed
from ..registry import Registry, concrete
from ..spec import build, text_of
from ..train.held import held_out

SIDE = Range(1, 2**13)  # of a square image
COUNT = Range(1, 1_000_000)  # of images


@dataclass(frozen=True)
class Images(Checked, ABC):
    """Images in a fixed order; a spec string builds one."""

    @property
    def one_shape(self) -> bool:
        """Whether all images are known to have the same shape."""
        return True

    @abstractmethod
    def names(self) -> list[str]:
        """One name per image, all different."""

    @abstractmethod
    def load(self, name: str) -> Tensor:
        """The image called `name`, (*image), float32 in [−1, 1] for pictures. Raises DataError if it cannot be read."""

    def file(self, name: str) -> Path | None:
        """The file that holds the image of that name; None if it comes from none, or from several."""
        return None


@dataclass(frozen=True)
class Photographs(Images):
    """The four photographs of the demo, as squares of `size` x `size`.

    `kind` grey is the mean over their colours.
    """

    size: Annotated[int, SIDE] = 256
    kind: Literal["colour", "grey"] = "colour"

    def names(self) -> list[str]:
        return list(PHOTOGRAPHS)

    def load(self, name: str) -> Tensor:
        x = photographs(self.size, (name,))[0]
        return x.mean(0, keepdim=True) if self.kind == "grey" else x


@dataclass(frozen=True)
class Folder(Images):
    """All pictures and arrays (.npy, .npz, .pt) of a folder and its subfolders, by name.

    With `size`, the central square of each picture is resized to size x size.
    """

    path: str
    size: Annotated[int, SIDE] | None = None

    @property
    def one_shape(self) -> bool:
        """Whether `size` makes all images equally large."""
        return self.size is not None

    def names(self) -> list[str]:
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise DataError(f"{self.path}: no such folder of images")
        wanted = (*PICTURES, ".npy", ".npz", ".pt")
        found = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.suffix.lower() in wanted)
        if not found:
            raise DataError(f"{self.path}: holds no images ({', '.join(wanted)})")
        return found

    def file(self, name: str) -> Path:
        return Path(self.path).expanduser() / name

    def load(self, name: str) -> Tensor:
        file = self.file(name)
        x = load_image(file) if file.suffix.lower() in PICTURES else load_reference(file)
        if self.size is None:
            return x
        if x.ndim != 3:
            raise DataError(f"{file}: size= is for pictures, not for shape {tuple(x.shape)}")
        side = min(x.shape[1:])
        return resize(centre_crop(x, side, side), self.size, self.size)


@dataclass(frozen=True)
class Stack(Images):
    """The images of one .npy or .npz array (n, *image) in units of [−1, 1]; `key` names the array of a .npz.

    uint8 arrays are pixels (n, h, w[, c]).
    """

    path: str
    key: str | None = None

    def names(self) -> list[str]:
        width = len(str(len(_stack(self.path, self.key)) - 1))
        return [f"{i:0{width}d}" for i in range(len(_stack(self.path, self.key)))]

    def file(self, name: str) -> Path:
        return Path(self.path).expanduser()

    def load(self, name: str) -> Tensor:
        one = _stack(self.path, self.key)[int(name)]
        if one.dtype == np.uint8:
            return from_pixels(one, f"{self.path}[{name}]")
        return torch.from_numpy(np.array(one, dtype=np.float32))


@lru_cache(2)
def _stack(path: str, key: str | None) -> np.ndarray:
    fields = fields_of(Path(path).expanduser())
    name = key or next(iter(fields))
    if name not in fields:
        raise DataError(f"{path}: has no array {key!r}, only {listed(fields)}")
    array = np.asarray(fields[name])
    if array.ndim < 2 or not len(array) or array.dtype.kind not in "fiu":
        raise DataError(f"{path}: {array.dtype} of shape {array.shape} is not a stack of images")
    return array


@dataclass(frozen=True)
class Held(Images):
    """The images of DATA that `xhat train denoiser DATA --recipe` holds out, prepared in the same way.

    A prior that was trained on the others has seen none of them.
    """

    path: str
    recipe: str = "small"

    def names(self) -> list[str]:
        return [f"held{i:04d}" for i in range(len(held_out(self.path, self.recipe)))]

    def load(self, name: str) -> Tensor:
        return held_out(self.path, self.recipe)[int(name[4:])]


@dataclass(frozen=True)
class Generated(Images):
    """Every `every`-th of `count` pictures of `xhat generate WHAT`; the default `seed` is not that of any prior.

    Of `vorticity` 32 pictures in a row are of one flow, so that `every=32` gives flows of their own.
    """

    what: str
    size: Annotated[int, Range(8, 4_096)] = 64
    count: Annotated[int, COUNT] = 8
    seed: Annotated[int, Seed] = 1000
    every: Annotated[int, COUNT] = 1

    def __post_init__(self) -> None:
        if self.what not in GENERATORS:
            raise SpecError(f"generated: what must be one of {', '.join(sorted(GENERATORS))}, not {self.what!r}")
        check_pictures("generated: ", self.count, self.size, self.seed)

    def names(self) -> list[str]:
        return [f"{self.what}{i:03d}" for i in range(0, self.count, self.every)]

    def load(self, name: str) -> Tensor:
        return from_pixels(_pictures(self.what, self.count, self.size, self.seed)[int(name[len(self.what) :])])


@lru_cache(2)
def _pictures(what: str, count: int, size: int, seed: int) -> np.ndarray:
    return GENERATORS[what](count, size, seed)


@dataclass(frozen=True)
class Fields(Images):
    """`count` draws of the `powerlaw` prior, square, clipped to [−1, 1]: images that need no file."""

    size: Annotated[int, SIDE] = 64
    channels: Annotated[int, Range(1, 64)] = 1
    count: Annotated[int, COUNT] = 8
    std: Annotated[float, Range(above=0, most=1e6)] = 0.3

    def names(self) -> list[str]:
        return [f"field{i:03d}" for i in range(self.count)]

    def load(self, name: str) -> Tensor:
        g = Generator().manual_seed(int(name[5:]))
        noise = torch.randn(1, self.channels, self.size, self.size, generator=g)
        return PowerLaw(std=self.std).sample(noise)[0].clamp(-1, 1)


IMAGES: Registry[type[Images]] = Registry("images", Images, concrete(vars(), Images))


@lru_cache(16)
def open_images(spec: str) -> Images:
    """The set of a spec string or of a folder's path.

    Raises SpecError or DataError if there is no such set, it is empty, or two images have the same name.
    """
    if not spec.strip():
        raise SpecError("the data are empty: give a spec (xhat list data) or a folder")
    if spec.partition(":")[0] not in IMAGES and Path(spec).expanduser().is_dir():
        spec = f"folder:path={text_of(spec)}"
    images = build(spec, IMAGES)
    names = images.names()
    if len(set(names)) < len(names) or not names:
        raise SpecError(f"{spec}: needs images of different names")
    return images
