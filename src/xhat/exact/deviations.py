"""In how many respects samples differ from a posterior that is known, each judged against exact samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor

from ..likelihoods import LinearGaussian
from ..operators.dense import Dense
from .funnel import FunnelPosterior
from .mixture import MixturePosterior
from .problems import Problem

RIVALS = 99  # sets of exact samples that a sampler is ranked among, so that the smallest p-value is 0.01
UNSEEN = 32  # random directions of the null space of A; the rest are too many to look at one by one
PAIRED = 300  # samples that enter the two-sample test, whose cost grows as their square
MANY = 20_000  # exact draws from which a funnel's modes are described

# What each p-value judges. The name of a respect, and what is larger the worse the samples are in that respect.
JUDGED: Mapping[str, str] = {
    "seen_mean": "the mean along a direction that A measures, the worst one",
    "unseen_mean": "the mean along a direction that A does not measure, the worst one",
    "seen_w1": "W1 along a direction that A measures, the worst one",
    "unseen_w1": "W1 along a direction that A does not measure, the worst one",
    "wide": "the largest variance inside a mode over all directions",
    "narrow": "the smallest variance inside a mode over all directions",
    "residual": "the law of ‖y − A x‖²/σ²",
    "modes": "the weights of the modes",
    "mmd": "everything at once: maximum mean discrepancy",
}


@dataclass(frozen=True)
class Deviations:
    """What `n` samples of one problem are judged by.

    Directions that A measures are its right singular vectors; the others are random unit vectors of its null space.
    Along each, samples are counted in units of the posterior's standard deviation there.
    """

    problem: Problem
    n: int
    seed: int
    exact: Tensor  # (n, d), exact samples that all others are compared with

    @cached_property
    def modes(self) -> "Modes":
        """The modes of the posterior."""
        return modes_of(self.problem.posterior, Generator().manual_seed(30_000 + self.seed))

    @cached_property
    def directions(self) -> dict[str, Tensor]:
        """`seen` and `unseen` unit vectors, (d, k) each, divided by the posterior's standard deviation along them.

        A group without directions is left out.
        """
        A = self.problem.like.A
        if not isinstance(A, Dense):
            raise TypeError("the problems of the scorecard measure by a matrix")
        seen = A.right[A.s[0] > 0].T
        g = Generator().manual_seed(40_000 + self.seed)
        free = seen.shape[0] - seen.shape[1]
        drawn = torch.randn(seen.shape[0], min(free, UNSEEN), dtype=seen.dtype, generator=g)
        unseen = torch.nn.functional.normalize(drawn - seen @ (seen.T @ drawn), dim=0)
        groups = {"seen": seen, "unseen": unseen}
        return {k: v / self.modes.std(v) for k, v in groups.items() if v.shape[1]}

    @cached_property
    def rivals(self) -> dict[str, Tensor]:
        """What sets of exact samples score in each respect, (RIVALS,): the yardstick."""
        g = Generator().manual_seed(50_000 + self.seed)
        found = [self.judged(self.problem.posterior.sample(self.n, g)) for _ in range(RIVALS)]
        return {k: torch.tensor([f[k] for f in found], dtype=torch.float64) for k in found[0]}

    def scored(self, x: Tensor) -> dict[str, float]:
        """All columns for the samples `x` (n, d), and for each respect of `JUDGED` a p-value `p_…`.

        The p-value is the rank of `x` among 99 sets of exact samples, so it is uniform on 0.01, 0.02, … 1 for an exact
        sampler. Values that are not finite score 0.01 everywhere.
        """
        own = self.judged(x)
        p = {f"p_{k}": float((1 + (v >= own[k]).sum()) / (1 + RIVALS)) for k, v in self.rivals.items()}
        return self.described(x) | p

    def described(self, x: Tensor) -> dict[str, float]:
        """The numbers that a reader can interpret, without a p-value."""
        out: dict[str, float] = {}
        for name, V in self.directions.items():
            a, b = self.along(x, V), self.along(self.exact, V)
            w1, mean, var = w1_of(a, b), a.mean(0).abs(), a.var(0)
            lo, hi = a.quantile(0.05, dim=0), a.quantile(0.95, dim=0)
            mass = ((b >= lo) & (b <= hi)).double().mean(0)
            out |= {
                f"{name}_w1": float(w1.mean()),
                f"{name}_w1_q90": float(w1.quantile(0.9)),
                f"{name}_w1_worst": float(w1.max()),
                f"{name}_mean": float(mean.square().mean().sqrt()),
                f"{name}_mean_worst": float(mean.max()),
                f"{name}_var": float(var.mean()),
                f"{name}_var_low": float(var.min()),
                f"{name}_var_high": float(var.max()),
                f"{name}_cover90": float(mass.mean()),
                f"{name}_cover90_low": float(mass.min()),
                f"{name}_cover90_high": float(mass.max()),
            }
        out["chi2"] = float(self.chi2(x).mean() / self.chi2(self.exact).mean())
        out["modes_tv"] = self.modes.distance(x)
        out["distinct"] = len({tuple(row) for row in x.tolist()}) / len(x)
        return out

    def judged(self, x: Tensor) -> dict[str, float]:
        """One number for each respect of `JUDGED`, larger for worse samples."""
        out: dict[str, float] = {}
        for name, V in self.directions.items():
            a, b = self.along(x, V), self.along(self.exact, V)
            out |= {f"{name}_mean": float(a.mean(0).abs().max()), f"{name}_w1": float(w1_of(a, b).max())}
        low, high = self.modes.spread(x)
        out |= {"wide": high, "narrow": -low}
        out["residual"] = kolmogorov(self.chi2(x), self.chi2(self.exact))
        if len(self.modes.weights) > 1:
            out["modes"] = self.modes.distance(x)
        everything = torch.cat(list(self.directions.values()), 1)
        return out | {"mmd": mmd(self.along(x, everything)[:PAIRED], self.along(self.exact, everything)[:PAIRED])}

    def along(self, x: Tensor, V: Tensor) -> Tensor:
        """The coordinates of `x` (n, d) along `V` from the posterior's mean, (n, k)."""
        return (x - self.modes.mean) @ V

    def chi2(self, x: Tensor) -> Tensor:
        """‖y − A x‖²/σ² of each row of `x`, (n,)."""
        like = self.problem.like
        if not isinstance(like, LinearGaussian):
            raise TypeError("the problems of the scorecard have Gaussian noise")
        res: Tensor = like.y - like.A(x.reshape(-1, *like.A.shape))
        return res.square().sum(1) / like.var


@dataclass(frozen=True)
class Modes:
    """The modes of a posterior: weights (K,), means (K, d), one covariance (d, d) and the responsibilities."""

    posterior: MixturePosterior | FunnelPosterior
    weights: Tensor
    means: Tensor
    C: Tensor
    centre: Tensor | None = None  # the mean and covariance of all, where the modes do not give them
    total: Tensor | None = None

    @cached_property
    def mean(self) -> Tensor:
        """The posterior's mean, (d,)."""
        return self.weights @ self.means if self.centre is None else self.centre

    def std(self, V: Tensor) -> Tensor:
        """The posterior's standard deviation along each column of `V` (d, k), (k,)."""
        if self.total is not None:
            return ((self.total @ V) * V).sum(0).sqrt()
        between = self.weights @ ((self.means - self.mean) @ V).square()
        return (((self.C @ V) * V).sum(0) + between).sqrt()

    @cached_property
    def root(self) -> Tensor:
        """The Cholesky factor of C."""
        root: Tensor = torch.linalg.cholesky(self.C)
        return root

    def distance(self, x: Tensor) -> float:
        """Total variation between the shares of the modes among the samples and their true weights."""
        if len(self.weights) == 1:
            return 0.0
        return float((self.posterior.responsibilities(x).mean(0) - self.weights).abs().sum() / 2)

    def spread(self, x: Tensor) -> tuple[float, float]:
        """The smallest and the largest variance of the samples about their modes over all directions, both 1 for many
        exact samples.

        With fewer samples than dimensions the smallest is taken over the directions that the samples span.
        """
        u, m = (torch.linalg.solve_triangular(self.root, v.T, upper=False).T for v in (x, self.means))
        # the nearest mode, as if each were Gaussian: a funnel's own density sends what is off its axis to another one
        k = (self.weights.log() + u @ m.T - m.square().sum(1) / 2).argmax(1)
        z = (u - m[k]).T
        small = z @ z.T if len(z) <= len(x) else z.T @ z
        if not torch.isfinite(small).all():
            return float("nan"), float("nan")
        values = torch.linalg.eigvalsh(small) / len(x)
        return float(values[0]), float(values[-1])


def modes_of(posterior: MixturePosterior | FunnelPosterior, g: Generator) -> Modes:
    """The modes of a mixture in closed form; those of funnels from 20,000 exact draws."""
    if isinstance(posterior, MixturePosterior):
        return Modes(posterior, posterior.log_w.exp(), posterior.means, posterior.C)
    x, K = posterior.sample(MANY, g), len(posterior.prior.centres)
    k = posterior.responsibilities(x).argmax(1)
    counts = torch.bincount(k, minlength=K)
    sums = torch.zeros(K, x.shape[1], dtype=x.dtype).index_add_(0, k, x)
    means = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp_min(1), posterior.prior.centres)
    inside = x - means[k]
    return Modes(posterior, posterior.weights, means, inside.T @ inside / MANY, x.mean(0), x.T.cov())


def w1_of(a: Tensor, b: Tensor) -> Tensor:
    """The Wasserstein-1 distance between the columns of `a` and `b`, both (n, k): (k,)."""
    return (a.sort(0).values - b.sort(0).values).abs().mean(0)


def kolmogorov(a: Tensor, b: Tensor) -> float:
    """The largest difference between the distribution functions of two samples, (n,) each."""
    points = torch.cat([a, b])
    if not torch.isfinite(points).all():
        return float("nan")
    shares = [torch.searchsorted(v.sort().values, points, right=True) / len(v) for v in (a, b)]
    return float((shares[0] - shares[1]).abs().max())


def mmd(a: Tensor, b: Tensor) -> float:
    """The squared maximum mean discrepancy of two samples, (n, k) each, without bias (Gretton et al., 2012, eq. 3).

    The kernel is Gaussian, with the median distance inside `b`, the exact samples, as its width.
    """
    n = len(a)
    inside = apart(b, b)
    width = inside[~torch.eye(n, dtype=torch.bool)].median()
    own = ((-apart(a, a) / width).exp().sum() + (-inside / width).exp().sum() - 2 * n) / (n * (n - 1))
    return float(own - 2 * (-apart(a, b) / width).exp().mean())


def apart(u: Tensor, v: Tensor) -> Tensor:
    """The squared distances between the rows of `u` (n, k) and `v` (m, k), (n, m)."""
    return (u.square().sum(1)[:, None] + v.square().sum(1) - 2 * u @ v.T).clamp_min(0)
