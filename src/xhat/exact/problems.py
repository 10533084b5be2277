"""Problems whose posterior is known, each a recipe that a seed turns into one measurement."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import torch
from torch import Generator, Tensor

from ..errors import SpecError
from ..likelihoods import Likelihood, likelihood
from ..noise import Gaussian
from ..numerics.build_dtype import double_by_default
from ..operators.dense import Dense
from ..priors import GaussianPrior, Prior
from ..ranges import Checked, Many, Range
from ..registry import concrete
from ..schedule import CLEAN, VP, Discrete, Level, Schedule
from .funnel import FunnelPosterior, FunnelPrior
from .mixture import EqualMixture, MixturePosterior, condition

Number = float | int
Size = Range(1, 10_000)  # of a vector

BETAS = tuple(0.02 - (0.02 - 1e-4) * i / 998 for i in range(999))  # decreasing, as in MCGDiff


@dataclass(frozen=True)
class Problem:
    """One measurement, its prior and its posterior.

    `scale` is the size of one mode: samples that are farther off than that on average have failed.
    """

    prior: Prior
    like: Likelihood  # of a batch of one
    posterior: MixturePosterior | FunnelPosterior
    truth: Tensor | None = None  # (d,), the image that was measured; None where y is not drawn
    scale: float = 1.0


class Recipe(Checked, ABC):
    """Frozen options of a kind of problem; `samples` is the number of samples that are compared."""

    samples: Annotated[int, Many]

    @property
    @abstractmethod
    def size(self) -> int:
        """The numbers of one image."""

    @property
    def work(self) -> float:
        """The products that one call of the prior takes for one sample."""
        return 25.0 * self.size

    @abstractmethod
    def problem(self, seed: int) -> Problem:
        """The problem for `seed`, from which geometry, truth and noise are drawn."""


@dataclass(frozen=True)
class EqualAlpha(Schedule):
    """Equal steps in α = √ᾱ from 1 to the last entry of the table `BETAS` (MCGDiff's grid)."""

    alpha_min: Annotated[float, Range(above=0, below=1)] = 0.0063850374046551415

    def __call__(self, t: float) -> Level:
        alpha = 1 - t * (1 - self.alpha_min)
        return Level(t, alpha, math.sqrt((1 - alpha) * (1 + alpha))) if t > 0 else CLEAN


@dataclass(frozen=True)
class Mixture(Recipe):
    """25 Gaussians N((−8i, −8j, −8i, …), I), i, j ∈ {−2, …, 2}, in d dimensions, m measurements.

    A is Gaussian with singular values ~ U[0, 1]. Without `sigma`, the weights are ∝ N(0, 1)², σ_y = U[0, 1] s_max, and
    the levels are MCGDiff's (arXiv:2308.07983). With `sigma` = σ_y, the weights are equal and the levels VP(0.01, 20),
    as in arXiv:2310.06721. `grid` = "beta" puts the levels at equal steps of MCGDiff's β table in place of equal steps
    in √ᾱ: the problems stay the same, so that the effect of the grid on a solver can be seen pair by pair.
    """

    d: Annotated[int, Size]
    m: Annotated[int, Size]
    sigma: Annotated[Number, Range(above=0, most=1e6)] | None = None
    grid: Literal["own", "beta"] = "own"
    samples: int = 1000

    def __post_init__(self) -> None:
        if self.d % 2 or self.m > self.d:
            raise SpecError(f"mixture: d must be even and m at most d, not d={self.d},m={self.m}")

    @property
    def size(self) -> int:
        return self.d

    def problem(self, seed: int) -> Problem:
        g = Generator().manual_seed(seed)
        axis = torch.arange(-2, 3, dtype=torch.float64) * -8
        means = torch.cartesian_prod(axis, axis).repeat(1, self.d // 2)
        A, top = projection(self.m, self.d, g)
        drawn = torch.randn(25, dtype=torch.float64, generator=g).square()
        level = float(torch.rand((), dtype=torch.float64, generator=g)) * top
        w = drawn if self.sigma is None else torch.ones_like(drawn)
        sigma = level if self.sigma is None else float(self.sigma)
        own: Schedule = EqualAlpha() if self.sigma is None else VP(0.01, 20.0)
        schedule = Discrete(betas=BETAS) if self.grid == "beta" else own
        truth = means[torch.multinomial(w, 1, generator=g)[0]] + normal(self.d, g)
        y = A @ truth + sigma * normal(self.m, g)
        prior = EqualMixture(means, 1.0, w, schedule)
        posterior = condition(prior.log_w, means, torch.eye(self.d, dtype=w.dtype), A, sigma**2, y)
        return Problem(prior, measured(A, sigma, y, prior.shape), posterior, truth)


@dataclass(frozen=True)
class Two(Recipe):
    """Two components ±(0.5, 0.5) of standard deviation 0.1, a = (−2, 1.7), σ_y = 0.2, y = 0.3 (score_prior's demo)."""

    samples: int = 1000

    @property
    def size(self) -> int:
        return 2

    def problem(self, seed: int) -> Problem:
        means = torch.tensor([[0.5, 0.5], [-0.5, -0.5]], dtype=torch.float64)
        A, y = torch.tensor([[-2.0, 1.7]], dtype=means.dtype), torch.tensor([0.3], dtype=means.dtype)
        prior = EqualMixture(means, 0.01, torch.ones(2, dtype=means.dtype), VP(0.1, 20.0))
        posterior = condition(prior.log_w, means, 0.01 * torch.eye(2, dtype=means.dtype), A, 0.04, y)
        return Problem(prior, measured(A, 0.2, y, prior.shape), posterior, scale=0.1)


@dataclass(frozen=True)
class GRF(Recipe):
    """A Gaussian random field, Matérn-5/2 on a grid over [−5, 5]², measured at 1 of 64 pixels, σ_y = 0.1."""

    side: Annotated[int, Range(8, 100)] = 32  # below 8 no pixel is seen; the covariance has side⁴ numbers
    samples: int = 200

    @property
    def size(self) -> int:
        return self.side**2

    @property
    def work(self) -> float:
        return float(self.size**2)

    def problem(self, seed: int) -> Problem:
        prior, C = field(self.side)
        g, n = Generator().manual_seed(seed), self.side**2
        A = torch.eye(n, dtype=torch.float64)[torch.randperm(n, generator=g)[: n // 64]]
        truth = torch.linalg.cholesky(C) @ normal(n, g)
        y = A @ truth + 0.1 * normal(len(A), g)
        zero = torch.zeros(1, n, dtype=torch.float64)
        return Problem(prior, measured(A, 0.1, y, prior.shape), condition(zero[:, 0], zero, C, A, 0.01, y), truth)


@lru_cache(2)
def field(side: int) -> tuple[GaussianPrior, Tensor]:
    """The prior of the random field on `side` × `side` pixels, and its covariance."""
    line = torch.linspace(-5, 5, side, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    r = 5**0.5 * torch.cdist(grid, grid)
    # The small diagonal keeps the Cholesky factor from failing by rounding.
    C = (1 + r + r**2 / 3) * (-r).exp() + 1e-4 * torch.eye(side**2, dtype=r.dtype)
    with double_by_default():
        return GaussianPrior((side**2,), C, schedule=VP(0.01, 25.0)), C


@dataclass(frozen=True)
class Funnel(Recipe):
    """20 rotated funnels, a = 1, b = 0.5, centres in a box of side 30, σ_y ~ U[0, 1] (MCGDiff's, but on VP(0.1,
    20)).
    """

    d: Annotated[int, Range(2, 10_000)] = 6  # its width changes along one axis, so that it has two at least
    m: Annotated[int, Size] = 1
    samples: int = 500

    def __post_init__(self) -> None:
        if self.m > self.d:
            raise SpecError(f"funnel: m must be at most d, not d={self.d},m={self.m}")

    @property
    def size(self) -> int:
        return self.d

    def problem(self, seed: int) -> Problem:
        g = Generator().manual_seed(seed)
        centres = 30 * torch.rand(20, self.d, dtype=torch.float64, generator=g) - 15
        axes = torch.nn.functional.normalize(torch.randn(20, self.d, dtype=torch.float64, generator=g), dim=1)
        prior = FunnelPrior(centres, axes, 1.0, 0.5, VP(0.1, 20.0))
        A, _ = projection(self.m, self.d, g)
        sigma = float(torch.rand((), dtype=torch.float64, generator=g))
        k = int(torch.randint(20, (), generator=g))
        z1, z = float(normal(1, g)), normal(self.d, g)
        truth = centres[k] + z1 * axes[k] + math.exp(0.5 * z1) * (z - (z @ axes[k]) * axes[k])
        y = A @ truth + sigma * normal(self.m, g)
        return Problem(prior, measured(A, sigma, y, prior.shape), FunnelPosterior(prior, A, sigma**2, y), truth)


def normal(n: int, g: Generator) -> Tensor:
    """`n` standard normal numbers in float64."""
    return torch.randn(n, dtype=torch.float64, generator=g)


def projection(m: int, d: int, g: Generator) -> tuple[Tensor, float]:
    """A Gaussian (m, d) matrix whose singular values are replaced by U[0, 1], and the largest of them."""
    U, _, Vt = torch.linalg.svd(torch.randn(m, d, dtype=torch.float64, generator=g), full_matrices=False)
    s = torch.rand(m, dtype=torch.float64, generator=g).sort(descending=True).values
    return U * s @ Vt, float(s[0])


def measured(A: Tensor, sigma: float, y: Tensor, shape: tuple[int, ...]) -> Likelihood:
    """The likelihood of `y` (m,) = A x + N(0, σ²) in float64, for images of `shape`."""
    with double_by_default():
        return likelihood(Dense(shape, A), Gaussian(sigma), y[None])


PROBLEMS = concrete(vars(), Recipe)
