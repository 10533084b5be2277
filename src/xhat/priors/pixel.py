"""What priors of pictures share that are a convolutional network: any size, colour or grey, large ones in tiles."""

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from ..errors import MismatchError
from ..schedule import Level
from ..types import Image
from .base import SIDE, Prior
from .calibrate import Calibration
from .precondition import Coefficients, Precondition
from .tiles import in_tiles


class PixelPrior(Prior):
    """A network for images of `channels` channels, in its own dtype; everything around it is in the dtype of the image.

    `size` is the only (height, width) that it takes, or None if it takes all; sides are mirrored up to multiples of
    `multiple` for the network. A network of colour images takes grey ones, too: as they are if it is `grey`, that is,
    trained on them, otherwise with noise added to their colours. The output is not clipped to [−1, 1].
    """

    net: Any
    precondition: Precondition
    channels: int
    multiple: int
    size: tuple[int, ...] | None = None
    grey: bool = False
    calibration: Calibration | None = None

    @abstractmethod
    def network(self, x: Tensor, time: float) -> Tensor:
        """The network alone, with `x` (b, channels, h, w) converted to its dtype and pixel arrangement and back."""

    def specimen(self, shape: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
        return (self.channels, *(self.size or (SIDE, SIDE))) if self.channels in (1, 3) else None

    def judged(self, u: Tensor, rho: float) -> Tensor:
        return self.denoise(u, rho)

    def check(self, shape: tuple[int, ...]) -> None:
        takes = (self.channels, 1) if self.channels == 3 else (self.channels,)
        if len(shape) != 3 or shape[0] not in takes or self.size not in (None, shape[1:]):
            h, w = self.size or ("height", "width")
            sizes = " or ".join(f"({c}, {h}, {w})" for c in takes)
            raise MismatchError(f"this prior knows images of shape {sizes}, the problem has {tuple(shape)}")

    def mse(self, t: Level) -> float | None:
        """The error as measured on photographs of `channels` channels, interpolated; None without a table."""
        return self.calibration(t.ratio) if self.calibration else None

    def forward(self, x: Image, t: Level) -> Image:
        self.check(tuple(x.shape[1:]))
        u = x / t.alpha
        if x.shape[1] == self.channels:
            return self.denoise(u, t.ratio)
        if self.grey:
            return self.denoise(u.expand(-1, self.channels, -1, -1), t.ratio).mean(1, keepdim=True)
        # White RGB noise of std √3 ρ is a common grey part of std ρ plus chroma. With the chroma added, a grey image
        # with noise looks like those the network was trained on; without it, the network takes grey noise for texture.
        rho = math.sqrt(3) * t.ratio
        return self.denoise(u + rho * chroma(*u.shape[-2:]).to(u), rho).mean(1, keepdim=True)

    def denoise(self, u: Tensor, ratio: float) -> Tensor:
        """x̂₀ from u = x₀ + ρ ε with ρ = `ratio`, both (b, channels, h, w)."""
        c = self.precondition(ratio)
        run: Callable[[Tensor], Tensor] = lambda part: estimate(self.network, c, part, self.multiple)
        return run(u) if self.size else in_tiles(run, u, self.multiple)


def calibration_of(root: Path) -> Calibration | None:
    """The table in the folder `root`, or None if there is none."""
    table = root / "calibration.json"
    return Calibration.read(table) if table.exists() else None


def in_blocks(
    run: Callable[[Tensor, Tensor], Tensor], x: Tensor, when: Tensor, block: int, dtype: torch.dtype
) -> Tensor:
    """The output of a network for `x` (b, c, h, w) at times `when` (b,).

    `run` is called in `dtype`, on `block` × `block` pixels rearranged as channels.
    """
    z = pixel_unshuffle(x, block).to(dtype, memory_format=torch.channels_last)
    z = run(z, when)[:, : z.shape[1]]  # a learned variance comes second
    return pixel_shuffle(z.to(x.dtype), block)


def estimate(network: Callable[[Tensor, float], Tensor], c: Coefficients, u: Tensor, multiple: int) -> Tensor:
    """x̂₀ from u = x₀ + ρ ε, both (b, channels, h, w), with the coefficients `c` of ρ.

    `network(x, time)` is called on images whose sides are padded to multiples of `multiple`.
    """
    h, w = u.shape[-2:]
    u = pad(u, multiple)
    raw = network(c.into * u + c.shift, c.noise)
    return (c.skip * u + c.out * raw)[..., :h, :w]


@lru_cache(maxsize=4)
def chroma(h: int, w: int) -> Tensor:
    """White RGB noise of unit standard deviation minus its grey part, (1, 3, h, w).

    It is always the same noise, so that a denoiser remains a function of its input.
    """
    noise = torch.randn(1, 3, h, w, generator=torch.Generator().manual_seed(0))
    return noise - noise.mean(1, keepdim=True)


def pad(x: Tensor, multiple: int) -> Tensor:
    """`x`, (…, h, w), mirrored at the bottom and right edges until both sides are multiples of `multiple`."""
    for dim in (-2, -1):
        if extra := -x.shape[dim] % multiple:
            x = x.index_select(dim, mirror(x.shape[dim], x.shape[dim] + extra).to(x.device))
    return x


def mirror(n: int, total: int) -> Tensor:
    """`total` indices that bounce between the ends of n pixels: 0, 1, …, n − 1, n − 2, …, 1, 0, 1, …"""
    period = max(1, 2 * (n - 1))
    i = torch.arange(total) % period
    return torch.minimum(i, period - i)
