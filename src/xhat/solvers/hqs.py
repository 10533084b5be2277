"""Half-quadratic splitting with a denoiser."""

from dataclasses import dataclass

from .base import Count, Level, LinearGaussian, Prior, Rng, State
from .splitting import Splitting, first


@dataclass(frozen=True)
class HQS(Splitting[State]):
    """Half-quadratic splitting, DPIR's (Zhang et al., 2021, eq. 6 and section 4.2). arXiv:2008.13751

        x = argmin ‖y − A x‖² + λ σ_y²/ρ_k² ‖x − z‖²,   z ← D(x, ρ_k)

    No noise is added, so the seed does not matter. ρ_k falls geometrically from `high`, by default DPIR's 49 grey
    levels, to `low`, by default σ_y, but not below half a grey level. It starts at the regularised least-squares image;
    DPIR starts at y or its interpolation. Raises SpecError unless `high` is above `low`, and MismatchError for a batch
    of different σ_y, which has no common ladder, unless `low` is given.
    """

    def init(self, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> State:
        x = first(like)
        return State(x, x)

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> State:
        z = prior(self.fitted(state.x, t, like), t)
        return State(z, z)
