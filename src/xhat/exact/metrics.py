"""How far samples are from a posterior that is known."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor

from .deviations import Deviations
from .mixture import MixturePosterior
from .problems import Problem

DIRECTIONS, MANY = 100, 20_000  # directions of the sliced distance; draws from which a funnel's moments are taken


@dataclass(frozen=True)
class Reference:
    """What all solvers on one problem are compared with: exact draws, directions, moments, modes."""

    problem: Problem
    n: int
    seed: int

    @cached_property
    def draws(self) -> tuple[Tensor, Tensor]:
        """Two independent sets of n exact samples, (n, d); the distance between them is the floor of every metric."""
        g = Generator().manual_seed(10_000 + self.seed)
        return self.problem.posterior.sample(self.n, g), self.problem.posterior.sample(self.n, g)

    @cached_property
    def deviations(self) -> Deviations:
        """What tells samples from exact ones, respect by respect."""
        return Deviations(self.problem, self.n, self.seed, self.draws[0])

    @cached_property
    def directions(self) -> Tensor:
        """Random unit vectors, (100, d)."""
        g = Generator().manual_seed(20_000 + self.seed)
        d = self.draws[0].shape[1]
        return torch.nn.functional.normalize(torch.randn(DIRECTIONS, d, dtype=torch.float64, generator=g), dim=1)

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor]:
        """The posterior's mean and the variance of each coordinate, both (d,); for funnels, those of 20,000 exact
        draws.
        """
        if isinstance(p := self.problem.posterior, MixturePosterior):
            return p.mean, p.var
        x = p.sample(MANY, Generator().manual_seed(30_000 + self.seed))
        return x.mean(0), x.var(0)

    def floor(self) -> dict[str, float]:
        """The scores of exact samples."""
        return self.sampled(self.draws[1])

    def scored(self, x: Tensor) -> dict[str, float]:
        """All scores of `x` (n, d) as samples: those of `sampled`, and what `Deviations` finds, with p-values."""
        return self.sampled(x) | self.deviations.scored(x)

    def sampled(self, x: Tensor) -> dict[str, float]:
        """Scores of `x` (n, d) as samples.

        `sw1` and `mean_error` are 0 for exact samples, `var_ratio` is 1, `cover50` is 0.5 and `cover90` is 0.9.
        """
        mean, var = self.moments
        a, b = x @ self.directions.T, self.draws[0] @ self.directions.T
        return {
            "sw1": sliced_w1(a, b),
            "mean_error": float(((x.mean(0) - mean).square() / var).mean().sqrt()),
            "var_ratio": float(x.var(0).sum() / var.sum()),
            "cover50": coverage(a, b, 0.5),
            "cover90": coverage(a, b, 0.9),
        }

    def pointed(self, x: Tensor) -> dict[str, float]:
        """Scores of `x` (n, d) as point estimates: the median distance to each target, per coordinate, and the share
        whose mode uphill is the global one.
        """
        out = {"to_mean": typical(x - self.moments[0])}
        if isinstance(p := self.problem.posterior, MixturePosterior):
            local, top = p.climb(x), p.peak()
            out |= {"to_local_map": typical(x - local), "to_global_map": typical(x - top)}
            # two modes are apart by more than a thousandth of a standard deviation, and one is found to 1e-6
            out["at_global"] = float(((local - top).square() / p.var).mean(1).sqrt().lt(1e-3).double().mean())
        return out


def typical(gap: Tensor) -> float:
    """The median over the rows of `gap` (n, d) of their root mean square."""
    return float(gap.square().mean(1).sqrt().median())


def sliced_w1(a: Tensor, b: Tensor) -> float:
    """The mean over directions of the Wasserstein-1 distance between the projections `a` and `b`, both (n,
    directions).
    """
    return float((a.sort(0).values - b.sort(0).values).abs().mean())


def coverage(a: Tensor, b: Tensor, level: float) -> float:
    """The posterior mass of the central interval to which the samples give the mass `level`; mean over directions.

    `a` holds projections of the samples and `b` of exact draws, which measure the mass; both are (n, directions).
    """
    lo, hi = (a.quantile(q, dim=0) for q in ((1 - level) / 2, (1 + level) / 2))
    return float(((b >= lo) & (b <= hi)).double().mean())
