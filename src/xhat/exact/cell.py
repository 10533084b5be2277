"""One cell of the grid: one solver, one problem, one seed."""

from dataclasses import dataclass
from functools import lru_cache
from platform import machine
from typing import Any

import torch

from ..files.record import versions
from ..numerics.build_dtype import double_by_default
from ..solvers import SOLVERS
from ..spec import build, spec_of
from ..task.account import failure
from ..task.definitions import Definitions
from ..task.fingerprint import CODE as MODULES
from .metrics import Reference
from .problems import PROBLEMS
from .sampling import solved

CODE = Definitions(MODULES)
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
    return stamp(problem, solver, Reference, solved)


def stamp(problem: str, solver: str, *more: object) -> dict[str, str]:
    """The fingerprint of the code of a problem, of a solver and of `more`, the versions and the kind of processor."""
    parts = [*drawn(problem), *([] if solver == FLOOR else [build(solver, SOLVERS)]), *more]
    processor = f"{machine()} {torch.backends.cpu.get_cpu_capability()}"
    return {"code": CODE.fingerprint(*parts), "processor": processor} | versions()


@lru_cache(None)
def drawn(problem: str) -> tuple[object, ...]:
    """All that a problem is made of, as its first measurement has it."""
    recipe = build(problem, PROBLEMS)
    with double_by_default():
        first = recipe.problem(0)
    return recipe, first, first.like, first.like.A, first.like.noise, first.prior, first.posterior


def evaluate(cell: Cell) -> dict[str, Any]:
    """The result of `cell` as one flat record.

    A solver that does not fit, diverges or breaks gives a record as well, with another `status` and the message.
    """
    problem, solver, seed, n = cell.key
    record: dict[str, Any] = {"problem": problem, "label": cell.solver, "solver": solver, "seed": seed, "samples": n}
    record["made"] = made(problem, solver)
    with double_by_default():
        ref = reference(problem, seed, n)
        try:
            if solver == FLOOR:
                return record | {"status": "ok", "calls": 0.0, "seconds": 0.0} | ref.scored(ref.draws[1])
            return record | solved(build(cell.solver, SOLVERS), ref)
        except Exception as e:
            status, text = failure(e)
            return record | {"status": status, "error": text}


@lru_cache(2)
def reference(problem: str, seed: int, n: int) -> Reference:
    """What solvers are compared with: `n` exact samples of `problem` for `seed`. The last two are kept in memory."""
    return Reference(build(problem, PROBLEMS).problem(seed), n, seed)
