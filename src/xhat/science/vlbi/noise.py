"""The noise of radio interferometry: thermal noise and unknown gains of the stations."""

import math
from dataclasses import dataclass, field, replace
from typing import Annotated

import torch
from torch import Tensor

from ...errors import MismatchError, SpecError
from ...noise.base import Whitened
from ...numerics.linalg import sq
from ...ranges import NonNegative, Range
from ...rng import Rng
from ...types import Data, PerImage
from .closure import Closures


@dataclass(frozen=True)
class VLBI(Whitened):
    """V'_ij = g_i g_j* V_ij + σ_ij n: thermal noise of the observation's own σ, and unknown gains of the stations.

    Each station has at each time a gain of amplitude exp(`gain` · N(0, 1)) and, with `phases`, any phase. What remains
    of V is in closure quantities, and the likelihood is theirs, each with its thermal noise s to first order:

        −log p = Σ_cp (1 − cos Δφ)/s² + ½ Σ_lca Δ²/s²,

    the von Mises density of closure phases and a Gaussian density of log closure amplitudes, weighted by `cp` and
    `lca`. `amp` and `vis` give a weight to amplitudes and complex visibilities in the same way, for an array whose
    gains are known. A total flux counts if the operator has one. Closure quantities of one time share baselines; this
    product treats them as independent, as is usual in the field (EHT Collaboration, 2019, Paper IV).
    """

    cp: Annotated[float, NonNegative] = 1.0
    lca: Annotated[float, NonNegative] = 1.0
    amp: Annotated[float, NonNegative] = 0.0
    vis: Annotated[float, NonNegative] = 0.0
    gain: Annotated[float, Range(0, 10)] = 0.1
    phases: bool = True
    closures: Closures | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.cp + self.lca + self.amp + self.vis > 0:
            raise SpecError("vlbi: one of cp, lca, amp and vis must be above 0")

    def bind(self, detector: object) -> "VLBI":
        """This noise at an array of telescopes, the `detector` of the operator black_hole: its closure quantities."""
        if not isinstance(detector, Closures):
            raise MismatchError(
                "noise vlbi is that of the operator black_hole; this operator has no array of telescopes"
            )
        bound = replace(self)
        object.__setattr__(bound, "closures", detector)
        return bound

    def tables(self, y: Data) -> Closures:
        """The closure quantities of the observation, on the device and in the precision of `y`.

        Raises MismatchError if the noise is not bound to a black_hole operator yet.
        """
        if self.closures is None:
            raise MismatchError("noise vlbi knows no observation yet: bind it to a black_hole operator")
        return self.closures.to(y)

    def residual(self, y: Data, clean: Data) -> Tensor:
        c, Y, V = self.tables(y), complex_of(y), complex_of(clean)
        parts = [(Y - V).real[:, c.zero] / c.sigma[c.zero]]
        if self.cp:
            parts.append(self.cp**0.5 * turn(c, Y, V))
        if self.lca:
            parts.append(self.lca**0.5 * gap(c, Y, V))
        if self.amp:
            parts.append(self.amp**0.5 * ((Y.abs() - V.abs()) / c.sigma)[:, ~c.zero])
        if self.vis:
            parts.append(self.vis**0.5 * torch.view_as_real(((Y - V) / c.sigma)[:, ~c.zero]).flatten(1))
        return torch.cat(parts, 1)

    def kinds(self, y: Data) -> list[tuple[float, int]]:
        """(weight, how many) of each kind of number that the likelihood compares.

        A closure phase counts as one number, though it is two in r.
        """
        c = self.tables(y)
        baselines = int((~c.zero).sum())
        return [
            (1.0, int(c.zero.sum())),
            (self.cp, len(c.triangles)),
            (self.lca, len(c.quadrangles)),
            (self.amp, baselines),
            (self.vis, 2 * baselines),
        ]

    def count(self, y: Data, support: Tensor | None = None) -> PerImage:
        """How many independent numbers are compared, (b,), at least 1: total fluxes, and all whose weight is not 0."""
        return torch.full_like(self.scale(y), max(1, sum(n for weight, n in self.kinds(y) if weight)))

    def expected_residual(self, clean: Data, support: Tensor | None = None) -> PerImage:
        """The root of the mean weight of the numbers: 1 where all weights are 0 or 1."""
        count = self.count(clean)
        return (torch.full_like(count, sum(weight * n for weight, n in self.kinds(clean))) / count).sqrt()

    def fit(self, y: Data, clean: Data) -> dict[str, PerImage]:
        """Reduced χ² of closure phases, 2 ⟨(1 − cos Δφ)/s²⟩, and of log closure amplitudes, ⟨Δ²/s²⟩, each (b,)."""
        c, Y, V = self.tables(y), complex_of(y), complex_of(clean)
        found = {"chi2_cp": turn(c, Y, V), "chi2_lca": gap(c, Y, V)}
        counts = {"chi2_cp": len(c.triangles), "chi2_lca": len(c.quadrangles)}
        return {name: sq(r) / counts[name] for name, r in found.items() if counts[name]}

    def sample(self, clean: Data, rng: Rng) -> Data:
        c, V = self.tables(clean), complex_of(clean)
        stations, times = int(torch.maximum(c.first, c.second).max()) + 1, int(c.time.max()) + 1
        grid = clean.new_zeros(len(clean), times * stations)
        phase = 2 * math.pi * rng.rand_like(grid) * self.phases
        g = torch.polar(torch.exp(self.gain * rng.randn_like(grid)), phase)
        both = g[:, c.time * stations + c.first] * g[:, c.time * stations + c.second].conj()
        noise = c.sigma * complex_of(rng.randn_like(clean))
        return torch.view_as_real(torch.where(c.zero, V, both * V) + noise)


def turn(c: Closures, Y: Tensor, V: Tensor) -> Tensor:
    """(exp(iφ_Y) − exp(iφ_V))/s for closure phases φ, as (b, 2c) real numbers: its square is 2 (1 − cos Δφ)/s²."""
    return torch.view_as_real((c.phasor(Y) - c.phasor(V)) / c.phase_sigma(Y)).flatten(1)


def gap(c: Closures, Y: Tensor, V: Tensor) -> Tensor:
    """Differences of log closure amplitudes divided by their noise s, (b, q)."""
    return (c.log_amplitude(Y) - c.log_amplitude(V)) / c.log_amplitude_sigma(Y)


def complex_of(pairs: Tensor) -> Tensor:
    """Pairs (…, 2) as complex numbers (…)."""
    return torch.view_as_complex(pairs.contiguous())
