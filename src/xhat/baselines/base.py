"""Classical methods: solvers that do not use a prior."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from ..solvers.base import Count, Image, L, Level, Prior, Rng, S, Solver, State


@dataclass(frozen=True)
class Baseline(Solver[L, S]):
    """A solver that never calls its prior, so that any prior will do; `restore` builds none for it and records none."""

    returns: ClassVar[str] = "point"

    @property
    def begins_at_images(self) -> bool:
        return False

    def lacks(self, prior: Prior) -> str | None:
        """Nothing: no prior is refused."""
        return None


@dataclass(frozen=True)
class Direct(Baseline[L, State]):
    """An image that is computed in one step."""

    steps: int = 1

    @abstractmethod
    def image(self, like: L) -> Image:
        """The image, (b, *image)."""

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: L, rng: Rng) -> State:
        x = self.image(like)
        return State(x, x)
