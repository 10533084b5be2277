"""Regularisation by denoising."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from ..ranges import Positive
from ..schedule import CLEAN, Schedule
from .base import Count, Image, Level, LinearGaussian, Prior, Rng, Solver, State
from .splitting import first


@dataclass(frozen=True)
class RED(Solver[LinearGaussian]):
    """Regularisation by denoising, the fixed-point strategy (Romano, Elad & Milanfar, 2017). arXiv:1611.02862

        min ‖y − A x‖²/(2σ_y²) + λ/2 xᵀ(x − D(x, ρ)):   x ← (AᵀA/σ_y² + λ I)⁻¹ (Aᵀ y/σ_y² + λ D(x, ρ))

    One level ρ = `level` for the whole run. λ is in units of 1/image², and both defaults are the paper's for
    deblurring, λ = 0.02 and 3.25, which are in grey levels there. The seed does not matter.
    """

    name: ClassVar[str] = "red"
    needs = LinearGaussian
    returns: ClassVar[str] = "point"
    seeded: ClassVar[bool] = False

    steps: int = 100
    lam: Annotated[float, Positive] = 0.02 * 127.5**2
    level: Annotated[float, Positive] = 3.25 / 127.5

    def levels(self, schedule: Schedule, like: LinearGaussian) -> list[Level]:
        return [Level(0.5, 1.0, self.level)] * self.steps + [CLEAN]

    def init(self, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> State:
        x = first(like)
        return State(x, x)

    @property
    def begins_at_images(self) -> bool:
        return True

    def from_image(self, image: Image, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> State:
        """The image itself, without noise."""
        return replace(super().from_image(image, t, prior, like, rng), x=image)

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> State:
        x = like.prox(prior(state.x, t), self.lam * like.var)
        return State(x, x)
