"""One batch: measurements are simulated, restored and scored, with one record per image."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from ..errors import DivergedError, XhatError, out_of_memory
from ..figures.panel import data_picture
from ..files.rows import Row
from ..metrics.registry import metric
from ..numerics.device import pick_device
from ..operators import OPERATORS
from ..operators.modality import Modality
from ..priors import Prior, build_prior
from ..spec import Spec, factors, fits, lookup, parameters, parse
from ..task.account import begun, blank, code_of, ended, failure, provenance
from ..task.checkpoint import digest
from ..task.parts import as_noise, as_operator, as_schedule, as_solver, image_for, prior_for
from ..task.results import Result, Score, results
from ..task.run import run
from ..task.task import Task
from .grid import Cell
from .images import open_images
from .samples import spread
from .schema import key, stream

Pictures = dict[str, tuple[Tensor, Tensor | None]]  # name → the numbers, and the picture of them if there is one


@dataclass(frozen=True)
class Work:
    """Images of one cell and seed that are computed together."""

    cell: Cell
    seed: int
    images: tuple[str, ...]

    @property
    def keys(self) -> list[str]:
        """The keys of the records, in the order of the images."""
        return [key(self.cell.id, name, self.seed) for name in self.images]


@dataclass(frozen=True)
class Done:
    """The record of an image, and the pictures that may be kept: truth, measurement, the first restored sample."""

    row: Row
    pictures: Pictures


@lru_cache(1)
def prior_of(spec: str, device: str) -> tuple[Prior, str]:
    """A prior on `device`, kept until another one is asked for, and a fingerprint of its weights."""
    prior = build_prior(spec, pick_device(device))
    return prior, digest(prior.state_dict().values())


def evaluate(work: Work, metrics: Sequence[str], device: str = "auto", pictures: bool = False) -> list[Done]:
    """A record for each image of `work`.

    An image that does not fit, diverges or breaks gives a record as well, and the others are computed without it. The
    pictures stay empty unless `pictures` is true. If memory runs out, the batch is halved.
    """
    start = time.perf_counter()
    try:
        found = _together(work, metrics, device)
        return found if pictures else [Done(done.row, {}) for done in found]
    except Exception as e:
        if parts := _smaller(work, e):
            done = [d for part in parts for d in evaluate(replace(work, images=part), metrics, device, pictures)]
            return sorted(done, key=lambda d: work.images.index(d.row["image"]))
        status, text = failure(e)
    return broken(work, text, device, status, (time.perf_counter() - start) / len(work.images), metrics)


def _smaller(work: Work, error: Exception) -> list[tuple[str, ...]]:
    """The parts of a work that are tried by themselves after an error; empty if that is no help."""
    names = work.images
    if len(names) == 1:
        return []
    if isinstance(error, DivergedError):
        bad = {names[i // work.cell.samples] for i in error.images}
        good = tuple(n for n in names if n not in bad)
        return [good, *((n,) for n in names if n in bad)] if bad and good else [(n,) for n in names]
    return [names[: len(names) // 2], names[len(names) // 2 :]] if out_of_memory(error) else []


def broken(
    work: Work,
    error: str,
    device: str,
    status: str = "error",
    seconds: float | None = None,
    metrics: Sequence[str] = (),
) -> list[Done]:
    """Records that say why there is no result."""
    rows = [blank() | filed(work, name, device) | _known(work, name, device, metrics) for name in work.images]
    told = {"status": status, "error": error, "seconds": seconds, "batch_size": len(rows) * work.cell.samples}
    return [Done(row | told, {}) for row in rows]


def filed(work: Work, image: str, device: str, prior: Prior | None = None) -> Row:
    """The fields of a record that say which cell, image and seed it belongs to."""
    cell = work.cell
    first = stream(image, work.seed)
    named = {k: v for k, v in cell.identity.items() if k != "schedule"}
    file = open_images(cell.data).file(image)
    return {
        **named,
        "key": key(cell.id, image, work.seed),
        "cell": cell.id,
        "task": cell.task,
        "label": cell.label,
        "image": image,
        "seed": work.seed,
        "stream": first,
        "seeds": [first + i for i in range(cell.samples)],
        "measurements": 1,
        "measurement": f"simulated with {cell.operator}",
        "per_image": draws(cell.operator),
        "device": str(pick_device(device)),
        "provenance": provenance(file, prior),
    }


def _known(work: Work, image: str, device: str, metrics: Sequence[str]) -> Row:
    """What is known of a record without a result; as little as nothing of parts or images that cannot be had."""
    row: Row = {"returns": as_solver(work.cell.solver).returns}
    try:
        x = truth_of(work.cell, image)
        row |= {"image_shape": list(x.shape), "reference_sha256": digest([x])}
        row |= {"prior_sha256": prior_of(work.cell.prior, device)[1]}
        row |= {"code": code(work.cell, tuple(x.shape), metrics, device)}
    except XhatError:
        pass
    return row


@lru_cache(256)
def _code(cell: Cell, shape: tuple[int, ...], metrics: tuple[str, ...], device: str) -> str:
    A = as_operator(drawn_operator(cell.operator, [0]), shape)
    solver = as_solver(cell.solver)
    prior = prior_for(solver, prior_of(cell.prior, device)[0], pick_device(device))
    noise = as_noise(cell.noise).bind(A.detector)
    return code_of(
        solver, A, noise, prior, as_schedule(cell.schedule) or prior.schedule, scores_of(metrics, A.modality)
    )


def code(cell: Cell, shape: tuple[int, ...], metrics: Sequence[str], device: str) -> str:
    """The fingerprint of the code that decides the records of a cell, for images of `shape`."""
    return _code(replace(cell, task="", label="", seeds=(0,), images=None), shape, tuple(metrics), device)


def scores_of(metrics: Sequence[str], kind: Modality) -> dict[str, Score]:
    """The metrics called `metrics`, by the names they have for images of this kind."""
    return {name: metric(name) for name in map(kind.metric, metrics)}


def draws(operator: str) -> bool:
    """Whether a mask or kernel is drawn for each image: if the operator can do that and its spec names no seed."""
    name, options = parse(factors(operator)[-1])
    known = parameters(lookup(name, OPERATORS))
    return "seed" not in options and "seed" in known and fits([0, 1], known["seed"].annotation)


def drawn_operator(spec: str, streams: Sequence[int]) -> str:
    """The spec of a batch's operator; if it is drawn at random, each image has its own stream."""
    if not draws(spec):
        return spec
    *outer, inner = factors(spec)
    return " @ ".join([*outer, str(Spec.parse(inner).with_(seed=list(streams)))])


def truth_of(cell: Cell, name: str) -> Tensor:
    """The image `name` of the cell's data as an image of its operator, which may for example be complex."""
    return image_for(cell.operator, open_images(cell.data).load(name))


def task_of(work: Work, device: str) -> Task:
    """The task of the images of `work`: their measurements are simulated, each with its own stream."""
    cell = work.cell
    streams = [stream(name, work.seed) for name in work.images]
    return Task(
        operator=drawn_operator(cell.operator, streams),
        noise=cell.noise,
        prior=prior_of(cell.prior, device)[0],
        solver=cell.solver,
        seeds=[range(s, s + cell.samples) for s in streams],
        truth=torch.stack([truth_of(cell, name) for name in work.images]),
        noise_seeds=streams,
        schedule=cell.schedule,
    )


def _together(work: Work, metrics: Sequence[str], device: str) -> list[Done]:
    task, n = task_of(work, device), len(work.images)
    assert task.truth is not None
    job = task.job(device)
    kind = job.problem.A.modality
    scores = scores_of(metrics, kind)
    end = run(job)
    found = results(job, end, task.truth, scores)
    ys = job.problem.y.cpu()
    done = []
    for i, (name, result) in enumerate(zip(work.images, found, strict=True)):
        row = begun(task, job, i, scores, weights=prior_of(work.cell.prior, device)[1])
        row |= ended([result], end.calls, end.seconds, n) | filed(work, name, device, job.prior)
        row |= {"batch_size": len(job.seeds)}
        row["metrics"] |= of_samples(result, task.truth[i], scores)
        if bad := [m for m, v in row["metrics"].items() if not all(map(math.isfinite, v))]:
            raise DivergedError(f"{bad[0]} is not finite")
        images = {"truth": task.truth[i], "x": result.images[0]}
        seen: Pictures = {k: (image, kind.show(image)) for k, image in images.items()}
        done.append(Done(row, seen | {"y": (ys[i], data_picture(ys[i]))}))
    return done


def of_samples(result: Result, truth: Tensor, scores: dict[str, Score]) -> dict[str, list[float]]:
    """Scores by name that need several samples; empty for one sample. `truth` is one image, (*image).

    They are those of the sample with the smallest residual, which a user can choose without the truth, and how the
    samples spread.
    """
    if len(result.images) == 1:
        return {}
    best = result.images[int(result.residual.argmin())]
    chosen = {f"chosen_{name}": score(best[None], truth[None]).tolist() for name, score in scores.items()}
    return chosen | {name: [v] for name, v in spread(result.images, truth).items()}
