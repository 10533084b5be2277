"""One batch: measurements simulated, restored and measured, a record an image."""

import math
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..errors import DivergedError, MismatchError, ShapeError, SpecError, XhatError
from ..figures.panel import data_picture
from ..files.rows import Row
from ..likelihoods import Likelihood, likelihood
from ..loop import solve
from ..metrics.registry import metric
from ..noise import NOISES
from ..numerics.calls import Calls, counting
from ..operators import OPERATORS
from ..operators.base import Operator
from ..operators.building import build_operator, factors
from ..priors import Prior, build_prior
from ..rng import Rng
from ..spec import Spec, build, fits, lookup, parameters, parse
from ..task.checkpoint import digest
from ..task.parts import as_schedule, as_solver, image_for, pick_device, prior_for
from ..task.run import fits as explains
from ..task.run import residuals
from ..task.simulate import STREAM
from .grid import Cell
from .images import open_images
from .samples import spread
from .schema import VERSION, key, made_by, stream

Pictures = dict[str, tuple[Tensor, Tensor | None]]  # name → the numbers, and the picture of them if there is one


@dataclass(frozen=True)
class Work:
    """Images of one cell and seed that are computed together."""

    cell: Cell
    seed: int
    images: tuple[str, ...]

    @property
    def keys(self) -> list[str]:
        return [key(self.cell.id, name, self.seed) for name in self.images]


@dataclass(frozen=True)
class Done:
    """The record of an image, and what was seen: truth, measurement, the first restored sample."""

    row: Row
    pictures: Pictures


@lru_cache(1)
def prior_of(spec: str, device: str) -> tuple[Prior, str]:
    """A prior, kept until another one is asked for, and a fingerprint of its weights."""
    prior = build_prior(spec, pick_device(device))
    return prior, digest(prior.state_dict().values())


def evaluate(work: Work, metrics: Sequence[str], device: str = "auto", pictures: bool = False) -> list[Done]:
    """A record for each image. What does not fit, diverges or breaks is a record, too: the others go on without it.

    Without `pictures` those of the records stay empty. Where the memory does not do, the batch is halved.
    """
    begun = time.perf_counter()
    try:
        found = _together(work, metrics, device)
        return found if pictures else [Done(done.row, {}) for done in found]
    except DivergedError as e:
        names = work.images
        if len(names) > 1:
            bad = {names[i // work.cell.samples] for i in e.images}
            parts = [tuple(n for n in names if n not in bad), *((n,) for n in names if n in bad)]
            again = parts if bad and parts[0] else [(n,) for n in names]
            done = [d for part in again for d in evaluate(replace(work, images=part), metrics, device, pictures)]
            return sorted(done, key=lambda d: names.index(d.row["image"]))
        status, text = "diverged", str(e)
    except (MismatchError, ShapeError, SpecError) as e:
        status, text = "n/a", str(e)
    except Exception as e:
        if out_of_memory(e) and len(work.images) > 1:
            half = len(work.images) // 2
            parts = [work.images[:half], work.images[half:]]
            return [d for part in parts for d in evaluate(replace(work, images=part), metrics, device, pictures)]
        status, text = "error", f"{type(e).__name__}: {e}"
    return broken(work, text, device, status, (time.perf_counter() - begun) / len(work.images))


def broken(work: Work, error: str, device: str, status: str = "error", seconds: float | None = None) -> list[Done]:
    """Records that tell why there is no result."""
    rows = [described(work, name, device) | {"status": status, "error": error} for name in work.images]
    return [Done({**row, "run": row["run"] | {"seconds": seconds, "batch": len(rows)}}, {}) for row in rows]


def out_of_memory(e: Exception) -> bool:
    """torch has a class for a GPU's memory and a RuntimeError for the CPU's."""
    return isinstance(e, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(e)


def described(work: Work, image: str, device: str) -> Row:
    """The record of an image as far as it is known without computing."""
    cell = work.cell
    try:
        x = truth_of(cell, image)
        shape, sha = list(x.shape), digest([x])
        weights = prior_of(cell.prior, device)[1]
    except XhatError:
        shape, sha, weights = [], "", ""
    nothing: dict[str, Any] = dict.fromkeys(
        ("residual", "expected_residual", "residual_ratio", "forwards", "backwards", "operator_calls")
    )
    return {
        "schema": VERSION,
        "key": key(cell.id, image, work.seed),
        "cell": cell.id,
        "task": cell.task,
        "label": cell.label,
        **cell.identity,
        "image": image,
        "seed": work.seed,
        "stream": stream(image, work.seed),
        "per_image": draws(cell.operator),
        "shape": shape,
        "status": "ok",
        "error": None,
        "returns": as_solver(cell.solver).returns,
        "metrics": {},
        **nothing,
        "prior_sha256": weights,
        "image_sha256": sha,
        "versions": made_by(),
        "run": {
            "seconds": None,
            "batch": None,
            "device": str(pick_device(device)),
            "threads": torch.get_num_threads(),
            "host": platform.node(),
            "process": os.getpid(),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    }


def draws(operator: str) -> bool:
    """Whether a mask or kernel is drawn for each image: where the operator can and its spec names no seed."""
    name, options = parse(factors(operator)[-1])
    known = parameters(lookup(name, OPERATORS))
    return "seed" not in options and "seed" in known and fits([0, 1], known["seed"].annotation)


def operator_of(spec: str, shape: tuple[int, ...], streams: Sequence[int]) -> Operator:
    """The operator of a batch, each image's own where it is drawn at random."""
    if not draws(spec):
        return build_operator(spec, shape)
    *outer, inner = factors(spec)
    return build_operator(" @ ".join([*outer, str(Spec.parse(inner).with_(seed=list(streams)))]), shape)


def problem_of(work: Work, x: Tensor) -> Likelihood:
    """Measurements of `x` (b, *image), one an image, and their likelihood."""
    streams = [stream(name, work.seed) for name in work.images]
    A = operator_of(work.cell.operator, tuple(x.shape[1:]), streams)
    noise = build(work.cell.noise, NOISES).bind(A)
    with torch.no_grad():
        y = noise.sample(A(x), Rng([s ^ STREAM for s in streams]))
    return likelihood(A, noise, y)


def truth_of(cell: Cell, name: str) -> Tensor:
    """An image of the cell's data as one of its operator: a grey picture as a complex image, say."""
    return image_for(cell.operator, open_images(cell.data).load(name))


def restored(prior: Prior, cell: Cell, like: Likelihood, rng: Rng) -> Tensor:
    """What the cell's solver makes of the measurements, as images, whatever the prior works on."""
    solver = as_solver(cell.solver)
    prior = prior_for(solver, prior, like.y.device)
    inner = prior.problem(like)
    prior.fits(inner)
    out = solve(solver, prior, inner, rng, as_schedule(cell.schedule))
    with torch.no_grad():
        return prior.image(out)


def _together(work: Work, metrics: Sequence[str], device: str) -> list[Done]:
    cell, n = work.cell, work.cell.samples
    place = pick_device(device)
    x = torch.stack([truth_of(cell, name) for name in work.images])
    like = problem_of(work, x).take(torch.arange(len(x)).repeat_interleave(n)).to(place)
    prior = prior_of(cell.prior, device)[0]
    seeds = [stream(name, work.seed) + i for name in work.images for i in range(n)]
    begun = time.perf_counter()
    with counting() as calls:
        out = restored(prior, cell, like, Rng(seeds))
    if place.type == "cuda":
        torch.cuda.synchronize()
    seconds = (time.perf_counter() - begun) / len(x)
    found, expected = (v.cpu().reshape(len(x), n) for v in residuals(like, out))
    told = {k: v.cpu().reshape(len(x), n).mean(1) for k, v in explains(like, out).items()}
    chains = out.cpu().reshape(len(x), n, *out.shape[1:])
    ys, kind = like.y.cpu()[::n], like.A.modality
    names = [kind.metric(m) for m in metrics]
    rows = []
    for i, name in enumerate(work.images):
        row = described(work, name, device)
        row |= measured(chains[i], x[i], found[i], expected[i], names)
        row["metrics"] |= {k: float(v[i]) for k, v in told.items()}
        row |= cost(calls, len(x))
        row["run"] |= {"seconds": seconds, "batch": len(x)}
        seen: Pictures = {name: (image, kind.show(image)) for name, image in (("truth", x[i]), ("x", chains[i, 0]))}
        rows.append(Done(row, seen | {"y": (ys[i], data_picture(ys[i]))}))
    return rows


def cost(calls: Calls, n: int) -> Row:
    """An image's share of a batch of `n`."""
    return {"forwards": calls.forwards / n, "backwards": calls.backwards / n, "operator_calls": calls.operator / n}


def measured(x: Tensor, truth: Tensor, found: Tensor, expected: Tensor, metrics: Sequence[str]) -> Row:
    """Metrics of the samples x (n, *image) of one image: means over samples, never the best of them by the truth."""
    scores = {m: float(metric(m)(x, truth.expand_as(x)).mean()) for m in metrics}
    if len(x) > 1:
        scores |= {f"mean_{m}": float(metric(m)(x.mean(0, keepdim=True), truth[None])) for m in metrics}
        best = x[int(found.argmin())]  # by the measurement, which a user has
        scores |= {f"chosen_{m}": float(metric(m)(best[None], truth[None])) for m in metrics}
        scores |= spread(x, truth)
    r, e = float(found.mean()), float(expected.mean())
    if bad := [m for m, v in scores.items() if not math.isfinite(v)]:
        raise DivergedError(f"{bad[0]} is not finite")
    return {"metrics": scores, "residual": r, "expected_residual": e, "residual_ratio": r / e if e > 0 else None}
