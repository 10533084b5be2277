"""One cell of the grid: one solver, one problem, one seed."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from platform import machine
from typing import Any

import torch
from torch import Generator, Tensor

from ..files.record import versions
from ..likelihoods import Likelihood
from ..loop import Step
from ..numerics.calls import Calls
from ..rng import Rng
from ..solvers import SOLVERS
from ..solvers.base import AnySolver, State
from ..spec import build, spec_of
from ..task.account import failure
from ..task.fingerprint import CODE
from ..task.run import Job, run
from .metrics import Reference
from .problems import PROBLEMS, double

FLOOR = "exact"  # the name of a second set of exact samples, in place of a solver


@dataclass(frozen=True)
class Cell:
    """Spec strings and a seed: what is computed, and the key under which its result is filed."""

    problem: str
    solver: str
    seed: int
    samples: int | None = None  # None: the problem's own number

    @property
    def key(self) -> tuple[str, str, int, int]:
        """(problem, solver, seed, samples) with all options stated, so that a changed default makes a new cell."""
        problem, samples = canonical_problem(self.problem)
        return problem, canonical_solver(self.solver), self.seed, self.samples or samples


@lru_cache(None)
def canonical_problem(spec: str) -> tuple[str, int]:
    """The shortest spec of a problem, and its number of samples."""
    recipe = build(spec, PROBLEMS)
    return spec_of(recipe, PROBLEMS), recipe.samples


@lru_cache(None)
def canonical_solver(spec: str) -> str:
    """The spec of a solver with all options stated."""
    return FLOOR if spec == FLOOR else spec_of(build(spec, SOLVERS), SOLVERS, full=True)


@lru_cache(None)
def made(problem: str, solver: str) -> dict[str, str]:
    """What decides a row besides its key: the code of solver, problem and scores, the versions, the processor."""
    recipe = build(problem, PROBLEMS)
    parts = (recipe, Reference, evaluate) if solver == FLOOR else (build(solver, SOLVERS), recipe, Reference, evaluate)
    processor = f"{machine()} {torch.backends.cpu.get_cpu_capability()}"
    return {"code": CODE.fingerprint(*parts), "processor": processor} | versions()


def evaluate(cell: Cell) -> dict[str, Any]:
    """The result of `cell` as one flat record.

    A solver that does not fit, diverges or breaks gives a record as well, with another `status` and the message.
    """
    problem, solver, seed, n = cell.key
    record: dict[str, Any] = {"problem": problem, "label": cell.solver, "solver": solver, "seed": seed, "samples": n}
    record["made"] = made(problem, solver)
    with double():
        ref = reference(problem, seed, n)
        try:
            if solver == FLOOR:
                return record | {"status": "ok", "calls": 0.0, "seconds": 0.0} | ref.scored(ref.draws[1])
            return record | _solved(build(cell.solver, SOLVERS), ref)
        except Exception as e:
            status, text = failure(e)
            return record | {"status": status, "error": text}


@lru_cache(2)
def reference(problem: str, seed: int, n: int) -> Reference:
    """What solvers are compared with: `n` exact samples of `problem` for `seed`. The last two are kept in memory."""
    return Reference(build(problem, PROBLEMS).problem(seed), n, seed)


def _solved(solver: AnySolver, ref: Reference) -> dict[str, Any]:
    coupled = any(f.name == "particles" for f in fields(solver))
    size = getattr(solver, "particles") if coupled else 1  # noqa: B009
    chains = -(-ref.n // size)  # independent populations, as many as it takes to have n samples
    like, prior = ref.problem.like, ref.problem.prior
    one = lambda seeds: OneStream(seeds[0], len(seeds))
    job = Job(solver, prior, like, like, seeds=[ref.seed] * chains, source=[0] * chains, streams=one)
    last = Last()
    end = run(job, watch=last)
    x: Tensor = getattr(last.state, "samples").flatten(0, 1)[: ref.n] if coupled else end.images[0]  # noqa: B009
    calls = end.calls
    points = ref.pointed(x.flatten(1)) if solver.returns == "point" else {}
    metrics: Mapping[str, float] = ref.scored(x.flatten(1)) | points
    far = solver.returns == "sample" and metrics["sw1"] > ref.problem.scale
    return {
        "status": "far" if far else "ok",
        "returns": solver.returns,
        "populations": chains if coupled else None,
        "forwards": calls.forwards / (chains * size),
        "backwards": calls.backwards / (chains * size),
        "calls": (calls.forwards + calls.backwards) / (chains * size),
        "seconds": end.seconds,
        **metrics,
    }


class Last:
    """Watches a run and keeps its last state."""

    state: State

    def __call__(self, step: Step, like: Likelihood, calls: Calls) -> None:
        self.state = step.state


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
