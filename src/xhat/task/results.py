"""The results of a run: the samples of each measurement, their residuals and their scores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..likelihoods import likelihood
from ..operators.blind_blur import BlindBlur
from .checkpoint import Snapshot
from .run import Job, fits, residuals


@dataclass(frozen=True)
class Result:
    """The samples of one measurement and how well they explain it; everything is on the CPU."""

    images: Tensor  # (n, *image)
    residual: Tensor  # (n,) root mean square of y − A(x̂), in the units of y
    expected: Tensor  # (n,) the residual that the noise model expects
    stopped: list[int | None]  # the step at which each sample was frozen; None if it ran to the end
    metrics: dict[str, Tensor] = field(default_factory=dict)  # name → (n,), of each sample; `mean_…` → (1,)
    kernels: Tensor | None = None  # (n, size, size), those that were found of an unknown blur


Score = Callable[[Tensor, Tensor], Tensor]  # of images and the true ones, both (n, *image), to (n,)


def results(job: Job, end: Snapshot, truth: Tensor | None = None, metrics: Mapping[str, Score] = {}) -> list[Result]:
    """The result of each measurement; `metrics` compare its images with `truth` (b, *image), if that is given."""
    found: list[tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]] = []
    first = 0
    for i, x in enumerate(end.images):
        images = decoded(job, x)
        like = job.problem.take(torch.tensor(job.source[first : first + len(x)]))
        if end.kernels and isinstance(like.A, BlindBlur):
            # an image fits its data through the kernel that was found with it
            like = likelihood(like.A.known(end.kernels[i].to(like.y.device)), like.noise, like.y)
        first += len(x)
        there = images.to(like.y.device)
        residual, expected = (v.cpu() for v in residuals(like, there))
        found.append((images, residual, expected, {k: v.cpu() for k, v in fits(like, there).items()}))
    images, residual, expected = (torch.cat([part[i] for part in found]) for i in range(3))  # type: ignore[misc]
    told = {k: torch.cat([part[3][k] for part in found]) for k in found[0][3]}
    stopped = torch.cat(end.frozen)
    out = []
    for i in range(len(job.problem.y)):
        mine = torch.tensor([j for j, source in enumerate(job.source) if source == i])
        scores: dict[str, Tensor] = {}
        if truth is not None:
            scores = scored(images[mine], truth[i], metrics)
        scores |= {k: v[mine] for k, v in told.items()}
        if len(mine) > 1:
            one = job.problem.take(torch.tensor([i]))
            mean = images[mine].mean(0, keepdim=True).to(one.y.device)
            scores |= {f"mean_{k}": v.cpu() for k, v in fits(one, mean).items()}
        frozen = [step or None for step in stopped[mine].tolist()]
        kernels = torch.cat(end.kernels)[mine] if end.kernels else None
        out.append(Result(images[mine], residual[mine], expected[mine], frozen, scores, kernels))
    return out


def scored(x: Tensor, truth: Tensor, metrics: Mapping[str, Score]) -> dict[str, Tensor]:
    """The metrics of each sample `x` (n, *image), and those of the samples' mean if there are several."""
    scores = {name: metric(x, truth.expand_as(x)) for name, metric in metrics.items()}
    if len(x) > 1:
        scores |= {f"mean_{name}": metric(x.mean(0, keepdim=True), truth[None]) for name, metric in metrics.items()}
    return scores


@torch.no_grad()
def decoded(job: Job, x: Tensor) -> Tensor:
    """The images, on the CPU, of the solver's answers `x` (b, *image or *latent)."""
    return job.prior.image(x.to(job.like.y.device)).cpu()
