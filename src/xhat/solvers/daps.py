"""Decoupled annealing posterior sampling, with its inner chain or with an exact draw."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

from ..numerics.inner import langevin
from ..numerics.linalg import sq
from ..ranges import Fraction, Positive, Steps
from ..schedule import EDM
from ..transition import renoise
from .base import Count, Estimator, Image, Level, Likelihood, LinearGaussian, Prior, Rng, State


@dataclass(frozen=True)
class DAPS(Estimator[Likelihood]):
    """Decoupled annealing posterior sampling, Algorithm 1 (Zhang et al., 2024). arXiv:2407.01521

    x̂₀ comes from the probability flow in `ode_steps` steps, then x₀ ~ p(y|x₀) N(x₀; x̂₀, ρ_t² I) from `mcmc_steps`
    steps of Langevin dynamics; the next level forgets x_t (ζ = 1). The likelihood is the noise model's own, unless
    `tau` is given: the official code has exp(−‖y − A(x)‖²/τ²) with τ = 0.01, which counts the data 50 times at σ_y =
    0.05. `lr` is in units of 1/(1/σ² + 1/ρ_t²), σ² = σ_y² or τ²/2, and stable below 2 if ‖A‖ = 1; where a coupling of
    frames is steeper than the data, 1/σ² grows as its curvature does. With `absolute` it is the step size itself. Over
    the run it falls linearly to `decay` times its size. The official setting for linear tasks is tau=0.01, lr=1e-4,
    absolute=true, decay=0.01 on the schedule edm:sigma_min=0.1,sigma_max=100.
    """

    steps: int = 50
    ode_steps: Annotated[int, Steps] = 5
    mcmc_steps: Annotated[int, Steps] = 100
    lr: Annotated[float, Positive] = 0.2
    zeta: Annotated[float, Fraction] = 1.0
    tau: Annotated[float, Positive] | None = None
    absolute: bool = False
    decay: Annotated[float, Fraction] = 1.0

    @property
    def unit_norm(self) -> bool:
        """A step whose size was given is not made shorter."""
        return self.absolute

    def estimate(self, x: Image, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> Image:
        return self.draw(x, t, prior, like, rng, 1.0)

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        late = k.before / max(1, k.total - 1)
        x0 = self.draw(state.x, t, prior, like, rng, 1 + late * (self.decay - 1))
        return State(renoise(state.x, x0, t, s, self.zeta, rng), x0)

    def draw(self, x: Image, t: Level, prior: Prior, like: Likelihood, rng: Rng, size: float) -> Image:
        """The end of the Langevin chain, (b, *image), with `size` times the step size."""
        x, r, tau = flow(x, t, prior, self.ode_steps), t.ratio, self.tau
        misfit = like.nll if tau is None else lambda x0: sq(like.residual(x0)) / tau**2
        var = like.noise.scale(like.y) ** 2 if tau is None else tau**2 / 2
        lr = size * (self.lr if self.absolute else self.lr / (like.gain.to(x) / var + 1 / r**2))
        return langevin(lambda x0: misfit(x0) + sq(x0 - x) / (2 * r**2), x, lr, self.mcmc_steps, rng)


@dataclass(frozen=True)
class DAPSExact(Estimator[LinearGaussian]):
    """DAPS with its inner Langevin chain replaced by an exact draw, to which the chain converges. arXiv:2407.01521

    `mode=True` takes the mode instead of a draw: what the chain converges to without its noise.
    """

    name: ClassVar[str] = "daps_exact"
    needs = LinearGaussian

    steps: int = 50
    ode_steps: Annotated[int, Steps] = 5
    zeta: Annotated[float, Fraction] = 1.0
    mode: bool = False

    def estimate(self, x: Image, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> Image:
        x = flow(x, t, prior, self.ode_steps)
        return like.prox(x, like.var / t.ratio**2) if self.mode else like.draw(x, t.ratio, rng)


def flow(x: Image, t: Level, prior: Prior, steps: int) -> Image:
    """x̂₀ from x_t = `x` along the probability flow, by `steps` steps of DDIM (Euler) down to ρ = 0.01, as in the
    official code.
    """
    x = x / t.alpha
    for u, v in pairwise(EDM(min(0.01, t.ratio / 2), t.ratio).levels(steps)):
        x = renoise(x, prior(x, u), u, v, 0.0, NO_NOISE)
    return x


NO_NOISE = Rng([])
