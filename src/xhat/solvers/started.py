"""Runs that begin at an image, at a noise level of their own: warm starts, of any solver whose state allows it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ..errors import MismatchError, SpecError
from ..likelihoods import Likelihood
from ..priors.base import Prior
from ..rng import Rng
from ..schedule import Level, Schedule
from ..types import Image
from .base import AnySolver, Count, Solver, State


@dataclass(frozen=True)
class Start:
    """Where a run begins: at `image` (*image), noised to ρ = `rho` by methods whose state is a noisy image.

    `origin` says what the image is: y, classical, or the name of its file.
    """

    image: Image
    rho: float
    origin: str


@dataclass(frozen=True, eq=False, kw_only=True)
class WarmStart(Solver[Likelihood, State, Prior]):
    """`solver`, from `start` on: as many steps as without, spread over the part of its levels that lies below ρ.

    Come-Closer-Diffuse-Faster (Chung, Sim & Ye, 2022, arXiv:2112.05146) starts the reverse diffusion so; SDEdit
    (Meng et al., 2022, arXiv:2108.01073) did without a measurement. Raises MismatchError for a solver that cannot, and
    SpecError for a ρ that none of its levels surround.
    """

    solver: AnySolver
    start: Start

    def __post_init__(self) -> None:
        if not self.solver.begins_at_images:
            raise MismatchError(
                f"{type(self.solver).__name__} cannot begin at an image: leave start away, or take a solver such as "
                "lmaps, hqs or daps"
            )

    def levels_for(self, schedule: Schedule | None, prior: Prior, like: Likelihood) -> list[Level]:
        return below(self.solver.levels_for(schedule, prior, like), self.start.rho, type(self.solver).__name__)

    def init(self, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        image = self.start.image.to(like.y.device)[None].expand(len(like.y), *self.start.image.shape)
        made: State = self.solver.from_image(image, t, prior, like, rng)
        return made

    def mismatch(self, prior: Prior | None, like: Likelihood) -> str | None:
        return self.solver.mismatch(prior, like)

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        new: State = self.solver.step(state, k, t, s, prior, like, rng)
        return new


def below(levels: Sequence[Level], rho: float, name: str) -> list[Level]:
    """As many levels as `levels` from ρ = `rho` to the lowest, spaced as they are there; repeats of the lowest stay.

    Between two levels t, ln α and ln ρ are linear. Raises MismatchError if the levels of the solver `name` rise
    somewhere, and SpecError if `rho` is not among them.
    """
    falls = (i for i, (a, b) in enumerate(pairwise(levels), 1) if b.ratio >= a.ratio or b.sigma == 0)
    noisy = list(levels[: next(falls, len(levels))])
    if any(t.ratio not in (noisy[-1].ratio, 0.0) for t in levels[len(noisy) :]):
        raise MismatchError(f"{name} has noise levels that rise again, so it cannot begin at one: leave start away")
    if len(levels) == 2 and rho <= noisy[0].ratio:
        return [replace(noisy[0], sigma=rho * noisy[0].alpha), levels[1]]  # a single step may be at any level
    if not noisy[-1].ratio <= rho <= noisy[0].ratio:
        raise SpecError(
            f"start_rho {rho:g} is no level of this run of {name}, which go from {noisy[0].ratio:.4g} to "
            f"{noisy[-1].ratio:.4g}"
        )
    last = len(noisy) - 1
    i = next(i for i, t in enumerate(noisy) if t.ratio <= rho)
    first = float(i) if i == 0 else i - fraction(noisy[i - 1], noisy[i], rho)
    places = [first + (last - first) * j / last for j in range(last + 1)] if first < last else [float(last)]
    return [Level(*mixed(noisy, p)) for p in places] + list(levels[len(noisy) :])


def fraction(above: Level, under: Level, rho: float) -> float:
    """How far ρ = `rho` lies from `under` to `above`, in ln ρ: 0 to 1."""
    return math.log(rho / under.ratio) / math.log(above.ratio / under.ratio)


def mixed(levels: Sequence[Level], place: float) -> tuple[float, float, float]:
    """t, α and σ at a place between two levels, counted from 0."""
    i = min(int(place), len(levels) - 2)
    if i < 0:
        return levels[0].t, levels[0].alpha, levels[0].sigma
    a, b, w = levels[i], levels[i + 1], place - i
    if w in (0.0, 1.0):
        only = b if w else a
        return only.t, only.alpha, only.sigma
    alpha = math.exp((1 - w) * math.log(a.alpha) + w * math.log(b.alpha))
    return (1 - w) * a.t + w * b.t, alpha, alpha * math.exp((1 - w) * math.log(a.ratio) + w * math.log(b.ratio))
