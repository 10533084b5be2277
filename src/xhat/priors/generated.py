"""Closed-form priors that are fitted to generated pictures; each science derives its own from the one class here."""

from collections.abc import Callable
from typing import Annotated, ClassVar

import numpy as np
import torch

from ..checks import SEEDS, whole
from ..files.cache import cached
from ..files.pictures import from_pixels
from ..files.room import fits
from ..ranges import Range
from ..registry import Registry
from ..schedule import Schedule
from .low_rank import LowRankMixture, fit

Generator = Callable[[int, int, int], np.ndarray]  # (count, size, seed) → uint8 (count, size, size)

WORK = 100  # bytes for each pixel of the picture that is being made

# what `xhat generate` and the fitted priors draw their pictures from; each science brings its own
GENERATORS: Registry[Generator] = Registry("generators", None, {})


def check_pictures(prefix: str, count: int, size: int, seed: int) -> None:
    """Raises SpecError if so many pictures of `size` × `size` pixels cannot be generated, for their number, their size
    or the memory here; `prefix` stands before the name of an option.
    """
    whole(f"{prefix}count", count, 1, 10_000_000)
    whole(f"{prefix}size", size, 8, 4096)
    whole(f"{prefix}seed", seed, 0, SEEDS)
    fits(WORK * size**2 + count * size**2, f"{count} pictures of {size} x {size}")


Parts = Annotated[int, Range(1, 10_000)]  # components of a mixture, or directions of one
Pictures = Annotated[int, Range(1, 10_000_000)]
Pixels = Annotated[int, Range(8, 4_096)]  # the side of a picture


class Generated(LowRankMixture):
    """A mixture of `components` Gaussians of rank `rank`, fitted to `pictures` pictures of `xhat generate`.

    The pictures have `size` × `size` pixels and are made with the seed `seed`. They are made and fitted on first use,
    which takes minutes; the mixture is then kept in the cache. One component makes a plain Gaussian prior. No network
    is trained.
    """

    source = "generated pictures; closed form (Tipping & Bishop, 1999)"
    what: ClassVar[str]  # the name of the generator
    version: ClassVar[int] = 1  # version of the generator; it is part of the cache's key

    def __init__(
        self, components: Parts, rank: Parts, pictures: Pictures, size: Pixels, seed: int, schedule: Schedule
    ) -> None:
        key = f"{components};{rank};{pictures};{size};{seed};{self.version}"
        parts = cached(self.what, key, lambda: fitted(self.what, components, rank, pictures, size, seed))
        means = parts.pop("means").reshape(components, 1, size, size)
        super().__init__(means, **parts, schedule=schedule)


def fitted(what: str, components: int, rank: int, pictures: int, size: int, seed: int) -> dict[str, torch.Tensor]:
    """The mixture of `components` Gaussians of rank `rank` that fits pictures of the generator `what`.

    `pictures` of them, `size` × `size` pixels, are made from `seed`. The result holds the arguments of LowRankMixture,
    with `means` flat: (components, size²).
    """
    x = torch.stack([from_pixels(picture) for picture in GENERATORS[what](pictures, size, seed)])
    return fit(x.flatten(1), components, rank)
