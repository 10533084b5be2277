"""From images of any size to training batches that depend on the recipe's seed and the step alone."""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad as pad_with

from ..errors import ANY, DataError, about
from ..files.pictures import centre_crop, resize
from ..rng import Rng
from .images import Named, eight_bit, read_images
from .recipe import DataOptions


@dataclass(frozen=True)
class Dataset:
    """uint8 images (c, h, w), for training and held out; all have one shape, unless `patch` cuts them to it."""

    train: list[Tensor]
    held: list[Tensor]
    shape: tuple[int, int, int]
    options: DataOptions

    def batch(self, indices: Sequence[int], rng: Rng) -> Tensor:
        """The training images `indices` in [−1, 1], (b, c, h, w), each cut and flipped by its own stream of `rng`."""
        draws = rng.rand_like(torch.empty(len(indices), 3)).tolist()
        return torch.stack([self._one(self.train[i], *u) for i, u in zip(indices, draws, strict=True)])

    def _one(self, image: Tensor, top: float, left: float, flip: float) -> Tensor:
        _, h, w = self.shape
        i, j = int(top * (image.shape[1] - h + 1)), int(left * (image.shape[2] - w + 1))
        cut = image[:, i : i + h, j : j + w]
        return scaled(cut.flip(-1) if self.options.flip and flip < 0.5 else cut)

    def validation(self, most: int) -> Tensor:
        """Up to `most` held-out images in [−1, 1], (n, c, h, w); their central patch if there are patches."""
        return torch.stack([scaled(centre_crop(x, *self.shape[1:])) for x in self.held[:most]])

    def pictures(self, x: Tensor) -> Tensor:
        """The images of a prior as pictures that can be looked at; `x` itself here."""
        return x

    def std(self) -> float:
        """The standard deviation of all pixels in units of [−1, 1], measured on up to 2000 images."""
        few = self.train[:: max(1, len(self.train) // 2000)]
        n = sum(x.numel() for x in few)
        mean = sum(float(scaled(x).double().sum()) for x in few) / n
        return float((sum(float((scaled(x).double() - mean).square().sum()) for x in few) / n) ** 0.5)


def scaled(x: Tensor) -> Tensor:
    """uint8 pixels as float32 in [−1, 1]."""
    return x.float() / 127.5 - 1


def load(path: str | Path, options: DataOptions) -> Dataset:
    """The images at `path`, cropped, padded and split as `options` say.

    Images smaller than `patch` are left out with a warning. Raises DataError that names the image which does not fit,
    or if none is left.
    """
    named = read_images(path)
    channels: int = options.channels or max(x.shape[0] for _, x in named)
    named = _large([(name, _fitted(name, coloured(x, channels), options)) for name, x in named], options.patch)
    first, image = named[0]
    shape = (channels, *((options.patch,) * 2 if options.patch else image.shape[1:]))
    for name, x in named:
        if not options.patch and tuple(x.shape) != shape:
            sizes = f"{name} is {size(x)}, {first} is {size(image)}"
            raise DataError(f"images of several sizes: {sizes}; use square, pad or patch to make them one")
    with about(path, ANY):
        held, train = split([x for _, x in named], options.validation)
    return Dataset(train, held, (channels, int(shape[1]), int(shape[2])), options)


def size(x: Tensor) -> str:
    """The size of an image (c, h, w) as text."""
    return f"{x.shape[1]}x{x.shape[2]}"


def coloured(x: Tensor, channels: int) -> Tensor:
    """`x` (c, h, w) with 1 or 3 `channels`.

    Grey is made from colour with the luma weights of ITU-R BT.601, colour from grey by repetition.
    """
    if x.shape[0] == channels:
        return x
    if channels == 3:
        return x.expand(3, -1, -1)
    return (torch.tensor([0.299, 0.587, 0.114]) @ x.float().flatten(1)).round().to(torch.uint8).view(1, *x.shape[1:])


def _fitted(name: str, x: Tensor, options: DataOptions) -> Tensor:
    """The image squared and padded."""
    if n := options.square:
        side = min(x.shape[1:])
        x = centre_crop(x, side, side)
        x = x if side == n else eight_bit(resize(scaled(x), n, n))
    if n := options.pad:
        down, across = n - x.shape[1], n - x.shape[2]
        if min(down, across) < 0:
            raise DataError(f"{name}: {size(x)} is larger than pad = {n}")
        x = pad_with(x, (across // 2, across - across // 2, down // 2, down - down // 2))
    return x.contiguous()


def _large(named: list[Named], patch: int) -> list[Named]:
    """Those that hold a patch."""
    small = [f"{name}: {size(x)}" for name, x in named if patch > min(x.shape[1:])]
    if len(small) == len(named):
        raise DataError(f"{small[0]} is smaller than patch = {patch}, and so are all")
    if small:
        warnings.warn(f"left out, smaller than patch = {patch}: {len(small)}, first {small[0]}", stacklevel=3)
    return [(name, x) for name, x in named if patch <= min(x.shape[1:])]


def split(images: list[Tensor], held: int) -> tuple[list[Tensor], list[Tensor]]:
    """(held out, rest): the `held` images whose pixels have the smallest hash are held out, whatever their names and
    order.

    Raises DataError if that leaves none for training.
    """
    fewer = f"--set data.validation={max(1, len(images) // 10)} holds out a tenth"
    if len(images) <= held:
        text = f"{len(images)} images, and validation = {held} of them to be held out leaves none to train on; {fewer}"
        raise DataError(text)
    if 2 * held > len(images):
        text = f"{held} of {len(images)} images are held out, {len(images) - held} are left to train on; {fewer}"
        warnings.warn(text, stacklevel=2)
    keys = [hashlib.blake2b(x.numpy().tobytes(), digest_size=16).digest() for x in images]
    order = sorted(range(len(images)), key=keys.__getitem__)
    chosen = set(order[:held])
    return [images[i] for i in order[:held]], [x for i, x in enumerate(images) if i not in chosen]


class Order:
    """Which image the i-th training example is: each epoch has its own permutation, a function of (seed, epoch)."""

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.seed, self.epoch = n, seed, -1
        self.permutation = np.empty(0, np.int64)

    def __call__(self, i: int) -> int:
        epoch, place = divmod(i, self.n)
        if epoch != self.epoch:
            self.epoch, self.permutation = epoch, np.random.default_rng([self.seed, epoch]).permutation(self.n)
        return int(self.permutation[place])


def stream(seed: int, examples: Sequence[int]) -> Rng:
    """One random stream for each training example, whichever process and batch works on it."""
    return Rng([int(np.random.SeedSequence([seed, i]).generate_state(1)[0]) for i in examples])
