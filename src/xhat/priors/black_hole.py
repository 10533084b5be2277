import torch

from ..cache import cached
from ..errors import SpecError
from ..schedule import EDM
from .low_rank import LowRankMixture, fit


class BlackHolePictures(LowRankMixture):
    """Synthetic pictures of black holes, and of blobs and discs: a mixture of Gaussians fitted to generated ones.

    `components` Gaussians of rank `rank`, fitted to `pictures` pictures of `xhat generate blackhole` of `size` pixels
    and `seed`, grey in [−1, 1]: minutes on first use, kept in the cache. One component is a plain Gaussian prior,
    which knows how large and how smooth a picture is but nothing of rings. No network was trained.
    """

    source = "generated pictures; closed form (Tipping & Bishop, 1999)"

    def __init__(
        self, components: int = 40, rank: int = 80, pictures: int = 8000, size: int = 64, seed: int = 0
    ) -> None:
        if min(components, rank, pictures, size) < 1:
            raise SpecError("black_hole: components, rank, pictures and size must be at least 1")
        key = f"{components};{rank};{pictures};{size};{seed};1"
        parts = cached("black_hole", key, lambda: fitted(components, rank, pictures, size, seed))
        means = parts.pop("means").reshape(components, 1, size, size)
        super().__init__(means, **parts, schedule=EDM(0.01, 20.0))


def fitted(components: int, rank: int, pictures: int, size: int, seed: int) -> dict[str, torch.Tensor]:
    from ..vlbi.generate import generate

    x = torch.from_numpy(generate(pictures, size, seed)).flatten(1).float() / 127.5 - 1
    return fit(x, components, rank)
