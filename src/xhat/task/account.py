"""The record of a task: what was run, with what, at what cost and how well, in the fields of `schema.FIELDS`."""

import hashlib
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ..errors import DivergedError, MismatchError, ShapeError, SpecError, XhatError
from ..files.record import packages_of, versions
from ..likelihoods import LatentLikelihood
from ..noise import NOISES, Noise
from ..numerics.calls import Calls
from ..operators.base import Operator
from ..priors import NoPrior, Prior
from ..schedule import SCHEDULES, Schedule
from ..solvers.base import AnySolver
from .checkpoint import digest
from .fingerprint import CODE, modules_of
from .parts import METHODS, as_noise, name_of
from .results import Result, Score, results
from .run import Job, Watch, run
from .schema import CALLS, FIELDS, NOTHING, VERSION
from .task import Task

Row = dict[str, Any]


def blank() -> Row:
    """A record of which nothing is known yet."""
    empty = {str: "", int: 0, list: [], dict: {}}
    row: Row = {k: None if NOTHING in kinds else empty[kinds[0]] for k, kinds in FIELDS.items()}
    made = {"versions": versions(), "provenance": provenance()}
    return row | {"schema": VERSION, "status": "ok", "calls": dict.fromkeys(CALLS)} | made


def begun(
    task: Task, job: Job, at: int | None = None, metrics: Mapping[str, Score] = {}, weights: str | None = None
) -> Row:
    """The record of a task as far as it is known before anything is computed.

    With `at`, it is the record of that measurement alone. `weights` is the fingerprint of the prior's weights, if it
    has been computed already.
    """
    A, noise, found = job.problem.A, job.problem.noise, task.measurement
    those = slice(None) if at is None else slice(at, at + 1)
    seeds = task.seeds[those]
    own = A if at is None or max(A.batches(), default=1) == 1 else A.take(torch.tensor([at]))
    schedule = job.schedule or job.prior.schedule
    modules = modules_of([job.solver, A, noise, job.prior, schedule, *metrics.values()])
    modules |= {found.reader} if found and found.reader else set()
    return blank() | {
        "operator": name_of(task.operator or (found.operator if found else None)),
        "noise": name_of(said_noise(task, noise), NOISES),
        "solver": name_of(job.solver, METHODS),
        "prior": "none" if isinstance(job.prior, NoPrior) else name_of(task.prior),
        "schedule": "none" if isinstance(job.prior, NoPrior) else name_of(schedule, SCHEDULES),
        "image_shape": list(A.shape),
        "latent_shape": list(job.like.A.shape) if isinstance(job.like, LatentLikelihood) else None,
        "data_shape": list(A.data_shape),
        "seeds": [seed for own in seeds for seed in own],
        "measurements": len(seeds),
        "samples": len(seeds[0]),
        "batch_size": job.batch_size,
        "stop_at": job.stop_at,
        "returns": job.solver.returns,
        "measurement": found.origin if found else f"simulated with {name_of(task.operator)}",
        "measurement_sha256": digest([job.like.y[those]]),
        "operator_sha256": digest(own.state_dict().values()),
        "reference_sha256": None if task.truth is None else digest(list(task.truth[those])),
        "prior_sha256": digest(job.prior.state_dict().values()) if weights is None else weights,
        "code": code_of(job.solver, A, noise, job.prior, schedule, metrics),
        "versions": versions() | packages_of(modules),
        "device": str(job.like.y.device),
        "provenance": provenance(prior=job.prior),
    }


def said_noise(task: Task, noise: Noise) -> Noise:
    """The noise as it was given, if the problem was restated with another: that of photons as a weighted Gaussian one,
    for instance.
    """
    given = task.noise if task.noise is not None or task.measurement is None else task.measurement.noise
    said = noise if given is None else as_noise(given)
    return noise if type(said) is type(noise) else said


def ended(found: Sequence[Result], calls: Calls, seconds: float, share: int = 1) -> Row:
    """What a record says once the samples are there; the cost of the run is divided among `share` records."""
    residual, expected = (
        torch.cat(part).tolist() for part in zip(*((r.residual, r.expected) for r in found), strict=True)
    )
    return {
        "residual": residual,
        "expected_residual": expected,
        "residual_ratio": [r / e if e > 0 else None for r, e in zip(residual, expected, strict=True)],
        "smallest_residual": int(found[0].residual.argmin()) if len(found) == 1 else None,
        "stopped_at_step": [step for r in found for step in r.stopped],
        "metrics": {k: torch.cat([r.metrics[k] for r in found]).tolist() for k in found[0].metrics},
        "calls": {k: n if share == 1 else n / share for k, n in vars(calls).items()},
        "seconds": seconds / share,
    }


def recorded(
    task: Task, metrics: Mapping[str, Score] = {}, watch: Watch | None = None, device: str = "auto"
) -> tuple[Row, list[Result]]:
    """Runs a task and returns one record for all of it, with its results.

    If the solver does not take the task, or diverges, the record has no numbers and there are no results. Any other
    error is raised.
    """
    row = blank()
    try:
        job = task.job(device)
        row = begun(task, job, metrics=metrics)
        end = run(job, watch)
    except XhatError as e:
        status, text = failure(e)
        return row | {"status": status, "error": text}, []
    found = results(job, end, task.truth, metrics)
    return row | ended(found, end.calls, end.seconds), found


def code_of(
    solver: AnySolver, A: Operator, noise: Noise, prior: Prior, schedule: Schedule, metrics: Mapping[str, Score] = {}
) -> str:
    """The fingerprint of the code that decides the numbers of a run with these parts."""
    return CODE.fingerprint(solver, A, noise, prior, schedule, *metrics.values())


def failure(error: Exception) -> tuple[str, str]:
    """The status and the text in the record of a run that ended with `error`."""
    if isinstance(error, DivergedError):
        return "diverged", str(error)
    if isinstance(error, MismatchError | ShapeError | SpecError):
        return "n/a", str(error)
    return "error", f"{type(error).__name__}: {error}"


def provenance(source: Path | None = None, prior: Prior | None = None) -> Row:
    """Where and how something was computed, the file `source` from which it was computed, what was chosen or
    guessed when `prior` was loaded (`notes`), and the format its networks run in (`dtype`).
    """
    return {
        "command": command(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "process": os.getpid(),
        "threads": torch.get_num_threads(),
        "notes": [] if prior is None else [line for part in prior.modules() for line in getattr(part, "notes", ())],
        "dtype": None if prior is None else dtypes(prior),
        "file": None if source is None else str(source),
        "file_sha256": None if source is None or not source.is_file() else sha256(source, source.stat().st_mtime_ns),
    }


def hashes(files: Iterable[Path]) -> dict[str, str]:
    """What `sha256sum` prints for each file that was read, by its name."""
    return {str(file): sha256(file, file.stat().st_mtime_ns) for file in files if file.is_file()}


def command() -> str:
    """The command that this process runs, as it can be typed again; `python -m package` begins with package."""
    program = Path(sys.argv[0])
    return shlex.join([program.parent.name if program.name == "__main__.py" else program.name, *sys.argv[1:]])


def dtypes(prior: Prior) -> str | None:
    """The formats in which the networks of `prior` run, such as "bfloat16" where the option dtype is auto."""
    found = sorted({str(p.dtype).removeprefix("torch.") for p in prior.parameters()})
    return ", ".join(found) or None


@lru_cache(1024)
def sha256(path: Path, _: int) -> str:
    """What `sha256sum` prints for a file.

    The second argument is the time of its last change, so that a changed file is read again.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity(row: Row, more: Iterable[str] = ()) -> dict[str, str]:
    """What must be the same when a run is resumed: everything that decides the numbers, but no names of files."""
    parts = ("operator", "noise", "solver", "prior", "schedule", "image_shape", "latent_shape", "data_shape")
    run = ("seeds", "batch_size", "stop_at", "measurement_sha256", "operator_sha256", "prior_sha256", "code", "device")
    return {k: str(row[k]) for k in (*parts, *run, *more)} | {"torch": str(row["versions"]["torch"])}
