"""Draws of a solver on a problem whose posterior is known, and their scores."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Generator, Tensor

from ..likelihoods import Likelihood
from ..loop import trajectory
from ..numerics.calls import Calls, counting
from ..priors import Prior
from ..rng import Rng
from ..solvers.base import AnySolver, State
from ..solvers.particle import Particles
from .metrics import Reference
from .problems import Problem


def solved(solver: AnySolver, ref: Reference) -> dict[str, Any]:
    """What `solver` scores on the problem of `ref`, and what it cost for each sample."""
    drawn = draw(solver, ref.problem, ref.n, ref.seed)
    points = ref.pointed(drawn.x) if solver.returns == "point" else {}
    metrics: Mapping[str, float] = ref.scored(drawn.x) | points
    far = solver.returns == "sample" and metrics["sw1"] > ref.problem.scale
    calls, n = drawn.calls, drawn.chains * drawn.size
    return {
        "status": "far" if far else "ok",
        "returns": solver.returns,
        "populations": drawn.chains if drawn.particles else None,
        "forwards": calls.forwards / n,
        "backwards": calls.backwards / n,
        "calls": (calls.forwards + calls.backwards) / n,
        "seconds": drawn.seconds,
        **lineage(drawn.particles),
        **metrics,
    }


@dataclass(frozen=True)
class Drawn:
    """`x` (n, d), drawn by `chains` independent populations of `size` particles each, 1 for what has none."""

    x: Tensor
    chains: int
    size: int
    calls: Calls
    seconds: float
    particles: Particles | None


def draw(solver: AnySolver, problem: Problem, n: int, seed: int) -> Drawn:
    """`n` draws of `solver` for one problem, all from one random stream.

    Solvers with particles run as many independent populations as it takes. Raises what `trajectory` raises.
    """
    size = int(getattr(solver, "particles")) if any(f.name == "particles" for f in fields(solver)) else 1  # noqa: B009
    chains = -(-n // size)
    began = time.perf_counter()
    with counting() as calls:
        last = end(solver, problem.prior, problem.like, [0] * chains, seed)
    seconds = time.perf_counter() - began
    found = last if isinstance(last, Particles) else None
    x: Tensor = last.estimate if found is None else found.samples.flatten(0, 1)[:n]
    return Drawn(x.flatten(1), chains, size, calls, seconds, found)


def end(solver: AnySolver, prior: Prior, like: Likelihood, source: list[int], seed: int) -> State:
    """The last state of one chain, or population, for each measurement in `source`, all from one random stream."""
    rng = OneStream(seed, len(source))
    for step in trajectory(solver, prior, like.take(torch.tensor(source)), rng):
        last = step.state
    return last


def lineage(found: Particles | None) -> dict[str, float]:
    """Of particles: the smallest effective sample size of the run and how many of the first particles have descendants
    at the end, both as a share of the particles and a mean over the populations.
    """
    if found is None:
        return {}
    p = found.logw.shape[1]
    ancestors = [len(row.unique()) for row in found.ancestor]
    return {"ess": float(found.least.mean()) / p, "ancestors": sum(ancestors) / len(ancestors) / p}


class OneStream(Rng):
    """One random stream for all chains, because a thousand streams would cost more than the chains themselves."""

    def __init__(self, seed: int, chains: int) -> None:
        self.stream = Generator().manual_seed(seed)
        self.generators = [self.stream] * chains

    def state_dict(self) -> list[Tensor]:
        """The state of the one stream."""
        return [self.stream.get_state()]

    def randn_like(self, x: Tensor) -> Tensor:
        return torch.randn(x.shape, dtype=x.dtype, generator=self.stream)

    def rand_like(self, x: Tensor) -> Tensor:
        return torch.rand(x.shape, dtype=x.dtype, generator=self.stream)
