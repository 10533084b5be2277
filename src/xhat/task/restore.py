"""The short way: one measurement in, restored images with their account out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ShapeError, SpecError
from ..files import record
from ..files.measurement import Measurement, Source
from ..files.readers.load import load, load_reference
from ..likelihoods import LatentLikelihood, Likelihood, likelihood
from ..metrics.registry import choose, metric
from ..noise import NOISES, Noise
from ..operators.base import Operator
from ..priors import NoPrior, Prior
from ..schedule import SCHEDULES, Schedule
from ..solvers.base import Solver
from .checkpoint import Checkpoint, Snapshot, digest
from .parts import (
    METHODS,
    Shape,
    as_noise,
    as_operator,
    as_schedule,
    as_solver,
    image_for,
    name_of,
    pick_device,
    prior_for,
)
from .progress import bar
from .restoration import Restoration
from .run import Job, fits, residuals, run


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
    found, place = load(y), pick_device(device)
    truth = None if reference is None else load_reference(reference)
    if truth is not None and (made := operator or found.operator):
        truth = image_for(made, truth)
    like = problem(found, operator, noise, shape, truth).to(place)
    method = as_solver(solver)
    model = prior_for(method, prior, place)
    job = Job(
        solver=method,
        prior=model,
        like=model.problem(like),
        seeds=range(seed, seed + samples),
        schedule=as_schedule(schedule),
        batch_size=batch_size,
        stop_at=stop_at,
        record_every=record_every,
    )
    job.prior.fits(job.like)
    names = [] if truth is None else choose(metrics or None, truth, like.A.modality)
    known = "none" if isinstance(model, NoPrior) else name_of(prior)
    account = describe(job, like, found, name_of(operator or found.operator), known)
    saver = Checkpoint(Path(checkpoint), identity(account, like)) if checkpoint else None
    start = saver.load() if saver and resume else Snapshot()
    with bar(job.solver.steps, -(-samples // (batch_size or samples)), len(start.images), progress) as watch:
        end = run(job, watch, saver, start)
    return _restoration(job, like, end, truth, names, account)


def problem(
    found: Measurement,
    operator: str | Operator | Callable[[Tensor], Tensor] | None,
    noise: str | Noise | None,
    shape: Shape | None,
    truth: Tensor | None,
) -> Likelihood:
    """The likelihood of one measurement; what the call leaves open is taken from its file, then from the reference."""
    operator, noise = operator or found.operator, noise or found.noise
    if operator is None or noise is None:
        raise SpecError(f"{found.origin} does not say which {'noise' if operator else 'operator'} made it: give one")
    known = shape or found.image_shape or (None if truth is None else tuple(truth.shape))
    known = None if isinstance(operator, Operator) and shape is None else known
    A = as_operator(operator, known, tuple(found.y.shape), found.physics)
    if truth is not None and tuple(truth.shape) != A.shape:
        raise ShapeError(f"the reference has shape {tuple(truth.shape)}, the restored image {A.shape}")
    try:
        return likelihood(A, as_noise(noise), A.intake(found.y[None]))
    except ShapeError as e:
        raise ShapeError(str(e) if truth is None else f"the reference may be of another image: {e}") from e


def describe(job: Job, like: Likelihood, found: Measurement, operator: str, prior: str) -> dict[str, Any]:
    """The part of the record that is known beforehand."""
    return {
        "operator": operator,
        "noise": name_of(job.like.noise, NOISES),
        "solver": name_of(job.solver, METHODS),
        "prior": prior,
        "schedule": name_of(job.schedule or job.prior.schedule, SCHEDULES),
        "image_shape": list(like.A.shape),
        "latent_shape": list(job.like.A.shape) if isinstance(job.like, LatentLikelihood) else None,
        "data_shape": list(like.A.data_shape),
        "seeds": list(job.seeds),
        "batch_size": job.batch_size,
        "stop_at": job.stop_at,
        "record_every": job.record_every,
        "measurement": found.origin,
        "measurement_scale": found.scale,
        "measurement_sha256": digest([job.like.y]),
        "device": str(job.like.y.device),
        "versions": record.versions(),
    }


def identity(account: dict[str, Any], like: Likelihood) -> dict[str, str]:
    """What must not have changed when a run is resumed: all of that but names of files and places."""
    free = ("measurement", "device", "versions")
    fixed = {k: str(v) for k, v in account.items() if k not in free}
    return {**fixed, "operator_sha256": digest(like.A.state_dict().values())}


@torch.no_grad()
def decoded(job: Job, x: Tensor) -> Tensor:
    """The images that the solver's answers (b, *image or *latent) stand for; on the CPU."""
    return job.prior.image(x.to(job.like.y.device)).cpu()


def fit(like: Likelihood, images: Tensor) -> dict[str, Tensor]:
    """What the noise model measures of the fit of each image to the one measurement; on the CPU."""
    each = like.take(torch.zeros(len(images), dtype=torch.long))
    return {k: v.cpu() for k, v in fits(each, images.to(each.y.device)).items()}


def _restoration(
    job: Job, like: Likelihood, end: Snapshot, truth: Tensor | None, names: Sequence[str], account: dict[str, Any]
) -> Restoration:
    parts = [decoded(job, x) for x in end.images]
    found = [residuals(like.take(torch.zeros(len(x), dtype=torch.long)), x.to(like.y.device)) for x in parts]
    images = torch.cat(parts)
    residual, expected = (torch.cat(part).cpu() for part in zip(*found, strict=True))
    scores: dict[str, Tensor] = {}
    if truth is not None:
        scores = {n: metric(n)(images, truth.expand_as(images)) for n in names}
        if len(images) > 1:
            scores |= {f"mean_{n}": metric(n)(images.mean(0, keepdim=True), truth[None]) for n in names}
    scores |= fit(like, images)
    if len(images) > 1:
        scores |= {f"mean_{n}": v for n, v in fit(like, images.mean(0, keepdim=True)).items()}
    full = account | {
        "calls": vars(end.calls),
        "seconds": end.seconds,
        "residual": residual,
        "expected_residual": expected,
        "residual_ratio": residual / expected,
        "smallest_residual": int(residual.argmin()),
        "stopped_at_step": [step or None for step in torch.cat(end.frozen).tolist()],
        "metrics": scores,
    }
    return Restoration(
        images=images,
        residual=residual,
        expected=expected,
        calls=end.calls,
        seconds=end.seconds,
        metrics=scores,
        record=record.finite(full),
        problem=like.to("cpu"),
        reference=truth,
        frames=tuple((step, decoded(job, x[None])[0]) for step, x in end.frames),
    )
