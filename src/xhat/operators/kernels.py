"""Blur kernels: where they come from, and which are refused. A kernel is (1 or b, odd height, odd width), sum 1."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ANY, DataError, ShapeError, about
from ..files.matlab import arrays_of
from ..files.numbers import fields_of, first_line, listed
from ..files.pictures import PICTURES, layers
from ..files.room import LARGEST, text_of
from ..notes import note
from .checks import Number, seeds_of

Array = str | Path | Tensor | np.ndarray
NAMES = ("kernel", "psf", "PSF", "k", "h", "y")  # of a kernel in a file of several arrays
OFF = 1.0  # pixels that the middle of a kernel's weight may lie off its centre without a word


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


def load_kernel(kernel: Array, flip: bool = False) -> Tensor:
    """A kernel from a file or an array, for correlation, divided by its sum: (1 or b, odd height, odd width).

    With `flip` it is turned by 180°, which makes correlation of convolution. Axes of length 1 in front are dropped.
    Of a file, says in one line if its weight lies off the centre, or if numbers do not sum to 1. Raises DataError if
    it is no kernel.
    """
    if isinstance(kernel, str | Path):
        with about(kernel, ANY):
            return _loaded(read(kernel), flip, Path(kernel))
    return _loaded(kernel, flip)


def _loaded(kernel: Array, flip: bool, file: Path | None = None) -> Tensor:
    k = torch.as_tensor(kernel).detach().cpu().double()
    while k.ndim > 3 and len(k) == 1:
        k = k[0]
    if k.ndim == 4 and k.shape[1] == 1:
        k = k[:, 0]
    if k.ndim not in (2, 3) or k.numel() == 0:
        raise DataError(f"a kernel has shape (height, width), or (images, height, width), not {tuple(k.shape)}")
    k = k[None] if k.ndim == 2 else k
    whole = normalised(k)
    if file:  # who makes an array knows it
        _hint(file, k, whole)
    if flip:  # around the centre, size // 2: an even side gets a row of zeros first, so that the centre stays in it
        whole = torch.nn.functional.pad(whole, [0, 1 - k.shape[-1] % 2, 0, 1 - k.shape[-2] % 2]).flip((-2, -1))
    return trim(whole)


def _hint(path: Path, k: Tensor, whole: Tensor) -> None:
    """Says what is odd about the kernel of a file, before and after it was divided by its sum.

    The numbers of a picture have no scale.
    """
    sums = k.sum((-2, -1))
    if path.suffix.lower() not in PICTURES and bool(((sums - 1).abs() > 0.01).any()):
        note("%s: sums to %.4g and is divided by it; brightness is kept", path, float(sums[0]))
    h, w = whole.shape[-2:]
    rows, columns = (torch.arange(n, dtype=whole.dtype) - n // 2 for n in (h, w))
    down, right = (whole.sum(-1) @ rows, whole.sum(-2) @ columns)
    far = (down**2 + right**2).sqrt().argmax()
    if max(abs(float(down[far])), abs(float(right[far]))) > OFF:
        note(
            "%s: its weight lies %.1f pixels below and %.1f to the right of its centre (row %d, column %d), "
            "which moves the picture; centre it if that is not meant",
            *(path, float(down[far]), float(right[far]), h // 2, w // 2),
        )


def read(path: str | Path) -> np.ndarray:
    """The array in a png, npy, npz, txt, csv, pt or mat file, as float64. Raises DataError if it cannot be read."""
    path = Path(path)
    suffix = path.suffix.lower()
    try:
        if suffix in (".npy", ".npz", ".pt"):
            return _named(path, fields_of(path, LARGEST))
        if suffix in (".txt", ".csv"):
            text = text_of(path, "utf-8-sig")
            separator = next((c for c in ",;\t" if c in text), None)
            return np.loadtxt(text.splitlines(), ndmin=2, delimiter=separator)
        if suffix == ".mat":
            return _named(path, arrays_of(path, LARGEST))
        pixels, alpha = layers(path)
        if alpha is not None:
            pixels = (pixels + 1) * alpha - 1
        return np.asarray((pixels.double().mean(0) + 1) / 2)
    except DataError as e:
        raise DataError(f"cannot read a kernel from {e}") from e
    except Exception as e:  # text that holds no table
        raise DataError(f"cannot read a kernel from {path}: {first_line(e)}") from e


def _named(path: Path, fields: Mapping[str, Any]) -> np.ndarray:
    """The kernel among the numbers of a file: by its name, or the only one that has two axes or more."""
    arrays = {k: v.detach().numpy() if isinstance(v, Tensor) else v for k, v in fields.items()}
    fit = {k: v for k, v in arrays.items() if isinstance(v, np.ndarray) and v.ndim >= 2 and v.dtype.kind in "biuf"}
    name = next((n for n in NAMES if n in fit), None) or (next(iter(fit)) if len(fit) == 1 else None)
    if name is None:
        raise DataError(f"{path}: which is the kernel? It holds {listed(fields)}; call it kernel or psf")
    return np.array(fit[name], float)


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


def on_grid(kernel: Tensor, h: int, w: int) -> Tensor:
    """Kernels (…, side, side) on a periodic grid of h × w pixels with their centres at (0, 0), (…, h, w)."""
    side = kernel.shape[-1]
    return F.pad(kernel, [0, w - side, 0, h - side]).roll((-(side // 2), -(side // 2)), (-2, -1))
