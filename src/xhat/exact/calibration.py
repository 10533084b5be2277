"""Simulation-based calibration: the rank of the truth among a sampler's draws, over many problems of the joint law.

If x* ~ p(x) and y ~ p(y|x*), then x* is one more draw of p(x|y). So for any f the rank of f(x*) among f of L draws of a
right sampler is uniform on 0 … L (Talts et al., 2018). arXiv:1804.06788
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Generator, Tensor

from ..errors import MismatchError
from ..likelihoods import Likelihood
from ..operators.dense import Dense
from ..priors import GaussianPrior
from ..solvers.base import AnySolver
from .mixture import EqualMixture, MixturePosterior, condition
from .problems import Problem
from .sampling import end

DRAWS = 99  # draws of each posterior, so that there are 100 ranks
BINS = 20  # of a histogram, 5 ranks each

# What is ranked.
RANKED: Mapping[str, str] = {
    "seen": "the coordinate along the direction that A measures best, counted away from the prior's mean",
    "unseen": "the coordinate along a direction that A does not measure",
    "log_density": "the log-density of the posterior",
    "residual": "‖y − A x‖²/σ²",
}


@dataclass(frozen=True)
class Joint:
    """`n` draws (x*, y) of the joint law, with prior, operator and noise level of `problem`."""

    problem: Problem
    n: int
    seed: int

    @cached_property
    def prior(self) -> MixturePosterior:
        """The prior in closed form. Raises MismatchError for one that has none."""
        p = self.problem.prior
        if isinstance(p, EqualMixture):
            return MixturePosterior(p.log_w, p.means, p.v * torch.eye(p.means.shape[1], dtype=p.means.dtype))
        if isinstance(p, GaussianPrior):
            C = (p.Q * p.lam) @ p.Q.T
            return MixturePosterior(C.new_zeros(1), (C.new_zeros(p.shape) + p.mean).reshape(1, -1), C)
        raise MismatchError(f"calibration needs a prior with a density in closed form, and {type(p).__name__} has none")

    @cached_property
    def A(self) -> Dense:
        """The operator."""
        A = self.problem.like.A
        if not isinstance(A, Dense):
            raise TypeError("the problems of the scorecard measure by a matrix")
        return A

    @cached_property
    def sigma(self) -> float:
        """The noise level, the same for all."""
        return float(self.problem.like.noise.scale(self.problem.like.y).flatten()[0])

    @cached_property
    def drawn(self) -> tuple[Tensor, Tensor]:
        """x*, (n, d), and y, (n, m)."""
        g = Generator().manual_seed(60_000 + self.seed)
        x = self.prior.sample(self.n, g)
        y = self.A(x.reshape(-1, *self.A.shape))
        return x, y + self.sigma * torch.randn(y.shape, dtype=y.dtype, generator=g)

    @property
    def like(self) -> Likelihood:
        """The likelihood of all y."""
        return replace(self.problem.like, y=self.drawn[1])

    def exact(self) -> Tensor:
        """Exact draws of each posterior, (n, DRAWS, d)."""
        g, p, var = Generator().manual_seed(70_000 + self.seed), self.prior, self.sigma**2
        posteriors = (condition(p.log_w, p.means, p.C, self.A.matrix, var, y) for y in self.drawn[1])
        return torch.stack([post.sample(DRAWS, g) for post in posteriors])

    def draws(self, solver: AnySolver) -> Tensor:
        """Draws of `solver` for each y, (n, DRAWS, d). Raises what `trajectory` raises."""
        size = int(getattr(solver, "particles", 1))
        chains = -(-DRAWS // size)
        source = [i for i in range(self.n) for _ in range(chains)]
        last = end(solver, self.problem.prior, self.like, source, self.seed)
        x: Tensor = getattr(last, "samples") if size > 1 else last.estimate  # noqa: B009
        return x.reshape(self.n, chains * size, -1)[:, :DRAWS]

    def ranks(self, draws: Tensor) -> dict[str, Tensor]:
        """The rank of x* among `draws` (n, DRAWS, d) in each respect of `RANKED`, (n,) whole numbers from 0 to DRAWS.

        Draws that are not finite count as below everything.
        """
        x, y = self.drawn
        z = torch.cat([x[:, None], draws], 1)  # the truth first
        return {k: (v[:, 1:] < v[:, :1]).sum(1) for k, v in self.values(z, y).items()}

    def values(self, z: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Each respect of `RANKED` for `z` (n, L, d), (n, L)."""
        centre = self.prior.log_w.exp() @ self.prior.means
        best = self.A.right[self.A.s[0].argmax()]
        side = ((self.A.pinv(y).flatten(1) - centre) @ best).sign()[:, None]
        seen = self.A.right[self.A.s[0] > 0]
        g = Generator().manual_seed(80_000 + self.seed)
        free = torch.randn(z.shape[2], dtype=z.dtype, generator=g)
        free = free - seen.T @ (seen @ free)
        chi2 = (y[:, None] - z @ self.A.matrix.T).square().sum(2) / self.sigma**2
        log_prior = torch.stack([self.prior.log_density(rows) for rows in z])
        found = {"seen": side * (z @ best), "log_density": log_prior - chi2 / 2, "residual": chi2}
        if len(seen) < z.shape[2]:
            found["unseen"] = z @ free
        return {k: found[k] for k in RANKED if k in found}


def histogram(ranks: Tensor) -> list[int]:
    """How many ranks fall into each of the BINS bins."""
    counts: list[int] = torch.bincount(ranks * BINS // (DRAWS + 1), minlength=BINS).tolist()
    return counts


def uniformity(counts: list[int]) -> float:
    """The p-value of Pearson's χ² test that the bins are equally likely."""
    n = torch.tensor(counts, dtype=torch.float64)
    mean = n.sum() / len(n)
    chi2 = ((n - mean).square() / mean).sum()
    return float(torch.special.gammaincc(torch.tensor((len(n) - 1) / 2, dtype=chi2.dtype), chi2 / 2))


def shape(counts: list[int]) -> tuple[float, float]:
    """The mean of the ranks, as a fraction from 0 to 1, and their variance over that of the uniform law.

    A mean below 0.5 says that the draws lie above the truth. A variance above 1, a histogram like ∪, says that the
    draws are too narrow, and one below 1, like ∩, that they are too wide.
    """
    n = torch.tensor(counts, dtype=torch.float64)
    at = (torch.arange(len(n), dtype=n.dtype) + 0.5) / len(n)
    mean = (n * at).sum() / n.sum()
    return float(mean), float(12 * (n * (at - mean).square()).sum() / n.sum() / (1 - 1 / len(n) ** 2))
