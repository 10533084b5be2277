"""One cell of the grid: one solver, one problem, one seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from platform import machine
from typing import Any

import torch

from ..effort import check_time, estimating
from ..files.record import versions
from ..files.room import fits
from ..files.rows import Row
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
COPIES = 4  # of the samples: those of the solver, two sets of exact ones, and what a solver works on
RATE = 2e10  # products a second: more than a core does on vectors as short as these
TRIED = 60.0  # seconds of cells after which the rest is judged
WHAT, SMALLER = "what is missing of the table", "fewer --problem, --solver, --seeds or --samples"
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


def stale(row: Row, now: dict[str, str]) -> bool:
    """Whether `row` was not made as `now` says.

    The version of xhat counts for nothing: its code has a fingerprint of its own.
    """
    before = row.get("made") or {}
    return any(before.get(k) != now.get(k) for k in (before | now).keys() - {"xhat"})


@lru_cache(None)
def drawn(problem: str) -> tuple[object, ...]:
    """All that a problem is made of, as its first measurement has it."""
    recipe = build(problem, PROBLEMS)
    with double_by_default():
        first = recipe.problem(0)
    return recipe, first, first.like, first.like.A, first.like.noise, first.prior, first.posterior


def weight(cell: Cell) -> float:
    """The products that a cell takes at least: in each step of its solver the prior is called for every sample."""
    steps = 1 if cell.solver == FLOOR else build(cell.solver, SOLVERS).steps
    work: float = steps * cell.key[3] * build(cell.problem, PROBLEMS).work
    return work


def check_cost(cells: Sequence[Cell], jobs: int) -> None:
    """Raises TooMuchError if the samples of a cell need more memory than is free, and TooLongError if `cells` take more
    than an hour in `jobs` processes; both only if the user has not agreed.
    """
    for cell in cells:
        size = build(cell.problem, PROBLEMS).size
        fits(8.0 * COPIES * cell.key[3] * size, f"{cell.problem}: {cell.key[3]:,} samples of {size:,} numbers")
    check_time(sum(map(weight, cells)) / RATE / max(1, jobs), WHAT, SMALLER)


def paced(watch: Callable[[Row], None] | None, cells: Sequence[Cell], jobs: int) -> Callable[[Row], None] | None:
    """`watch`, and a look, once a minute was computed, at how long the rest of `cells` takes at that pace."""
    if not estimating():
        return watch
    left, seconds, weighed, judged = {cell.key: weight(cell) for cell in cells}, 0.0, 0.0, False

    def both(row: Row) -> None:
        nonlocal seconds, weighed, judged
        seconds += row.get("seconds") or 0.0
        weighed += left.pop((row["problem"], row["solver"], row["seed"], row["samples"]), 0.0)
        if watch:
            watch(row)
        if seconds > TRIED and weighed and not judged:
            judged = True
            kept = f"what is computed is kept; {SMALLER}"
            check_time(seconds / weighed * sum(left.values()) / max(1, jobs), WHAT, kept)

    return both


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
