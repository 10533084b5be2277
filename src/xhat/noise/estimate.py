"""The noise of a picture from the picture alone, where nobody can say how much there is.

Small patches of a photograph lie near a plane of few dimensions; along all others their variance is that of the
noise, which the smallest eigenvalues of their covariance tell (Chen, Zhu and Heng, ICCV 2015,
doi:10.1109/ICCV.2015.62). That tells texture from noise, which the median of the finest wavelet coefficients does not
(Donoho and Johnstone, 1994; `skimage.restoration.estimate_sigma`). In the light that falls on a camera the variance
grows with brightness, a u + b with u from 0 (black) to 1 (white) (Foi et al., 2008, doi:10.1109/TIP.2008.2001399):
how it grows is read off the wavelet coefficients. Noise that was smoothed, for example by a camera, is found too small,
and so is strong noise that black and white cut off.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import DataError
from .base import Gaussian, Noise, Noiseless, Poisson

Details = list[tuple[Tensor, Tensor]]  # for each channel, the sizes of coefficients and the brightness around them

# Daubechies' second wavelet, the high pass (db2): Daubechies, 1988.
HIGH = (-0.48296291314469025, 0.8365163037378079, -0.22414386804185735, -0.12940952255092145)
MEDIAN = 0.6744897501960817  # the median size of a standard normal number
FEWEST = 64  # coefficients from which a level is estimated
BINS = 16  # of brightness
UNEVEN = 1.5  # the level in bright places over that in dark ones from which brightness matters
SIDES = (8, 6, 4)  # of patches, in pixels: the first that the picture has enough of
PATCHES = 20_000  # about as many are looked at; more cost time and tell nothing new
ENOUGH = 5  # patches for each number in one, so that eigenvalues are not those of chance
SMOOTHED = 0.5  # of the level by wavelets: below, eigenvalues are not trusted
PLACE = 4  # wavelet coefficients along a side of a place, each of 2 pixels
PLACES = 150  # of which the quietest tenth tells something; in a smaller picture fine detail is everywhere
TENTH = 0.763  # the tenth quantile of the root mean square of 16 standard normal numbers
TEXTURE = 0.5  # the share of the wavelet coefficients' variance that must be noise to tell how it grows with brightness


def estimate_noise(x: Tensor, seen: Tensor | None = None, light: bool = True) -> Noise:
    """The noise of a picture `x` (1 or 3, h, w) in [−1, 1], where `seen` (1, h, w) is true if it is given.

    It is `Poisson` if the level clearly depends on brightness and `light` allows it, `Noiseless` if it is not above
    that of rounding to 8 bits, and `Gaussian` otherwise. Numbers have three digits. Raises DataError if too little of
    the picture can be used.
    """
    details = _details(x, seen)
    sigma = _sigma(x, seen, details)
    if sigma <= Noiseless().tolerance:
        return Noiseless()
    return (_poisson(details, sigma) if light else None) or Gaussian(_short(sigma))


def estimate_sigma(x: Tensor, seen: Tensor | None = None) -> float:
    """The standard deviation of white noise in `x` (1 or 3, h, w), in its units. Raises DataError like
    `estimate_noise`.

    It is that of the eigenvalues, or that of the wavelet coefficients if they have less. Eigenvalues of less than half
    of that may be those of colours that were smoothed, by JPEG, a film's codec or in the camera: then it is that of the
    wavelet coefficients, of all or of the quietest places, whichever is less. A picture too small for quiet places
    keeps its eigenvalues: it is taken for sharp rather than for noisy.
    """
    return _sigma(x, seen, _details(x, seen))


def _sigma(x: Tensor, seen: Tensor | None, details: Details) -> float:
    upper = _coefficients(details)
    for side in SIDES:
        patches = _patches(x, seen, side)
        if len(patches) >= ENOUGH * patches.shape[1]:
            found = _lowest(torch.linalg.eigvalsh(torch.cov(patches.T)).clamp_min(0))
            if found < SMOOTHED * upper:
                quiet = _quiet(x, seen)
                return found if quiet is None else min(upper, quiet)
            return min(found, upper)
    return upper


def _quiet(x: Tensor, seen: Tensor | None) -> float | None:
    """The level in the quietest tenth of the picture, by wavelet coefficients: noise is everywhere, texture is not.

    None where fewer than `PLACES` places of `PLACE` x `PLACE` coefficients are seen whole.
    """
    taps = torch.tensor(HIGH, dtype=torch.float64)
    kernel, count = (taps[:, None] * taps)[None, None], len(HIGH)
    x = x.detach().cpu().double()
    if min(x.shape[-2:]) < 2 * PLACE + count - 2:
        return None
    good = torch.ones_like(x[:1]) if seen is None else seen.reshape(1, *x.shape[-2:]).to(x)
    power = F.avg_pool2d(F.conv2d(x[:, None], kernel, stride=2).square(), PLACE)[:, 0]
    whole = F.avg_pool2d(F.avg_pool2d(good[None], count, 2), PLACE)[0, 0] > 1 - 1e-9
    flat = (power > 1e-12).all(0)  # what somebody drew has no noise
    power = power[:, whole & flat]
    if power.shape[1] < PLACES:
        return None
    return float((power.sqrt().quantile(0.1, 1) / TENTH).mean())


def _lowest(values: Tensor) -> float:
    """The square root of the mean of the smallest of `values`, increasing: of as many as have their mean as median.

    The values of noise alone scatter evenly around their mean. A value of texture among them pulls the mean above the
    median.
    """
    count = len(values)
    while count > 1 and values[:count].mean() > values[:count].median():
        count -= 1
    return float(values[:count].mean().sqrt())


def _patches(x: Tensor, seen: Tensor | None, side: int) -> Tensor:
    """Patches of `side` × `side` pixels where the picture is seen and, if enough are, not clipped: (patches, numbers).

    A patch without any change was drawn and is left out, unless most are.
    """
    h, w = x.shape[-2:]
    if min(h, w) < side:
        return x.new_empty(0, x.shape[0] * side**2)
    stride = max(1, math.isqrt(h * w // PATCHES))

    def cut(p: Tensor) -> Tensor:
        return F.unfold(p[None], side, stride=stride)[0].T

    x = x.detach().cpu().double()
    found, clear = cut(x), cut(((x > -1) & (x < 1)).to(x)).amin(1) > 0
    if seen is not None:
        whole = cut(seen.reshape(1, h, w).to(x)).amin(1) > 0
        found, clear = found[whole], clear[whole]
    changing = found.amax(1) - found.amin(1) > 1e-6
    if changing.double().mean() > 0.5:
        found, clear = found[changing], clear[changing]
    return found[clear] if int(clear.sum()) >= ENOUGH * found.shape[1] else found


def _coefficients(details: Details) -> float:
    """The same from the median size of wavelet coefficients, which count fine texture as noise."""
    return float(torch.stack([_median(size) for size, _ in details]).mean())


def _details(x: Tensor, seen: Tensor | None) -> Details:
    """For each channel the sizes of its coefficients and the brightness, 0 to 1, around them.

    Where a pixel is clipped to black or white its noise is cut off, so that place is left out if enough others remain.
    """
    if min(x.shape[-2:]) < len(HIGH):
        size = f"{x.shape[-1]}x{x.shape[-2]} pixels (width x height)"
        raise DataError(f"a picture of {size} is too small to estimate its noise; give sigma")
    x = x.detach().cpu().double()
    taps = torch.tensor(HIGH, dtype=x.dtype)
    around = torch.full((len(HIGH), len(HIGH)), 1 / len(HIGH) ** 2, dtype=x.dtype)
    out = []
    for plane in x:
        good = torch.ones_like(plane) if seen is None else seen.reshape(plane.shape).to(plane)
        inside = good * (plane > -1) * (plane < 1)
        detail, mean, whole, clear = (
            F.conv2d(p[None, None], kernel[None, None], stride=2).flatten()
            for p, kernel in (
                (plane, taps[:, None] * taps),
                ((plane + 1) / 2, around),
                (good, around),
                (inside, around),
            )
        )
        whole, clear = whole > 1 - 1e-9, clear > 1 - 1e-9
        if not whole.any():
            raise DataError("too little of the picture is seen to estimate its noise; give sigma")
        keep = whole & clear if int((whole & clear).sum()) >= FEWEST else whole
        # An exact 0 is a flat place that somebody drew, which scikit-image leaves out, too; if most are, all is drawn.
        drawn = detail.abs() < 1e-6
        if float(drawn[keep].double().mean()) < 0.5:
            keep = keep & ~drawn
        out.append((detail[keep].abs(), mean[keep]))
    return out


def _poisson(details: Details, sigma: float) -> Poisson | None:
    """Poisson noise with the variance a u + b that fits the picture, or None if brightness hardly matters.

    Its mean is that of noise of the level `sigma`. None too if texture hides how the noise grows.
    """
    noise = (sigma / max(_coefficients(details), 1e-9)) ** 2
    if noise < TEXTURE:
        return None
    size, mean = (torch.cat(part) for part in zip(*details, strict=True))
    if len(size) < BINS * FEWEST:
        return None
    bins = mean.argsort().tensor_split(BINS)
    u = torch.stack([mean[i].mean() for i in bins])
    variance = torch.stack([_median(size[i]) for i in bins]).square().clamp_min(Noiseless().tolerance ** 2)
    # Weighted least squares. The error of a variance is proportional to it; a second round takes the fitted one.
    design, weight = torch.stack([u, torch.ones_like(u)], 1), 1 / variance
    for _ in range(3):
        a, b = torch.linalg.lstsq(design * weight[:, None], (variance * weight)[:, None]).solution.flatten().tolist()
        b = max(b, Noiseless().tolerance ** 2)
        weight = 1 / (a * u + b).clamp_min(Noiseless().tolerance ** 2)
    fitted = a * u + b
    if a <= 0 or float(fitted[-1] / fitted[0]) < UNEVEN**2 or float((variance / fitted).log().std()) > 0.5:
        return None
    a, b = min(noise, 1.0) * a, min(noise, 1.0) * b
    peak = 4 / a  # Poisson's variance on [−1, 1] is (peak u + dark) (2/peak)²
    return Poisson(_short(peak), _short(b * peak**2 / 4))


def _median(size: Tensor) -> Tensor:
    return size.median() / MEDIAN


def _short(number: float) -> float:
    return float(f"{number:.3g}")
