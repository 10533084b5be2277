"""Round kernels of one width, Gaussian or a disc, from the spectrum of a picture.

The power of photographs falls with the frequency f as A f^−β, with β about 2.2 (Burton and Moorhead, 1987). Behind a
blur it is A f^−β |K(f)|² + n. In the logarithm K has a shape that no A, β and n can take: rings of zeros for a disc, a
parabola for a Gaussian.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ...operators.blind_blur import gaussians
from ...operators.out_of_focus import disc
from .shake import likeness

RINGS = 60
LOW, HIGH = 0.02, 0.5  # cycles per pixel: below, the picture's own form counts; above, there are corners only
FEWEST = 8  # frequencies in a ring
GAUSS = tuple(0.5 * 1.12**i for i in range(22))  # standard deviations in pixels, 0.5 to 5.4
FINER = 1.04  # of widths that a kernel is compared with
DISCS = tuple(1.0 * 1.08**i for i in range(31))  # radii in pixels, 1 to 10
SLOPE, SPREAD = 2.2, 0.3  # of β over photographs
WEIGHT = 0.025  # of that knowledge beside the mean error of the fit
FLAT = 1e-30  # the power of a picture that has none
EULER = 0.5772  # the mean of −log of an exponential variable, as a periodogram has it


@dataclass(frozen=True)
class Round:
    """A round kernel: what is known of it from a spectrum."""

    spec: str  # of the operator
    width: float  # its standard deviation along an axis, in pixels
    error: float  # mean error of log power
    kernel: Tensor  # (side, side), sum 1


def round_kernels(x: Tensor, floor: float) -> list[Round]:
    """The best Gaussian and the best disc for a grey picture `x` (h, w), the better one first.

    `floor` is the smallest standard deviation that its noise can have, in its units.
    """
    f, level, count = rings(x)
    gauss = torch.stack([torch.exp(-2 * (math.pi * w * f) ** 2) for w in GAUSS])
    discs = torch.stack([_disc(w, f) for w in DISCS])
    out = []
    for kind, widths, power in (("gaussian_blur", GAUSS, gauss.square()), ("defocus", DISCS, discs)):
        error = _errors(f, level, power, floor)
        i = int(error.argmin())
        at = _vertex(error, i)
        width = float(f"{widths[0] * (widths[1] / widths[0]) ** at:.3g}")
        least = float(error[i])
        if kind == "defocus":
            out.append(Round(f"defocus:radius={width}", width / 2, least, disc(width)))
        else:
            out.append(gaussian(width, least))
    return sorted(out, key=lambda r: r.error)


def gaussian(width: float, error: float) -> Round:
    """The Gaussian of a standard deviation of `width` pixels, which fits a spectrum up to `error`."""
    width = float(f"{width:.3g}")
    side = 2 * int(4 * width + 0.5) + 1
    kernel = gaussians(side, torch.tensor([width], dtype=torch.float64))[0]
    return Round(f"gaussian_blur:std={width}", width, error, kernel)


def windows(h: int, w: int) -> tuple[Tensor, Tensor]:
    """Hann's windows for the rows (h,) and the columns (w,) of a picture, float64."""
    return torch.hann_window(h, False, dtype=torch.float64), torch.hann_window(w, False, dtype=torch.float64)


def periodogram(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The frequencies of a picture `x` (h, w) in cycles per pixel, the power behind its windows, and which to look at.

    All are (h, w), the last one boolean. The axes are left out: borders and the horizon lie there.
    """
    h, w = x.shape
    rows, columns = windows(h, w)
    window = rows[:, None] * columns
    x = x.double()
    z = (x - (x * window).sum() / window.sum()) * window
    power = torch.fft.fft2(z).abs().square() / window.square().sum()
    down, right = (torch.fft.fftfreq(n, dtype=torch.float64) for n in (h, w))
    f = (down[:, None] ** 2 + right**2).sqrt()
    axes = (down.abs() < 2 / h)[:, None] | (right.abs() < 2 / w)
    return f, power.clamp_min(FLAT), (f > LOW) & (f < HIGH) & ~axes


def rings(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mean frequency, the mean log power and the number of frequencies of rings of the spectrum, float64."""
    f, power, seen = periodogram(x)
    which = ((f - LOW) / (HIGH - LOW) * RINGS).long()
    found = []
    for i in range(RINGS):
        m = seen & (which == i)
        if int(m.sum()) >= FEWEST:
            found.append((float(f[m].mean()), float(power[m].log().mean()) + EULER, float(m.sum())))
    table = torch.tensor(found, dtype=torch.float64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _disc(radius: float, f: Tensor) -> Tensor:
    """|K|² of a disc, averaged over the width of a ring."""
    step = (HIGH - LOW) / RINGS
    z = 2 * math.pi * radius * torch.stack([f + d * step for d in (-0.5, -0.25, 0.0, 0.25, 0.5)])
    power: Tensor = (2 * torch.special.bessel_j1(z) / z).square().mean(0)
    return power


def _errors(f: Tensor, level: Tensor, power: Tensor, floor: float) -> Tensor:
    """For each |K|² in `power` (n, rings) the smallest mean error over A, β and the noise, (n,)."""
    best = torch.full((len(power),), math.inf, dtype=f.dtype)
    beta = torch.arange(1.4, 3.05, 0.1, dtype=f.dtype)
    offset = torch.linspace(-1.2, 1.2, 13, dtype=f.dtype)
    prior = WEIGHT * ((beta - SLOPE) / SPREAD) ** 2
    low = slice(0, max(1, len(f) // 6))
    base = f ** -beta[:, None] * power[:, None] + 1e-30  # (n, β, rings)
    start = (level - base.log())[..., low].median(-1).values
    for noise in torch.linspace(2 * math.log(floor), 2 * math.log(floor) + 7, 15, dtype=f.dtype):
        for more in offset:
            S = (start + more).exp()[..., None] * base + noise.exp()
            error = (level - S.log()).abs().mean(-1) + prior
            best = torch.minimum(best, error.amin(1))
    return best


def _vertex(error: Tensor, i: int) -> float:
    """Where the parabola through the smallest value and its neighbours has its vertex, in units of the index."""
    if i in (0, len(error) - 1):
        return float(i)
    a, b, c = (float(v) for v in error[i - 1 : i + 2])
    return i + 0.5 * (a - c) / max(a - 2 * b + c, 1e-12)


def roundness(k: Tensor) -> float:
    """How like the best Gaussian or disc a kernel (side, side) is, from 0 to 1."""
    return max(likeness(k, shape) for shape in _shapes())


def gaussian_width(k: Tensor) -> float:
    """The standard deviation, in pixels, of the Gaussian that a kernel (side, side) is most like."""
    widths = [GAUSS[0] * FINER**i for i in range(math.ceil(math.log(GAUSS[-1] / GAUSS[0]) / math.log(FINER)))]
    return max(widths, key=lambda w: likeness(k, gaussian(w, 0.0).kernel))


@lru_cache(1)
def _shapes() -> tuple[Tensor, ...]:
    """Gaussians and discs of every second width."""
    return (*(gaussian(w, 0.0).kernel for w in GAUSS[::2]), *(disc(w) for w in DISCS[::3]))
