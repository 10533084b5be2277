"""Noise schedules: x_t = α_t x₀ + σ_t ε, where α and σ are Python floats in float64."""

import bisect
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated

from .errors import SpecError
from .ranges import Checked, Range
from .registry import Registry, concrete


@dataclass(frozen=True)
class Level:
    """One noise level of the forward process, x_t = α x₀ + σ ε, at time `t` in [0, 1]."""

    t: float
    alpha: float
    sigma: float

    @property
    def ratio(self) -> float:
        """ρ = σ/α, the noise level of x_t / α (EDM's σ), in units of the image."""
        return self.sigma / self.alpha

    @property
    def norm(self) -> float:
        """n = √(α² + σ²), which is 1 for variance-preserving schedules."""
        return math.hypot(self.alpha, self.sigma)


CLEAN = Level(0.0, 1.0, 0.0)

Ratio = Range(above=0, most=1e6)  # a noise level ρ
Beta = Range(above=0, below=1)


class Schedule(Checked, ABC):
    """A map from time t ∈ [0, 1] to a noise level; t = 1 is (almost) pure noise."""

    @abstractmethod
    def __call__(self, t: float) -> Level:
        """The noise level at time `t` in [0, 1]."""

    def levels(self, steps: int, start: float = 1.0) -> list[Level]:
        """`steps` levels, uniform in t from `start` downwards, followed by the clean level: `steps` + 1 in all.

        Raises SpecError if `steps` or `start` is not positive.
        """
        _positive(steps=float(steps), start=start)
        return [self(start * (1 - i / steps)) for i in range(steps)] + [CLEAN]


def time_of(schedule: Schedule, ratio: float) -> float:
    """The t in (0, 1] at which `schedule` has the noise level ρ = `ratio`, by bisection; 1 if it never has so much."""
    low, high = 0.0, 1.0
    if schedule(high).ratio <= ratio:
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if schedule(middle).ratio < ratio else (low, middle)
    return high


def _positive(**values: float) -> None:
    for name, v in values.items():
        if not 0 < v < math.inf:
            raise SpecError(f"{name} must be positive and finite, not {v}")


@dataclass(frozen=True)
class VP(Schedule):
    """Variance preserving, linear β (Song et al., 2021, eq. 33). arXiv:2011.13456"""

    beta_min: Annotated[float, Range(above=0, most=1_000)] = 0.1  # so that α = exp(−(β_min + β_max)/4) is no 0
    beta_max: Annotated[float, Range(above=0, most=1_000)] = 20.0

    def __call__(self, t: float) -> Level:
        integral = self.beta_min * t + (self.beta_max - self.beta_min) * t**2 / 2
        return Level(t, math.exp(-integral / 2), math.sqrt(-math.expm1(-integral)))


@dataclass(frozen=True)
class Cosine(Schedule):
    """ᾱ = cos²((t + s)/(1 + s) · π/2), normalised to 1 at t = 0 (Nichol & Dhariwal, 2021, eq. 17). arXiv:2102.09672

    α is kept above `alpha_min`, which has the effect of the clip β ≤ 0.999 in the discrete form.
    """

    s: Annotated[float, Range(above=0, most=1)] = 0.008
    alpha_min: Annotated[float, Range(above=0, below=1)] = 1e-3

    def __call__(self, t: float) -> Level:
        t_max = 2 / math.pi * math.acos(self.alpha_min * self._cos(0.0)) * (1 + self.s) - self.s
        alpha = min(1.0, self._cos(t * t_max) / self._cos(0.0))
        return Level(t, alpha, math.sqrt((1 - alpha) * (1 + alpha)))

    def _cos(self, t: float) -> float:
        return math.cos((t + self.s) / (1 + self.s) * math.pi / 2)


@dataclass(frozen=True)
class EDM(Schedule):
    """Variance exploding, with levels uniform in σ^(1/rho) (Karras et al., 2022, eq. 5). arXiv:2206.00364"""

    sigma_min: Annotated[float, Ratio] = 0.002
    sigma_max: Annotated[float, Ratio] = 80.0
    rho: Annotated[float, Range(0.1, 1_000)] = 7.0

    def __post_init__(self) -> None:
        if self.sigma_max <= self.sigma_min:
            raise SpecError(f"sigma_max = {self.sigma_max} must exceed sigma_min = {self.sigma_min}")

    def __call__(self, t: float) -> Level:
        lo, hi = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return Level(t, 1.0, (lo + t * (hi - lo)) ** self.rho)

    def levels(self, steps: int, start: float = 1.0) -> list[Level]:
        """As in the paper, the last level before the clean one is σ_min itself."""
        _positive(steps=float(steps), start=start)
        return [self(start * (1 - i / max(1, steps - 1))) for i in range(steps)] + [CLEAN]


@dataclass(frozen=True)
class VE(Schedule):
    """Variance exploding, geometric: σ = σ_min (σ_max/σ_min)^t (Song et al., 2021, eq. 30). arXiv:2011.13456"""

    sigma_min: Annotated[float, Ratio] = 0.02
    sigma_max: Annotated[float, Ratio] = 2696.0

    def __post_init__(self) -> None:
        if self.sigma_max <= self.sigma_min:
            raise SpecError(f"sigma_max = {self.sigma_max} must exceed sigma_min = {self.sigma_min}")

    def __call__(self, t: float) -> Level:
        return Level(t, 1.0, self.sigma_min * (self.sigma_max / self.sigma_min) ** t)

    def levels(self, steps: int, start: float = 1.0) -> list[Level]:
        """The last level before the clean one is σ_min itself."""
        _positive(steps=float(steps), start=start)
        return [self(start * (1 - i / max(1, steps - 1))) for i in range(steps)] + [CLEAN]


@dataclass(frozen=True)
class Flow(Schedule):
    """Rectified flow, α = 1 − σ (Liu et al., 2022). arXiv:2209.03003

    It starts at σ = `sigma_max` < 1, because at σ = 1 the state holds nothing of the image and ρ = σ/α is infinite. A
    `shift` s > 1 spends more of the steps on high noise: ρ is s times that of s = 1 (Esser et al., 2024, eq. 23,
    arXiv:2403.03206).
    """

    sigma_max: Annotated[float, Range(above=0, below=1)] = 0.999
    shift: Annotated[float, Range(above=0, most=1_000)] = 1.0

    def __call__(self, t: float) -> Level:
        plain = t * self.sigma_max / (self.shift - (self.shift - 1) * self.sigma_max)  # so that t = 1 is sigma_max
        sigma = self.shift * plain / (1 + (self.shift - 1) * plain)
        return Level(t, 1 - sigma, sigma)


@dataclass(frozen=True)
class Discrete(Schedule):
    """A variance-preserving table β₁ … β_T, as DDPM checkpoints have it (Ho et al., 2020). arXiv:2006.11239

    `kind` is linear, scaled_linear (Stable Diffusion's: linear in √β), squaredcos_cap_v2 (Nichol & Dhariwal's) or
    sigmoid (GeoDiff's: a logistic curve from −6 to 6 between the two β; Xu et al., 2022, arXiv:2203.02923), with
    T = `steps`, unless `betas` are given, at least two of them. `zero_snr` shifts and scales ᾱ^½ so that its last entry
    would be 0 (Lin et al., 2023, Algorithm 1; arXiv:2305.08891). Nothing of the image is left there and ρ is infinite,
    so the table then ends with the entry before. Between two table entries ln ρ is interpolated, so that every
    t ∈ (0, 1] has a level; t = i/T is entry i exactly. Below the first entry ρ falls linearly to 0.

    Example:

        levels = xhat.Discrete().levels(50)  # those of DDPM's table that a run of 50 steps takes, the noisiest first
    """

    kind: str = "linear"
    beta_start: Annotated[float, Beta] = 1e-4
    beta_end: Annotated[float, Beta] = 0.02
    steps: Annotated[int, Range(2, 100_000)] = 1000
    betas: tuple[Annotated[float, Beta], ...] | None = field(default=None, repr=False)
    zero_snr: bool = False
    ratios: tuple[float, ...] = field(init=False, repr=False, compare=False)  # ρ of entry i = 0 (clean) … T

    def __post_init__(self) -> None:
        if self.betas is not None:
            object.__setattr__(self, "betas", tuple(self.betas))
            if len(self.betas) < 2:
                raise SpecError(f"discrete: betas must be a list of at least 2 numbers, not {list(self.betas)}")
        roots, log_abar = [], 0.0
        for beta in self._table() if self.betas is None else self.betas:
            log_abar += math.log1p(-beta)
            roots.append(math.sqrt(math.expm1(-log_abar)))
        if self.zero_snr:
            roots = _shifted(roots)
        object.__setattr__(self, "ratios", (0.0, *roots))

    def _table(self) -> list[float]:
        grid = [i / (self.steps - 1) for i in range(self.steps)]
        if self.kind == "linear":
            return [self.beta_start + (self.beta_end - self.beta_start) * u for u in grid]
        if self.kind == "scaled_linear":
            lo, hi = math.sqrt(self.beta_start), math.sqrt(self.beta_end)
            return [(lo + (hi - lo) * u) ** 2 for u in grid]
        if self.kind == "squaredcos_cap_v2":
            abar = [math.cos((i / self.steps + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(self.steps + 1)]
            return [min(1 - after / before, 0.999) for before, after in pairwise(abar)]
        if self.kind == "sigmoid":
            return [self.beta_start + (self.beta_end - self.beta_start) / (1 + math.exp(6 - 12 * u)) for u in grid]
        raise SpecError(f"unknown kind {self.kind!r}; choose from linear, scaled_linear, squaredcos_cap_v2, sigmoid")

    def __call__(self, t: float) -> Level:
        entries = len(self.ratios) - 1
        place = t * entries
        i = min(int(place), entries - 1)
        lo, hi, part = self.ratios[i], self.ratios[i + 1], place - i
        ratio = lo ** (1 - part) * hi**part if lo else part * hi
        alpha = 1 / math.hypot(1, ratio)
        return Level(t, alpha, ratio * alpha)

    def index(self, ratio: float) -> float:
        """The position in the table, 0-based and fractional, of the noise level ρ = `ratio`; levels beyond the ends get
        the ends.
        """
        if ratio <= self.ratios[1]:
            return 0.0
        if ratio >= self.ratios[-1]:
            return len(self.ratios) - 2.0
        i = bisect.bisect_right(self.ratios, ratio) - 1
        lo, hi = self.ratios[i], self.ratios[i + 1]
        return i - 1 + math.log(ratio / lo) / math.log(hi / lo)


def _shifted(ratios: list[float]) -> list[float]:
    """ρ of each entry but the last, after ᾱ^½ was shifted so that its last entry is 0 and scaled to keep its first."""
    if len(ratios) < 2:
        raise SpecError("zero_snr needs a table of at least 2 steps")
    alphas = [1 / math.hypot(1, ratio) for ratio in ratios]
    first, last = alphas[0], alphas[-1]
    return [math.sqrt(1 / a**2 - 1) for a in ((a - last) * first / (first - last) for a in alphas[:-1])]


SCHEDULES: Registry[type[Schedule]] = Registry("schedules", Schedule, concrete(vars(), Schedule))
