"""Half-quadratic splitting with a denoiser."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from ..errors import MismatchError, SpecError
from ..ranges import Positive
from ..schedule import VE, Schedule
from .base import Count, Image, Level, LinearGaussian, Prior, Rng, Solver, State

QUANTUM = 1 / 255  # DPIR's lowest level: half a grey level, in images in [−1, 1]


@dataclass(frozen=True)
class HQS(Solver[LinearGaussian]):
    """Half-quadratic splitting, DPIR's (Zhang et al., 2021, eq. 6 and section 4.2). arXiv:2008.13751

        x = argmin ‖y − A x‖² + λ σ_y²/ρ_k² ‖x − z‖²,   z ← D(x, ρ_k)

    No noise is added, so the seed does not matter. ρ_k falls geometrically from `high`, by default DPIR's 49 grey
    levels, to `low`, by default σ_y, but not below half a grey level. It starts at the regularised least-squares image;
    DPIR starts at y or its interpolation. Raises SpecError unless `high` is above `low`, and MismatchError for a batch
    of different σ_y, which has no common ladder, unless `low` is given.
    """

    needs = LinearGaussian
    returns: ClassVar[str] = "point"
    seeded: ClassVar[bool] = False

    steps: int = 24
    lam: Annotated[float, Positive] = 0.23
    high: Annotated[float, Positive] = 2 * 49 / 255
    low: Annotated[float, Positive] | None = None

    def levels(self, schedule: Schedule, like: LinearGaussian) -> list[Level]:
        return ladder(self.high, self.low, self.steps, like)

    def init(self, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> State:
        x = first(like)
        return State(x, x)

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> State:
        z = prior(like.prox(state.x, self.lam * like.var / t.ratio**2), t)
        return State(z, z)


def ladder(high: float, low: float | None, steps: int, like: LinearGaussian) -> list[Level]:
    """`steps` levels from `high` to `low`, geometric in ρ, and the clean one; None is σ_y of the data."""
    if low is None:
        found = like.var.sqrt()
        if not (found == found[0]).all():
            raise MismatchError("the measurements have different noise, so their ladders differ: give low, the last ρ")
        low = max(float(found[0]), QUANTUM)
    if not high > low > 0:
        raise SpecError(f"the levels fall from high = {high:.4g} to low = {low:.4g}: high must be larger")
    return VE(low, high).levels(steps)


def first(like: LinearGaussian) -> Image:
    """The image to start from, argmin ‖y − A x‖² + (σ_y² + 0.01) ‖x‖²: (b, *image)."""
    return like.prox(torch.zeros_like(like.A.adjoint(like.y)), like.var + 1e-2)
