from typing import ClassVar

import torch

from ..errors import SpecError
from ..files.cache import cached
from ..files.pictures import from_pixels
from ..schedule import Schedule
from ..science.generated import GENERATORS
from .low_rank import LowRankMixture, fit


class Generated(LowRankMixture):
    """A mixture of `components` Gaussians of rank `rank`, fitted to `pictures` pictures of `xhat generate`.

    The pictures have `size` × `size` pixels and the seed `seed`; they are made and fitted on first use, which takes
    minutes, and the mixture is kept in the cache. One component is a plain Gaussian prior. No network was trained.
    """

    source = "generated pictures; closed form (Tipping & Bishop, 1999)"
    what: ClassVar[str]  # is generated
    version: ClassVar[int] = 1  # of the pictures: part of the cache's key

    def __init__(self, components: int, rank: int, pictures: int, size: int, seed: int, schedule: Schedule) -> None:
        if min(components, rank, pictures, size) < 1:
            raise SpecError(f"{self.what}: components, rank, pictures and size must be at least 1")
        key = f"{components};{rank};{pictures};{size};{seed};{self.version}"
        parts = cached(self.what, key, lambda: fitted(self.what, components, rank, pictures, size, seed))
        means = parts.pop("means").reshape(components, 1, size, size)
        super().__init__(means, **parts, schedule=schedule)


def fitted(what: str, components: int, rank: int, pictures: int, size: int, seed: int) -> dict[str, torch.Tensor]:
    x = torch.stack([from_pixels(picture) for picture in GENERATORS[what](pictures, size, seed)])
    return fit(x.flatten(1), components, rank)
