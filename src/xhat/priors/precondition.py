"""How a network's output becomes x̂₀: every convention is a few numbers that depend on ρ = σ/α alone.

x̂₀ = c_skip u + c_out net(c_in u + c_shift, c_noise),   u = x_t/α_t = x₀ + ρ ε
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ..errors import SpecError
from ..schedule import Discrete

DIRECT = ("sample", "endpoint", "score")
"""Predictions that are the image itself, or are multiplied by more than the noise level: not safe in 16 bits."""


class Coefficients(NamedTuple):
    """The numbers of the formula above at one noise level."""

    skip: float
    out: float
    into: float  # c_in
    noise: float  # c_noise, the time that the network is given
    shift: float = 0.0


@dataclass(frozen=True)
class Precondition(ABC):
    """A convention; `prediction` names what the network was trained to output."""

    predictions: ClassVar[tuple[str, ...]]

    prediction: str

    def __post_init__(self) -> None:
        if self.prediction not in self.predictions:
            raise SpecError(f"unknown prediction type {self.prediction!r}; known: {', '.join(self.predictions)}")

    @abstractmethod
    def __call__(self, ratio: float) -> Coefficients:
        """The coefficients at noise level `ratio` = ρ."""


@dataclass(frozen=True)
class Karras(Precondition):
    """EDM (Karras et al., 2022, table 1), time ln(ρ)/4; "v_prediction" flips the output's sign. arXiv:2206.00364

    `sigma_data` is the standard deviation of the training images in units of [−1, 1]; 0.5 is the paper's.
    """

    predictions = ("epsilon", "v_prediction")

    sigma_data: float = 0.5

    def __call__(self, ratio: float) -> Coefficients:
        norm = math.hypot(ratio, self.sigma_data)
        out = ratio * self.sigma_data / norm
        sign = 1 if self.prediction == "epsilon" else -1
        return Coefficients((self.sigma_data / norm) ** 2, sign * out, 1 / norm, math.log(ratio) / 4)


@dataclass(frozen=True)
class Consistent(Precondition):
    """Consistency models (Song et al., 2023, appendix C): f(u, σ_min) = u. arXiv:2303.01469

    The time is `pace` ln(σ + 10⁻⁴⁴); 250 is the paper's.
    """

    predictions = ("endpoint",)

    sigma_min: float = 0.002
    sigma_data: float = 0.5
    pace: float = 250.0

    def __call__(self, ratio: float) -> Coefficients:
        norm, above = math.hypot(ratio, self.sigma_data), ratio - self.sigma_min
        skip = self.sigma_data**2 / (above**2 + self.sigma_data**2)
        return Coefficients(skip, above * self.sigma_data / norm, 1 / norm, self.pace * math.log(ratio + 1e-44))


@dataclass(frozen=True)
class Tabulated(Precondition):
    """DDPM-type networks on x = ᾱ^½ x₀ + (1−ᾱ)^½ ε, that output ε, v = ᾱ^½ ε − (1−ᾱ)^½ x₀ or x₀ (the "sample").

    The time is the 0-based position in the table. Between two entries it is fractional, by interpolation in ln ρ;
    beyond the ends it is that of the last entry. `whole` rounds it, for networks with a learned time embedding, which
    accept only whole numbers. `scale` multiplies it, for networks that count to 1000 whatever their table's length.
    """

    predictions = ("epsilon", "v_prediction", "sample")

    table: Discrete
    whole: bool = False
    scale: float = 1.0

    def __call__(self, ratio: float) -> Coefficients:
        place, norm = self.table.index(ratio), math.hypot(1, ratio)
        nearest = round(place)
        if self.whole or abs(place - nearest) < 1e-6:  # a level of the table itself, up to rounding
            place = float(nearest)
        skip, out = {
            "epsilon": (1.0, -ratio),
            "v_prediction": (1 / norm**2, -ratio / norm),
            "sample": (0.0, 1.0),
        }[self.prediction]
        return Coefficients(skip, out, 1 / norm, self.scale * place)


@dataclass(frozen=True)
class Score(Precondition):
    """Score networks on images in [0, 1] (Song et al., 2021, NCSN++ for the VE-SDE), told σ. arXiv:2011.13456

    With v = (u + 1)/2 and σ = ρ/2 in these units: v̂₀ = v + σ² s(v, σ).
    """

    predictions = ("score",)

    prediction: str = "score"

    def __call__(self, ratio: float) -> Coefficients:
        return Coefficients(1.0, ratio**2 / 2, 0.5, ratio / 2, shift=0.5)


@dataclass(frozen=True)
class Velocity(Precondition):
    """Rectified flow: the network sees (1 − σ) x₀ + σ ε at time `steps` σ and gives ε − x₀. arXiv:2209.03003"""

    predictions = ("velocity",)

    prediction: str = "velocity"
    steps: float = 1000.0

    def __call__(self, ratio: float) -> Coefficients:
        alpha = 1 / (1 + ratio)
        return Coefficients(alpha, alpha - 1, alpha, self.steps * (1 - alpha))
