"""A prior of complex images, made from one of grey pictures."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from ...errors import MismatchError
from ...operators.modality import COMPLEX
from ...priors.base import Prior
from ...ranges import Range
from ...schedule import Level, Schedule
from ...types import Image


@dataclass(frozen=True)
class Halved(Schedule):
    """The levels of another schedule for images of half the contrast: ρ is halved, and α = 1."""

    grey: Schedule

    def __call__(self, t: float) -> Level:
        return halved(self.grey(t))

    def levels(self, steps: int, start: float = 1.0) -> list[Level]:
        return [halved(level) for level in self.grey.levels(steps, start)]


def halved(level: Level) -> Level:
    """The level with half the ρ of `level`, and α = 1."""
    return Level(level.t, 1.0, level.ratio / 2)


class Magnitude(Prior):
    """A prior of grey pictures in [−1, 1] as a prior of complex images (2, h, w) whose phase is close to 0.

    The real part is (g + 1)/2, with g from `prior`. The imaginary part is
    independent, N(0, `imaginary`² I). This fits images that are combined with coil maps which carry the phase, as
    estimated maps do:

        E[Re | x_t] = (D(2 x_t/α − 1, 2 σ/α) + 1)/2

    because noise σ in the real part is noise 2 σ in g.
    """

    source: ClassVar[str] = "phase-constrained reconstruction: Noll, Nishimura & Macovski, 1991"

    def __init__(self, prior: Prior, imaginary: Annotated[float, Range(above=0, most=1e6)] = 0.02) -> None:
        super().__init__()
        self.inner = prior
        self.closed_form = prior.closed_form
        self.imaginary = imaginary
        self.schedule = Halved(self.inner.schedule)

    def check(self, shape: tuple[int, ...]) -> None:
        if not COMPLEX.fits(shape):
            raise MismatchError(f"this prior knows complex images (2, h, w), the problem has {tuple(shape)}")
        self.inner.check((1, *shape[1:]))

    def mse(self, t: Level) -> float | None:
        grey = self.inner.mse(Level(t.t, 1.0, 2 * t.ratio))
        var = self.imaginary**2
        return None if grey is None else (grey / 4 + var * t.ratio**2 / (var + t.ratio**2)) / 2

    def forward(self, x: Image, t: Level) -> Image:
        z = x / t.alpha
        grey = self.inner.forward(2 * z[:, :1] - 1, Level(t.t, 1.0, 2 * t.ratio))
        rest = z[:, 1:] * (self.imaginary**2 / (self.imaginary**2 + t.ratio**2))
        return torch.cat([(grey + 1) / 2, rest], 1)
