"""Blur kernels: where they come from, and which are refused. A kernel is (1 or b, odd height, odd width), sum 1."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError, ShapeError
from ..files.numbers import array_of
from ..files.pictures import opened
from ..files.room import LARGEST
from .checks import Number, seeds_of

Array = str | Path | Tensor | np.ndarray


def gaussian_taps(std: Number, size: int) -> Tensor:
    """One axis of a Gaussian kernel, exp(−i²/2 std²), cut at 4 std as SciPy does and at `size`; sum 1."""
    reach = min(int(4 * std + 0.5), (size - 1) // 2)
    i = torch.arange(-reach, reach + 1, dtype=torch.float64)
    taps = torch.exp(-(i**2) / (2 * std**2))
    return taps / taps.sum()


def motion_kernels(size: int, intensity: Number, seed: int | Sequence[int]) -> Tensor:
    """One camera-shake kernel for each seed, (seeds, height, width), each with the sum 1."""
    return trim(torch.stack([motion_kernel(size, intensity, s) for s in seeds_of(seed)]))


def motion_kernel(size: int, intensity: Number, seed: int) -> Tensor:
    """The path of a shaking camera, (size, size), drawn as a smooth random walk and blurred by about half a pixel.

    The heading turns by a Gaussian angle that grows with `intensity` in [0, 1]: 0 is nearly a straight line, 1 a knot.
    A random impulsive shake turns it around. After the idea of github.com/LeviBorodenko/motionblur, with other numbers;
    the path fills about half of `size`.
    """
    g = torch.Generator().manual_seed(seed)
    n = 40 * size
    turn = torch.randn(n, generator=g, dtype=torch.float64) * (0.5 + 5 * intensity) / n**0.5
    shake = torch.rand(n, generator=g, dtype=torch.float64) < 4 * intensity / n
    turn = turn + shake * torch.pi * (0.5 + torch.rand(n, generator=g, dtype=torch.float64))
    heading = 2 * torch.pi * torch.rand(1, generator=g, dtype=torch.float64) + turn.cumsum(0)
    pace = (0.3 * intensity * torch.randn(n, generator=g, dtype=torch.float64)).exp()
    path = (pace * torch.polar(torch.ones_like(heading), heading)).cumsum(0)
    path = torch.view_as_real(path - path.mean())
    length = (0.5 + 0.25 * torch.rand(1, generator=g, dtype=torch.float64)) * size / 2
    path = path / path.abs().max() * torch.minimum(length, torch.tensor(size / 2 - 2.0).clamp_min(0.5))
    return splat(path + (size - 1) / 2, size)


def splat(path: Tensor, size: int) -> Tensor:
    """A kernel with equal weight at every point of `path` (n, 2), in pixels, shared among the four nearest pixels."""
    low = path.floor().long()
    part = path - low
    kernel = torch.zeros(size, size, dtype=torch.float64)
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (part[:, 0] if dy else 1 - part[:, 0]) * (part[:, 1] if dx else 1 - part[:, 1])
            at = ((low[:, 0] + dy).clamp(0, size - 1), (low[:, 1] + dx).clamp(0, size - 1))
            kernel.index_put_(at, weight, accumulate=True)
    soft = torch.tensor([0.1, 0.8, 0.1], dtype=torch.float64)
    soft = (soft[:, None] * soft)[None, None]
    return normalised(torch.nn.functional.conv2d(kernel[None, None], soft, padding=1)[0, 0])


def load_kernel(kernel: Array) -> Tensor:
    """Kernels, (1 or images, height, width) in float64, from a png, npy, npz or txt file, or an array.

    Each is divided by its sum. Raises DataError if it is no kernel.
    """
    k = torch.as_tensor(read(kernel) if isinstance(kernel, str | Path) else kernel).detach().cpu().double()
    if k.ndim not in (2, 3) or k.numel() == 0:
        raise DataError(f"a kernel has shape (height, width), or (images, height, width), not {tuple(k.shape)}")
    return trim(normalised(k[None] if k.ndim == 2 else k))


def read(path: str | Path) -> np.ndarray:
    """The array in a file, of any shape, as float64. Raises DataError if it cannot be read."""
    path = Path(path)
    try:
        if path.suffix in (".npy", ".npz"):
            return np.asarray(array_of(path, ("kernel",), LARGEST), float)
        if path.suffix == ".txt":
            return np.loadtxt(path, ndmin=2)
        with opened(path) as image:
            return np.asarray(image.convert("F"), float)
    except (OSError, ValueError, IndexError) as e:
        raise DataError(f"cannot read a kernel from {path}: {e}") from e


def normalised(k: Tensor) -> Tensor:
    """Each kernel of `k`, (…, height, width), divided by its sum.

    Raises DataError if one is not finite or has a sum that is not positive.
    """
    total = k.sum((-2, -1), keepdim=True)
    if not torch.isfinite(k).all() or not (total > 1e-12 * k.abs().amax((-2, -1), keepdim=True)).all():
        raise DataError("a kernel must be finite and have a positive sum")
    return k / total


def trim(k: Tensor) -> Tensor:
    """The kernel without its border of zeros, with the centre (size // 2) still in the middle; its sides become odd."""
    for axis in (-2, -1):
        size, used = k.shape[axis], (k != 0).transpose(axis, 0).flatten(1).any(1).nonzero()
        reach = int((used - size // 2).abs().max())
        before, after = reach - size // 2, reach - (size - 1 - size // 2)
        k = torch.nn.functional.pad(k, [before, after] if axis == -1 else [0, 0, before, after])
    return k


def fits(kernel: Tensor, h: int, w: int, room: int) -> None:
    """Raises ShapeError if a kernel, (…, height, width), wraps around an image of h × w pixels.

    `room` = 1 demands that it reaches less than a whole side beyond its centre, which reflection needs.
    """
    kh, kw = kernel.shape[-2:]
    if (kh // 2 >= h or kw // 2 >= w) if room else (kh > h or kw > w):
        raise ShapeError(f"a kernel of {kh}x{kw} nonzero pixels is too large for an image of {h}x{w}")
