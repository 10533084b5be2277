"""The short way: one measurement in, restored images with their account out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..files import record
from ..files.measurement import Source
from ..files.readers.load import load, load_reference, split
from ..metrics.registry import choose, metric
from ..noise import Noise
from ..operators.base import Operator
from ..priors import Prior
from ..schedule import Schedule
from ..solvers.base import Solver
from .account import begun, ended, identity, provenance
from .checkpoint import Checkpoint, Snapshot
from .parts import Shape, image_for
from .progress import bar
from .restoration import Restoration
from .results import decoded, results
from .run import run
from .task import Task


def restore(
    y: Source,
    operator: str | Operator | Callable[[Tensor], Tensor] | None = None,
    noise: str | Noise | None = None,
    prior: str | Prior | Callable[[Tensor, float], Tensor] = "photo",
    solver: str | Solver[Any] = "lmaps",
    *,
    schedule: str | Schedule | None = None,
    seed: int = 0,
    samples: int = 1,
    batch_size: int | None = None,
    shape: Shape | None = None,
    reference: Source | None = None,
    metrics: Sequence[str] | None = None,
    device: str = "auto",
    stop_at: float | None = None,
    record_every: int = 0,
    progress: bool = False,
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> Restoration:
    """x̂ given one measurement y = A(x) + noise.

    `y` is a path, array, PIL image or tensor without batch axis; uint8 arrays are pixels, floats are in the
    units of y, [−1, 1] for images. `operator` may be any function on batches if `shape`, the shape of one image,
    is given; `prior` any denoiser (x, sigma) → x₀, and classical methods do without. Sample i uses seed + i, whatever
    the `batch_size`. Images whose residual falls to `stop_at` times the expected one stay as they are. With
    `checkpoint`, a file, a run that was interrupted goes on bit for bit with `resume`. For batches of different
    measurements, or to watch every step, see `likelihood`, `trajectory` and `solve`.
    """
    found = load(y)
    truth = None if reference is None else load_reference(reference)
    if truth is not None and (made := operator or found.operator):
        truth = image_for(made, truth)
    task = Task(
        operator=operator,
        noise=noise,
        prior=prior,
        solver=solver,
        seeds=[range(seed, seed + samples)],
        measurement=found,
        truth=None if truth is None else truth[None],
        schedule=schedule,
        shape=shape,
        batch_size=batch_size,
        stop_at=stop_at,
        record_every=record_every,
    )
    job = task.job(device)
    names = [] if truth is None else choose(metrics or None, truth, job.problem.A.modality)
    scores = {name: metric(name) for name in names}
    account = begun(task, job, metrics=scores) | {"measurement_scale": found.scale, "record_every": record_every}
    account["provenance"] = provenance(split(y)[0] if isinstance(y, str | Path) else None)
    own = identity(account, ("measurement_scale", "record_every"))
    saver = Checkpoint(Path(checkpoint), own) if checkpoint else None
    start = saver.load() if saver and resume else Snapshot()
    with bar(job.solver.steps, -(-samples // (batch_size or samples)), len(start.images), progress) as watch:
        end = run(job, watch, saver, start)
    (result,) = results(job, end, task.truth, scores)
    return Restoration(
        images=result.images,
        residual=result.residual,
        expected=result.expected,
        calls=end.calls,
        seconds=end.seconds,
        metrics=result.metrics,
        record=record.finite(account | ended([result], end.calls, end.seconds)),
        problem=job.problem.to("cpu"),
        reference=truth,
        frames=tuple((step, decoded(job, x[None])[0]) for step, x in end.frames),
    )
