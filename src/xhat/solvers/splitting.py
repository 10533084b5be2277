"""What the splitting methods of plug and play share: a data step, a denoiser, and levels that fall to the noise."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch

from ..errors import MismatchError, SpecError
from ..ranges import Positive
from ..schedule import VE, Schedule
from .base import Image, Level, LinearGaussian, Prior, Rng, S, Solver

QUANTUM = 1 / 255  # DPIR's lowest level: half a grey level, in images in [−1, 1]


@dataclass(frozen=True)
class Splitting(Solver[LinearGaussian, S]):
    """A method that fits the data and denoises in turn, at levels ρ_k that fall geometrically from `high` to `low`.

    `high` is by default DPIR's 49 grey levels, and `low` σ_y, but not below half a grey level. No noise is added, so
    the seed does not matter. Raises SpecError unless `high` is above `low`, and MismatchError for a batch of different
    σ_y, which has no common ladder, unless `low` is given.
    """

    needs = LinearGaussian
    returns: ClassVar[str] = "point"
    seeded: ClassVar[bool] = False

    steps: int = 24
    lam: Annotated[float, Positive] = 0.23
    high: Annotated[float, Positive] = 2 * 49 / 255
    low: Annotated[float, Positive] | None = None

    @property
    def proximal(self) -> bool:
        return True

    def levels(self, schedule: Schedule, like: LinearGaussian) -> list[Level]:
        """`steps` levels, geometric in ρ, and the clean one."""
        low = self.low
        if low is None:
            found = like.var.sqrt()
            if not (found == found[0]).all():
                raise MismatchError(
                    "the measurements have different noise, so their ladders differ: give low, the last ρ"
                )
            low = max(float(found[0]), QUANTUM)
        if not self.high > low > 0:
            raise SpecError(f"the levels fall from high = {self.high:.4g} to low = {low:.4g}: high must be larger")
        return VE(low, self.high).levels(self.steps)

    @property
    def begins_at_images(self) -> bool:
        return True

    def from_image(self, image: Image, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> S:
        """The image itself, without noise."""
        return replace(super().from_image(image, t, prior, like, rng), x=image)

    def fitted(self, x: Image, t: Level, like: LinearGaussian) -> Image:
        """argmin ‖y − A x'‖² + λ σ_y²/ρ_t² ‖x' − x‖², (b, *image)."""
        return like.prox(x, self.lam * like.var / t.ratio**2)


def first(like: LinearGaussian) -> Image:
    """The image to start from, argmin ‖y − A x‖² + (σ_y² + 0.01) ‖x‖²: (b, *image)."""
    return like.prox(torch.zeros_like(like.A.adjoint(like.y)), like.var + 1e-2)
