"""The noise of a picture from the picture alone, where nobody can say how much there is.

The finest diagonal wavelet coefficients of a photograph are small almost everywhere, so the median of their size is
that of the noise (Donoho and Johnstone, 1994); `skimage.restoration.estimate_sigma` is the same estimator, with the
same Daubechies wavelet. In the light that falls on a camera the variance grows with brightness, a u + b with u from 0
(black) to 1 (white) (Foi et al., 2008, doi:10.1109/TIP.2008.2001399). Fine texture counts as noise, and noise that was
smoothed, for example by a camera, is found too small.
"""

import torch
from torch import Tensor

from ..errors import DataError
from .base import Gaussian, Noise, Noiseless, Poisson

# Daubechies' second wavelet, the high pass (db2): Daubechies, 1988.
HIGH = (-0.48296291314469025, 0.8365163037378079, -0.22414386804185735, -0.12940952255092145)
MEDIAN = 0.6744897501960817  # the median size of a standard normal number
FEWEST = 64  # coefficients from which a level is estimated
BINS = 16  # of brightness
UNEVEN = 1.5  # the level in bright places over that in dark ones from which brightness matters


def estimate_noise(x: Tensor, seen: Tensor | None = None, light: bool = True) -> Noise:
    """The noise of a picture `x` (1 or 3, h, w) in [−1, 1], where `seen` (1, h, w) is true if it is given.

    It is `Poisson` if the level clearly depends on brightness and `light` allows it, `Noiseless` if it is not above
    that of rounding to 8 bits, and `Gaussian` otherwise. Numbers have three digits. Raises DataError if too little of
    the picture can be used.
    """
    sigma = estimate_sigma(x, seen)
    if sigma <= Noiseless().tolerance:
        return Noiseless()
    return (_poisson(x, seen) if light else None) or Gaussian(_short(sigma))


def estimate_sigma(x: Tensor, seen: Tensor | None = None) -> float:
    """The standard deviation of white noise in `x` (1 or 3, h, w), in its units. Raises DataError like
    `estimate_noise`.
    """
    return float(torch.stack([_median(size) for size, _ in _details(x, seen)]).mean())


def _details(x: Tensor, seen: Tensor | None) -> list[tuple[Tensor, Tensor]]:
    """For each channel the sizes of its coefficients and the brightness, 0 to 1, around them.

    Where a pixel is clipped to black or white its noise is cut off, so that place is left out if enough others remain.
    """
    if min(x.shape[-2:]) < len(HIGH):
        raise DataError(f"a picture of {x.shape[-2]}x{x.shape[-1]} pixels is too small to estimate its noise")
    x = x.detach().cpu().double()
    taps = torch.tensor(HIGH, dtype=x.dtype)
    around = torch.full((len(HIGH), len(HIGH)), 1 / len(HIGH) ** 2, dtype=x.dtype)
    out = []
    for plane in x:
        good = torch.ones_like(plane) if seen is None else seen.reshape(plane.shape).to(plane)
        inside = good * (plane > -1) * (plane < 1)
        detail, mean, whole, clear = (
            torch.nn.functional.conv2d(p[None, None], kernel[None, None], stride=2).flatten()
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


def _poisson(x: Tensor, seen: Tensor | None) -> Poisson | None:
    """Poisson noise with the variance a u + b that fits the picture, or None if brightness hardly matters."""
    size, mean = (torch.cat(part) for part in zip(*_details(x, seen), strict=True))
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
    peak = 4 / a  # Poisson's variance on [−1, 1] is (peak u + dark) (2/peak)²
    return Poisson(_short(peak), _short(b * peak**2 / 4))


def _median(size: Tensor) -> Tensor:
    return size.median() / MEDIAN


def _short(number: float) -> float:
    return float(f"{number:.3g}")
