"""The one loop of the package: it drives any solver and yields every step. Everything else watches it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .checks import instance
from .errors import DivergedError, MismatchError, ShapeError
from .likelihoods import Likelihood
from .priors.base import Prior
from .rng import Rng
from .schedule import Level, Schedule
from .solvers import fitting
from .solvers.base import AnySolver, Count, L, P, S, Solver, State
from .types import Image


@dataclass(frozen=True)
class Step:
    """What the loop yields: step `index` of `total` went from level `t` to `s` and left `state`."""

    index: int
    total: int
    t: Level
    s: Level
    state: State


Watch = Callable[[Iterator[Step]], Iterable[Step]]


@torch.no_grad()
def trajectory(
    solver: Solver[L, S, P],
    prior: P,
    like: L,
    rng: Rng,
    schedule: Schedule | None = None,
    resume: tuple[int, S] | None = None,
    done: Callable[[State], Tensor] | None = None,
) -> Iterator[Step]:
    """Yields steps 1, 2, …; lazily, so that the caller may watch, save, stop or resume.

    Example:

        for step in xhat.trajectory(solver, prior, like, xhat.Rng([0])):
            print(step.index, step.s.ratio, step.state.x0.std())

    `like` is a problem about what the prior models (`prior.problem` makes one), and `rng` has one stream per image.
    `schedule` is that of the prior by default. `resume` is (number of steps already made, their last state), with `rng`
    restored to its state at that point: the rest is then the same bit for bit. Images for which `done(state)`, shape
    (b,), holds are frozen in that state.

    Raises MismatchError if solver, prior and likelihood do not fit, before the first network call, and DivergedError as
    soon as an image is no longer finite.
    """
    instance("schedule", schedule, Schedule | None, "a Schedule or None")
    _check(solver, prior, like, rng)
    levels = solver.levels_for(schedule, prior, like)
    if resume is None:
        start, state = 0, solver.init(levels[0], prior, like, rng)
    else:
        start, state = resume
    total = len(levels) - 1
    for index, (t, s) in list(enumerate(pairwise(levels), 1))[start:]:
        new = solver.step(state, Count(index, total), t, s, prior, like, rng)
        if s.sigma == 0:
            new = new.finish(rng)
        state = state.where(done(state), new) if done and index > 1 else new
        _finite(state, solver, t)
        yield Step(index, total, t, s, state)


def solve(
    solver: Solver[L, S, P], prior: P, like: L, rng: Rng, schedule: Schedule | None = None, watch: Watch | None = None
) -> Image:
    """x̂ given y, shape (b, *image); `watch` wraps the iteration, for example in a progress bar.

    Example:

        x = xhat.solve(solver, prior, like, xhat.Rng([0, 1]))  # one seed for each of two measurements

    Under a latent prior x is a latent: `prior.image(solve(solver, prior, prior.problem(like), rng))`. Raises what
    `trajectory` raises.
    """
    steps = trajectory(solver, prior, like, rng, schedule)
    for step in watch(steps) if watch else steps:
        last = step
    return last.state.estimate


def _check(solver: AnySolver, prior: Prior, like: Likelihood, rng: Rng) -> None:
    instance("solver", solver, Solver, "a Solver")
    instance("prior", prior, Prior, "a Prior")
    instance("like", like, Likelihood, "a likelihood")
    instance("rng", rng, Rng, "random streams, Rng(seeds)")
    if why := solver.mismatch(prior, like):
        fit = ", ".join(fitting(prior, like))
        raise MismatchError(f"{why}. Solvers that fit: {fit}" if fit else why)
    if len(rng.generators) != len(like.y):
        raise ShapeError(f"{len(rng.generators)} random streams for {len(like.y)} images")


def _finite(state: State, solver: AnySolver, t: Level) -> None:
    bad = ~(torch.isfinite(state.x).flatten(1).all(1) & torch.isfinite(state.x0).flatten(1).all(1))
    if bad.any():
        images = bad.nonzero().flatten().tolist()
        name = type(solver).__name__
        raise DivergedError(f"{name} diverged at noise level {t.ratio:.4g}: image {images} not finite", images)
