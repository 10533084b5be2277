"""Cartesian k-space: centred unitary Fourier transforms, cropping, coil maps, all on complex tensors (…, h, w)."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.fft import fft, fft2, fftshift, ifft, ifft2, ifftshift

from ...errors import DataError, ShapeError

PLANE = (-2, -1)


def fft2c(x: Tensor) -> Tensor:
    """fftshift ∘ F ∘ ifftshift of planes (…, h, w) with F unitary: frequency 0 is at index n // 2 of each axis."""
    out: Tensor = fftshift(fft2(ifftshift(x, PLANE), norm="ortho"), PLANE)
    return out


def ifft2c(k: Tensor) -> Tensor:
    """The inverse and adjoint of `fft2c`: k-space (…, h, w) becomes planes (…, h, w)."""
    out: Tensor = fftshift(ifft2(ifftshift(k, PLANE), norm="ortho"), PLANE)
    return out


def crop(x: Tensor, size: int, axis: int) -> Tensor:
    """The middle `size` of the n entries of `x` along `axis`, around index n // 2."""
    n = x.shape[axis]
    return x.narrow(axis, n // 2 - size // 2, size)


def crop_readout(k: Tensor, size: int) -> Tensor:
    """k-space (…, size, w) of the middle `size` rows of the image whose k-space is `k` (…, h, w).

    This undoes the oversampling of the readout.
    """
    x = fftshift(ifft(ifftshift(k, -2), dim=-2, norm="ortho"), -2)
    out: Tensor = fftshift(fft(ifftshift(crop(x, size, -2), -2), dim=-2, norm="ortho"), -2)
    return out


def rss(x: Tensor) -> Tensor:
    """Root sum of squares over coils, (coils, h, w) → (h, w) real."""
    return x.abs().square().sum(-3).sqrt()


def sampled(k: Tensor) -> Tensor:
    """True where any coil of `k` (coils, h, w) holds something, (h, w) bool.

    If most lines are full, a column with any sample counts as sampled as a whole.
    """
    seen = k.abs().sum(-3) > 0
    lines = seen.any(-2, keepdim=True).expand_as(seen)
    # A line may end in zeros (partial echo, zero filling), whereas a two-dimensional pattern leaves its columns sparse:
    # more than half of the samples tells the one from the other.
    full = seen.sum() > 0.5 * lines.sum()
    return lines.clone() if full else seen


def padding(seen: Tensor) -> Tensor:
    """Which frequencies of `seen` (h, w) are zero filling, (h, w) bool: columns at both ends of a plane that is full.

    Zero filling is as wide at one end as at the other, up to one column, and at most a quarter of all columns. What is
    missing at one end alone was not measured (partial Fourier).
    """
    columns = seen.any(0).nonzero().flatten()
    none = torch.zeros_like(seen)
    if not len(columns):
        return none
    w = seen.shape[1]
    left, right = int(columns[0]), w - 1 - int(columns[-1])
    inner = seen[:, left : w - right]
    if abs(left - right) > 1 or max(left, right) > w / 4 or not bool(inner.all()):
        return none
    none[:, :left] = none[:, w - right :] = True
    return none


def off_centre(k: Tensor) -> tuple[int, ...]:
    """The axes of `k` (coils, h, w), -2 or -1, at whose ends, an eighth of it each, lies four times the energy that the
    quarter around index n // 2 has. That is where a transform without fftshift leaves frequency 0.
    """
    energy, found = k.abs().square().sum(-3), []
    for axis in PLANE:
        line = energy.sum(-3 - axis)  # over the other axis
        n, eighth = len(line), len(line) // 8
        middle = line[n // 2 - eighth : n // 2 + eighth].sum()
        if line[:eighth].sum() + line[n - eighth :].sum() > 4 * middle:
            found.append(axis)
    return tuple(found)


def central_lines(mask: Tensor) -> tuple[int, int]:
    """(rows, columns) of the largest centred rectangle, grown side by side, in which `mask` (h, w) samples
    everything.
    """
    h, w = mask.shape
    if not bool(mask[h // 2, w // 2]):
        return 0, 0
    size, grown = [1, 1], True
    while grown:
        grown = False
        for axis in (0, 1):
            bigger = [size[0] + (axis == 0), size[1] + (axis == 1)]
            if bigger[0] <= h and bigger[1] <= w and bool(centre(mask, bigger[0], bigger[1]).all()):
                size, grown = bigger, True
    return size[0], size[1]


def centre(x: Tensor, h: int, w: int) -> Tensor:
    """The middle h × w entries of `x` (…, H, W)."""
    return crop(crop(x, h, -2), w, -1)


def low_resolution(k: Tensor, mask: Tensor, most: int = 24) -> Tensor:
    """Coil images (coils, h, w) from the fully sampled centre of k-space, with a Hann window against ringing.

    At most `most` rows and columns are taken. Raises DataError if fewer than 4 × 4 frequencies are fully sampled.
    """
    rows, columns = (min(n, most) for n in central_lines(mask))
    if min(rows, columns) < 4:
        raise DataError(
            f"coil maps cannot be estimated: the mask samples only {rows} x {columns} frequencies around the "
            "centre without a gap; give maps=FILE"
        )
    window = torch.zeros(k.shape[-2:], dtype=k.real.dtype, device=k.device)
    taper = torch.outer(hann(rows), hann(columns)).to(window)
    centre(window, rows, columns).copy_(taper)
    return ifft2c(k * window)


def hann(n: int) -> Tensor:
    """A Hann window around index n // 2, (n,), in float64; none of its entries is 0."""
    i = torch.arange(n, dtype=torch.float64) - n // 2
    return 0.5 + 0.5 * torch.cos(2 * math.pi * i / (n + 1))


def estimate_maps(k: Tensor, mask: Tensor, floor: float = 0.02) -> Tensor:
    """Coil maps from low-resolution images, S_c = x_c / √(Σ|x_c|² + (floor · max)²), (coils, h, w).

    They carry the smooth phase of the image, so that the image itself is nearly real, and fall to 0 where there is no
    signal (McKenzie et al., Magn. Reson. Med. 47, 2002; the denominator is Walsh's root sum of squares). Raises
    DataError if the centre of k-space holds only zeros or is not fully sampled.
    """
    x = low_resolution(k, mask)
    size = rss(x)
    if not bool(size.max() > 0):
        raise DataError("coil maps cannot be estimated: the centre of k-space holds only zeros")
    return x / (size.square() + (floor * size.max()) ** 2).sqrt()


def birdcage(coils: int, h: int, w: int, radius: float = 1.5) -> Tensor:
    """Simulated maps of `coils` loops on a circle of `radius` half images, root sum of squares 1, complex128 (coils, h,
    w).

    Each falls off as the inverse distance to its coil and has the phase of the direction to it: the common idealised
    birdcage array.
    """
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) / (n / 2) - 1 for n in (h, w)), indexing="ij")
    angle = 2 * math.pi * torch.arange(coils, dtype=torch.float64)[:, None, None] / coils
    dx, dy = x - radius * angle.cos(), y - radius * angle.sin()
    maps = torch.polar(1 / torch.hypot(dx, dy), torch.atan2(dx, -dy) - angle)
    return maps / rss(maps)


def combine(k: Tensor, maps: Tensor) -> Tensor:
    """The minimum variance unbiased estimate Σ_c conj(S_c) F⁻¹ k_c / √(Σ|S_c|²), (h, w); 0 where all maps are 0."""
    size = rss(maps)
    x = (maps.conj() * ifft2c(k)).sum(-3)
    return torch.where(size > 0, x / size.clamp_min(torch.finfo(size.dtype).tiny), 0)


def line_mask(n: int, acceleration: int, kind: str, seed: int) -> Tensor:
    """Which of `n` vertical lines InverseBench samples, (n,) bool: ⌊n/R⌋ lines with a full centre, R = `acceleration`.

    The centre has ⌊0.08 n⌋ lines for R ≤ 6 and ⌊0.04 n⌋ above. `kind` says how the others are chosen: random, drawn by
    NumPy's legacy generator from `seed`, or equispaced, with at least that many lines. R = 1 samples all. Raises
    ShapeError if R is below 1 or leaves fewer lines than the centre has.
    """
    if not 1 <= acceleration <= n:
        raise ShapeError(f"acceleration must be from 1 to the {n} lines there are, not {acceleration}")
    keep = torch.ones(n, dtype=torch.bool)
    if acceleration == 1:
        return keep
    acs = int((0.08 if acceleration <= 6 else 0.04) * n)
    first, last = (n - acs) // 2, (n + acs) // 2
    outer = np.concatenate([np.arange(first), np.arange(last, n)])
    rest = n // acceleration - (last - first)
    if rest < 0:
        raise ShapeError(f"{n} lines / {acceleration} is fewer than the {last - first} lines of the centre")
    if kind == "random":
        picked = np.random.RandomState(seed).choice(outer, rest, replace=False)
    else:
        picked = outer[:: max(1, len(outer) // max(rest, 1))]
    keep[:] = False
    keep[first:last] = True
    keep[torch.from_numpy(picked)] = True
    return keep


def noise_level(k: Tensor) -> float:
    """A robust estimate of the standard deviation of real and imaginary noise, from the outermost tenth of k-space.

    1.4826 × the median absolute deviation of what is sampled there, which is the standard deviation if it is Gaussian.
    Signal in that region makes the estimate an upper bound. With fewer than 100 numbers there it is 0, which means
    unknown.
    """
    h, w = k.shape[-2:]
    rim = torch.ones(h, w, dtype=torch.bool)
    centre(rim, round(0.9 * h), round(0.9 * w)).fill_(False)
    values = torch.view_as_real(k[..., rim & (k.abs().sum(-3) > 0)]).flatten()
    if values.numel() < 100:
        return 0.0
    return float(1.4826 * (values - values.median()).abs().median())
