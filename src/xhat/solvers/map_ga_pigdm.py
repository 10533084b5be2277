"""MAP by gradient ascent, followed by ΠGDM."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..errors import MismatchError
from ..ranges import Positive, Repeats
from ..schedule import CLEAN, EDM, Schedule
from .ascent import settle
from .base import Count, Level, PinvGaussian, Prior, Rng, Solver, State
from .map_ga import MAPGA
from .pigdm_score import PiGDMScore


@dataclass(frozen=True)
class MAPGAPiGDM(Solver[PinvGaussian]):
    """MAP-GA down to the noise of the data, then ΠGDM, Algorithm 3 (Gutha et al., 2024). arXiv:2407.20784

        σ_t > σ_y:  Algorithm 2 without prior on the levels of the schedule above σ_y,  z ~ N(x̂, (σ_s² − σ_y²) I)
        σ_t ≤ σ_y:  z ~ N(x̂₀, (σ_s² − ε²) I),  x̂₀ = D(z, t) + σ_t² Jᵀ Aᵀ (r² A Aᵀ + σ_y² I)⁻¹ (y − A D(z, t)),

    r² = σ_t²/(1 + σ_t²), in `pigdm_steps` steps from σ_y to ε. If σ_y ≤ ε it is Algorithm 2. The other options are
    those of `map_ga`. Raises MismatchError if the images of a batch have different noise levels.
    """

    name: ClassVar[str] = "map_ga_pigdm"
    needs = PinvGaussian
    returns: ClassVar[str] = "point"

    steps: int = 50
    inner_steps: Annotated[int, Repeats] = 20
    pigdm_steps: Annotated[int, Repeats] = 20
    lam: str = "paper"
    model: str = "auto"
    eps: Annotated[float, Positive] = 0.002

    @property
    def above(self) -> MAPGA:
        """Algorithm 2 without prior."""
        return MAPGA(self.steps, self.inner_steps, False, self.lam, self.model, self.eps)

    def lacks(self, prior: Prior) -> str | None:
        return self.above.lacks(prior) or super().lacks(prior)

    def levels(self, schedule: Schedule, like: PinvGaussian) -> list[Level]:
        sigma = noise_level(like)
        above = [t for t in self.above.levels(schedule, like)[:-1] if t.ratio > sigma]
        rho = schedule.rho if isinstance(schedule, EDM) else 7.0
        below = EDM(self.eps, sigma, rho).levels(self.pigdm_steps + 1)[:-2] if sigma > self.eps else []
        return [*above, *below, CLEAN]

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: PinvGaussian, rng: Rng) -> State:
        sigma = noise_level(like)
        if t.ratio > sigma * (1 + 1e-9):
            x = self.above.ascend(state.x, t, prior, like)
            return State(settle(x, s, max(sigma, self.above.floor(prior)), rng), x)
        x = PiGDMScore().estimate(state.x, t, prior, like, rng)
        return State(settle(x, s, self.eps, rng), x)


def noise_level(like: PinvGaussian) -> float:
    """σ_y, which must be the same for all images, because they share the levels of a run."""
    std = like.noise.std(like.y)
    if (std != std[0]).any():
        raise MismatchError("map_ga_pigdm: the measurements of a batch must have one noise level")
    return float(std[0])
