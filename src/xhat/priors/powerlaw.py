"""A Gaussian prior with the power spectrum of natural images."""

import math
from functools import lru_cache
from typing import Annotated

import torch
from torch import Tensor

from ..errors import MismatchError
from ..ranges import Range
from ..schedule import EDM, Level
from ..types import Image, PerImage
from .base import Prior


class PowerLaw(Prior):
    """Gaussian, periodic, with the spectrum of natural images, S(f) ∝ (f₀² + f²)^(−exponent/2), any image size.

        E[x₀|x_t] = μ + F⁻¹ (S/(S + ρ²)) F (x_t/α − μ)

    This is the Wiener filter: exact, and almost free. f is in cycles per image and f₀ = 1. A pixel has mean `mean` and
    standard deviation `std` in units of [−1, 1], and channels are independent. What a learned prior gains over this one
    is what it knows beyond second moments.
    """

    closed_form = True
    source = "Field (1987), J. Opt. Soc. Am. A 4, 2379"

    def __init__(
        self,
        exponent: Annotated[float, Range(-20, 20)] = 2.0,
        std: Annotated[float, Range(above=0, most=1e6)] = 0.5,
        mean: Annotated[float, Range(-1e6, 1e6)] = 0.0,
    ) -> None:
        super().__init__()
        self.exponent, self.std, self.mean, self.schedule = exponent, std, mean, EDM(sigma_min=0.01, sigma_max=20.0)

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) < 2:
            raise MismatchError(f"this prior knows images (…, height, width), the problem has {tuple(shape)}")

    def spectrum(self, h: int, w: int) -> Tensor:
        """The variance S of each coefficient of the orthonormal real 2-D FFT of an h × w image: (h, w // 2 + 1),
        float64.
        """
        return spectrum(h, w, self.exponent) * self.std**2

    def forward(self, x: Image, t: Level) -> Image:
        S = self.spectrum(*x.shape[-2:]).to(x)
        z = torch.fft.rfft2(x / t.alpha - self.mean)
        x0: Image = self.mean + torch.fft.irfft2(S / (S + t.ratio**2) * z, s=x.shape[-2:])
        return x0

    def log_density(self, x: Image, t: Level) -> PerImage:
        """log N(x_t; α μ, α² C + σ² I), (b,)."""
        h, w = x.shape[-2:]
        var = self.spectrum(h, w).to(x) + t.ratio**2
        # every column of rfft2 but the first, and the middle one of an even width, stands for two of fft2
        twice = torch.full_like(var, 2.0)
        twice[:, 0] = 1
        if w % 2 == 0:
            twice[:, -1] = 1
        z = torch.fft.rfft2(x / t.alpha - self.mean, norm="ortho").abs().square()
        found: PerImage = -(twice * (z / var + (2 * math.pi * var).log())).flatten(1).sum(1) / 2
        return found - x[0].numel() * math.log(t.alpha)

    def sample(self, noise: Image) -> Image:
        """Draws from the prior, made from white noise of the images' shape, (b, *image)."""
        root = self.spectrum(*noise.shape[-2:]).sqrt().to(noise)
        x: Image = self.mean + torch.fft.irfft2(root * torch.fft.rfft2(noise), s=noise.shape[-2:])
        return x


@lru_cache(8)
def spectrum(h: int, w: int, exponent: float) -> Tensor:
    """(1 + f²)^(−exponent/2) on the grid of rfft2, (h, w // 2 + 1), scaled so that a pixel has variance 1."""
    rows, columns = torch.fft.fftfreq(h, 1 / h).double()[:, None], torch.fft.fftfreq(w, 1 / w).double()
    whole: Tensor = (1 + rows**2 + columns**2) ** (-exponent / 2)
    return whole[:, : w // 2 + 1] / whole.mean()
