"""The kernel of a shaken camera, or of any other blur, from the edges of a picture.

Xu, Zheng and Jia, "Unnatural L0 sparse representation for natural image deblurring", CVPR 2013: an image of few edges,

    x = argmin ‖k ∗ x − y‖² + λ ‖∇x‖₀,    k = argmin ‖k ∗ ∇x − ∇y‖² + γ ‖k‖²,

in turn and from coarse to fine, with the numbers of Pan et al., CVPR 2014. Half-quadratic splitting solves for x. Where
the kernel has taken form, a prior of the paths of shaking cameras stands in place of γ ‖k‖², see `paths`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.fft import irfft2, rfft2
from torch.nn import functional as F

from ...operators.kernels import on_grid
from ...operators.reflect import fast
from ...operators.super_resolution import cubic
from .paths import likeliest_path

LAMBDA, LEAST = 4e-3, 2e-4  # λ at first and at last, for pictures in [0, 1]
FALL = 1.1  # by which λ falls after each turn
GAMMA = 2.0
TURNS = 5  # at each scale
RATIO = 2**-0.5  # of one scale to the next finer one
COARSEST = 5  # pixels of the kernel at the coarsest scale
SHARPEST = 1e5  # the last β of the splitting
FORM = 0.6  # the share of all turns after which a kernel has taken form
FIRST, LAST = 0.02, 0.003  # error of a kernel's entries that the prior of paths is told, at the first turn and the last
KNOWN = 7  # pixels of a side from which on the prior knows kernels
FAINT = 0.05  # of the kernel's largest entry: below is noise
MARGIN = 4  # pixels around a kernel that is moved by a part of one
LOOSE = 0.1  # of the kernel's weight: connected pieces of less are noise


@dataclass(frozen=True)
class Turns:
    """How a kernel is improved: in `count` turns, from the first to the last of `weights` (λ) and `errors` (of k)."""

    count: int
    weights: tuple[float, float]
    errors: tuple[float, float]


def between(ends: tuple[float, float], i: int, count: int) -> float:
    """The `i`-th of `count` values from the first of `ends` to the last, by equal factors."""
    first, last = ends
    share = i / (count - 1)
    return first * math.pow(last / first, share)


def shake_kernel(y: Tensor, size: int, paths: bool = False, weight: float = LAMBDA, fall: float = FALL) -> Tensor:
    """The kernel, `size` x `size` with sum 1, for correlation, of a grey picture `y` (h, w) in [−1, 1].

    With `paths` the prior of camera paths has a say in the last turns. λ begins at `weight` and is divided by `fall`
    after each turn. Where an image lies cannot be told from its blur: the kernel's weight is put on its centre, up to
    half a pixel.
    """
    y = ((y + 1) / 2).float()
    h, w = y.shape
    scales = max(0, math.floor(math.log(COARSEST / size) / math.log(RATIO)))
    k, turn, turns = torch.full((1, 1), 1.0), 0, TURNS * (scales + 1)
    for scale in range(scales, -1, -1):
        side = max(3, round(size * RATIO**scale))
        side += 1 - side % 2
        small = _resized(y, round(h * RATIO**scale), round(w * RATIO**scale)) if scale else y
        small = periodic(small, side)
        if scale == scales:
            k = torch.zeros(side, side)
            k[side // 2, side // 2 - 1 : side // 2 + 1] = 0.5
        else:
            k = _resized(k, side, side).clamp_min(0)
            k = k / k.sum()
        for _ in range(TURNS):
            x, share = edges(small, k, weight), turn / (turns - 1)
            if paths and share >= FORM and side >= KNOWN:
                k = _path(x, small, k, FIRST ** (1 - share) * LAST**share)
            else:
                k = _clean(_kernel(x, small, side))
            k, weight, turn = centred(k), max(weight / fall, LEAST), turn + 1
    return k.flip(0, 1).double()


def improved(y: Tensor, k: Tensor, turns: Turns, also: Callable[[Tensor, float], Tensor] | None = None) -> Tensor:
    """A kernel like `k`, (side, side), for correlation, that fits the grey picture `y` (h, w) in [−1, 1] better.

    After each turn, `also` may move the kernel, whose entries are then known up to an error, by what else is known.
    """
    y = periodic(((y + 1) / 2).float(), len(k))
    k = k.float().flip(0, 1)
    for i in range(turns.count):
        weight, error = (between(ends, i, turns.count) for ends in (turns.weights, turns.errors))
        k = centred(_path(edges(y, k, weight), y, k, error))
        if also:
            k = like_a_path(also(k.flip(0, 1).double(), error).flip(0, 1).float(), error)
    return k.flip(0, 1).double()


def periodic(y: Tensor, least: int) -> Tensor:
    """`y` (h, w) with at least `least` more rows and columns, by which it goes on smoothly into its own beginning."""
    for axis in (0, 1):
        n = y.shape[axis]
        more = min(fast(n + least) - n, n - 1)
        after, before = y.narrow(axis, n - 1 - more, more).flip(axis), y.narrow(axis, 1, more).flip(axis)
        t = torch.arange(1, more + 1, dtype=y.dtype) / (more + 1)
        t = (t * t * (3 - 2 * t)).unsqueeze(1 - axis)
        y = torch.cat([y, (1 - t) * after + t * before], axis)
    return y


def edges(y: Tensor, k: Tensor, weight: float) -> Tensor:
    """x of the formula above, (h, w), for a periodic `y` and λ = `weight`."""
    size = y.shape
    K, (Dx, Dy) = rfft2(on_grid(k, *size)), _slopes(size, y.dtype)
    data, gram = K.conj() * rfft2(y), K.abs().square()
    steep = Dx.abs().square() + Dy.abs().square()
    x, beta = y, 2 * weight
    while beta < SHARPEST:
        X = rfft2(x)
        across, down = irfft2(Dx * X, s=size), irfft2(Dy * X, s=size)
        keep = across.square() + down.square() >= weight / beta
        push = Dx.conj() * rfft2(across * keep) + Dy.conj() * rfft2(down * keep)
        x = irfft2((data + beta * push) / (gram + beta * steep), s=size)
        beta *= 2
    return x


@lru_cache(8)
def _slopes(size: torch.Size, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The spectra of the differences to the next column and the next row."""
    out = []
    for axis in (1, 0):
        d = torch.zeros(size, dtype=dtype)
        d[0, 0] = -1
        d[(0, -1) if axis else (-1, 0)] = 1
        out.append(rfft2(d))
    return out[0], out[1]


def _kernel(x: Tensor, y: Tensor, side: int) -> Tensor:
    """k of the formula above, (side, side), of any sign."""
    cross, gram = _normal(x, y)
    return _from_grid(cross / (gram + GAMMA), y.shape, side)


def _path(x: Tensor, y: Tensor, k: Tensor, error: float) -> Tensor:
    """The path of a camera near `k`, (side, side), sum 1: ‖k ∗ ∇x − ∇y‖² is made small, then `error` is removed.

    One step of half-quadratic splitting, with the misfit of `k` as the noise of ∇y.
    """
    cross, gram = _normal(x, y)
    K = rfft2(on_grid(k, *y.shape))
    left = K * rfft2(x) - rfft2(y)
    misfit = sum(float(irfft2(D * left, s=y.shape).square().mean()) for D in _slopes(y.shape, y.dtype)) / 2
    near = misfit / error**2
    return like_a_path(_from_grid((cross + near * K) / (gram + near), y.shape, len(k)), error)


def like_a_path(k: Tensor, error: float) -> Tensor:
    """`k`, whose entries are known up to `error`, as the prior of paths has it; nowhere negative, sum 1."""
    k = likeliest_path(k, error).clamp_min(0)
    return k / k.sum()


def _normal(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The spectra of ∇x ⋆ ∇y and ∇x ⋆ ∇x."""
    steep, X = sum(D.abs().square() for D in _slopes(y.shape, y.dtype)), rfft2(x)
    return steep * X.conj() * rfft2(y), steep * X.abs().square()


def _from_grid(K: Tensor, shape: torch.Size, side: int) -> Tensor:
    """The kernel (side, side) of which `K` is the spectrum on a periodic grid of a `shape`."""
    k: Tensor = irfft2(K, s=shape).roll((side // 2, side // 2), (0, 1))
    return k[:side, :side]


def _clean(k: Tensor) -> Tensor:
    """`k` without what is faint or far from the rest; sum 1."""
    k = torch.where(k < FAINT * k.max(), 0.0, k)
    there = (k > 0).float()
    label = there * torch.arange(1, k.numel() + 1, dtype=k.dtype).reshape(k.shape)
    while True:  # the largest number of each connected piece spreads over it
        wider = F.max_pool2d(label[None, None], 3, 1, 1)[0, 0] * there
        if torch.equal(wider, label):
            break
        label = wider
    total = k.sum()
    for piece in torch.unique(label):
        part = label == piece
        if float(k[part].sum()) < LOOSE * float(total):
            k = torch.where(part, 0.0, k)
    return k / k.sum()


def _middle(k: Tensor) -> tuple[float, float]:
    r = torch.arange(len(k), dtype=k.dtype) - len(k) // 2
    return float((k.sum(1) * r).sum()), float((k.sum(0) * r).sum())


def centred(k: Tensor) -> Tensor:
    """`k` moved by whole pixels so that its weight lies on its centre."""
    down, right = _middle(k)
    return k.roll((-round(down), -round(right)), (0, 1))


def moved(k: Tensor) -> Tensor:
    """`k`, wider by a margin, with its weight exactly on its centre; entries may become slightly negative.

    Keys' cubic convolution (1981) with a = −1/2, which moves the middle of the weight as far as it is asked to and
    hardly makes a kernel wider, as a mean of neighbours would.
    """
    k = F.pad(k.double(), [MARGIN] * 4)
    for axis, far in enumerate(_middle(k)):
        whole = math.floor(-far)
        part = -far - whole
        near = range(-1, 3)
        weights = cubic(part - torch.tensor(near, dtype=k.dtype))
        k = torch.stack([w * k.roll(whole + j, axis) for w, j in zip(weights, near, strict=True)]).sum(0)
    return k


def _resized(y: Tensor, h: int, w: int) -> Tensor:
    return F.interpolate(y[None, None], (h, w), mode="bicubic", antialias=True)[0, 0]


def likeness(a: Tensor, b: Tensor) -> float:
    """The largest inner product of two kernels, square with odd sides, over all shifts, from 0 to 1."""
    side = 2 * max(len(a), len(b))
    first, second = (rfft2(F.pad(k.double(), [0, side - len(k), 0, side - len(k)])) for k in (a, b))
    product: Tensor = irfft2(first.conj() * second, s=(side, side))
    return float(product.max() / (a.double().norm() * b.double().norm()))
