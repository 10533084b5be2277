"""Measurement noise p(y | A(x)); each model owns its constants (the ½ and the σ²)."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Annotated, TypeVar

import torch
from torch import Tensor

from ..errors import ShapeError, SpecError
from ..numerics.linalg import bcast, sq
from ..ranges import Checked, Range
from ..rng import Rng
from ..types import Data, PerImage

N = TypeVar("N", bound="Noise")

# σ in the units of the data
Deviation = Range(above=0, most=1e9, note="none is noiseless; for grey levels --sigma 12/255")


class Noise(Checked, ABC):
    """What the detector adds to A(x). `y` and `clean` = A(x) are (b, *data)."""

    @abstractmethod
    def sample(self, clean: Data, rng: Rng) -> Data:
        """One noisy measurement per image, (b, *data)."""

    @abstractmethod
    def nll(self, y: Data, clean: Data) -> PerImage:
        """−log p(y | clean) per image, (b,), up to a constant that does not depend on `clean`."""

    def residual(self, y: Data, clean: Data) -> Tensor:
        """What is left of the measurement if the clean data are `clean`, (b, *numbers): y − clean."""
        return y - clean

    @abstractmethod
    def expected_residual(self, clean: Data, support: Tensor | None = None) -> PerImage:
        """The root mean square that the model predicts for `residual` where `clean` is true, (b,), in its units.

        The mean is over the `count` independent numbers.
        """

    @abstractmethod
    def scale(self, y: Data) -> PerImage:
        """The standard deviation that sets the size of an inner step, (b,), in the units of `residual`."""

    def count(self, y: Data, support: Tensor | None = None) -> PerImage:
        """How many independent numbers the residual of each image compares, (b,): the data in `support`, of which a
        complex one is two numbers.
        """
        seen = torch.ones_like(y.real) if support is None else support.expand_as(y)
        return (1 + y.is_complex()) * seen.flatten(1).sum(1).to(y.real.dtype)

    def take(self: N, index: Tensor) -> N:
        """The noise of the images `index`, which may repeat or leave out images of the batch."""
        return self

    def bind(self: N, detector: object) -> N:
        """The noise at a detector, with what it must know of that: a standard deviation for each datum, say.

        `detector` is what an operator says of its own (`Operator.detector`), None for most of them.
        """
        return self

    def fit(self, y: Data, clean: Data) -> dict[str, PerImage]:
        """How well `clean` explains y in the field's own numbers, by name, each (b,); empty unless overridden."""
        return {}


class Whitened(Noise):
    """A noise with −log p = ½‖r‖² for a residual r of its own, smooth in A(x), whose numbers have variance 1 or less.

    Examples are sigmas that differ from datum to datum, phases that wrap, and quantities in which unknown gains cancel.
    """

    @abstractmethod
    def residual(self, y: Data, clean: Data) -> Tensor:
        """r(y, clean), (b, numbers); 0 where `clean` explains y."""

    def nll(self, y: Data, clean: Data) -> PerImage:
        return sq(self.residual(y, clean)) / 2

    def count(self, y: Data, support: Tensor | None = None) -> PerImage:
        """All numbers in r, unless overridden because some of them depend on each other."""
        return torch.full_like(self.scale(y), self.residual(y, y)[0].numel())

    def expected_residual(self, clean: Data, support: Tensor | None = None) -> PerImage:
        """1, in the units of r."""
        return self.scale(clean)

    def scale(self, y: Data) -> PerImage:
        """1, in the units of r."""
        return torch.ones(len(y), dtype=y.real.dtype, device=y.device)


@dataclass(frozen=True)
class Gaussian(Noise):
    """y = A(x) + σ n with n ~ N(0, I). σ is in the units of y ([−1, 1] for images), one number or one per image.

    Complex data have σ in the real and in the imaginary part each, as receivers of MRI are calibrated; |n|² has mean 2.

    Raises SpecError for an empty list.
    """

    sigma: Annotated[float, Deviation] | tuple[Annotated[float, Deviation], ...] = 0.05

    def __post_init__(self) -> None:
        if isinstance(self.sigma, list):
            object.__setattr__(self, "sigma", tuple(self.sigma))
        if self.sigma == ():
            raise SpecError("gaussian: sigma must be a number or one for each image, not an empty list")

    def std(self, y: Data) -> PerImage:
        """σ per image, shape (b,)."""
        if isinstance(self.sigma, tuple) and len(self.sigma) not in (1, len(y)):
            raise ShapeError(f"gaussian: sigma is {len(self.sigma)} numbers, one for each image, and there is {len(y)}")
        return torch.as_tensor(self.sigma, dtype=y.real.dtype, device=y.device).expand(len(y))

    def sample(self, clean: Data, rng: Rng) -> Data:
        parts = (
            math.sqrt(2) if clean.is_complex() else 1
        )  # PyTorch's complex normal numbers have a variance of 1 in all
        return clean + parts * bcast(self.std(clean), clean) * rng.randn_like(clean)

    def nll(self, y: Data, clean: Data) -> PerImage:
        return sq(y - clean) / (2 * self.std(y) ** 2)

    def expected_residual(self, clean: Data, support: Tensor | None = None) -> PerImage:
        return self.std(clean)

    scale = std

    def take(self, index: Tensor) -> "Gaussian":
        if not isinstance(self.sigma, tuple):
            return self
        return replace(self, sigma=tuple(self.sigma[i] for i in index.tolist()))


@dataclass(frozen=True)
class Noiseless(Noise):
    """y = A(x). For methods that need a density, it is a Gaussian with the standard deviation of 8-bit rounding."""

    # The standard deviation of rounding to 8 bits: a step on [−1, 1] over √12.
    tolerance: Annotated[float, Range(above=0, most=1e9)] = 2 / 255 / 12**0.5

    def std(self, y: Data) -> PerImage:
        """0 per image, (b,), so that closed forms fulfil y = A(x) exactly."""
        return torch.zeros(len(y), dtype=y.real.dtype, device=y.device)

    def scale(self, y: Data) -> PerImage:
        return self.std(y) + self.tolerance

    def sample(self, clean: Data, rng: Rng) -> Data:
        return clean

    def nll(self, y: Data, clean: Data) -> PerImage:
        return sq(y - clean) / (2 * self.tolerance**2)

    def expected_residual(self, clean: Data, support: Tensor | None = None) -> PerImage:
        return torch.zeros(len(clean), dtype=clean.real.dtype, device=clean.device)


@dataclass(frozen=True)
class Poisson(Noise):
    """Photon counts: y = 2 c/peak − 1 with c ~ Poisson(λ + dark) − dark, λ = peak (A(x) + 1)/2.

    `peak` is the expected count of white (+1) and `dark` that of black (−1), which keeps the density finite there.
    Below black the negative log-likelihood is continued by its second-order Taylor expansion.

    Example:

        like = xhat.likelihood(A, xhat.Poisson(peak=50), y)  # white is 50 photons
    """

    peak: Annotated[float, Range(above=0, most=1e12)] = 100.0
    dark: Annotated[float, Range(above=0, most=1e12)] = 1.0

    def counts(self, y: Data) -> Data:
        """The expected counts, dark counts included, of data in the units of images."""
        return (y + 1) / 2 * self.peak + self.dark

    def scale(self, y: Data) -> PerImage:
        return self.expected_residual(y)

    def sample(self, clean: Data, rng: Rng) -> Data:
        rate = self.counts(clean).clamp_min(self.dark)
        draw = iter(rate.cpu())
        c = rng.each(lambda image, g: image.copy_(torch.poisson(next(draw), generator=g)), rate)
        return (c - self.dark) / self.peak * 2 - 1

    def nll(self, y: Data, clean: Data) -> PerImage:
        c, rate = self.counts(y), self.counts(clean)
        safe = rate.clamp_min(self.dark)
        below = rate - safe  # 0 inside, negative outside
        slope, curve = 1 - c / safe, c / safe**2
        return (safe - c * safe.log() + slope * below + curve / 2 * below**2).flatten(1).sum(1)

    def expected_residual(self, clean: Data, support: Tensor | None = None) -> PerImage:
        variance = self.counts(clean).clamp_min(self.dark) * (2 / self.peak) ** 2
        if support is None:
            return variance.flatten(1).mean(1).sqrt()
        return ((support * variance).flatten(1).sum(1) / self.count(clean, support)).sqrt()
