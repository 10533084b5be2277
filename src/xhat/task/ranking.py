"""Several starts of one point solver, ranked by the posterior of what they came to. The truth plays no part in it."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import SpecError
from ..files import record
from ..numerics.calls import Calls, counting
from ..numerics.linalg import rms
from ..priors.density import density
from ..solvers.base import AnySolver
from .checkpoint import Snapshot
from .results import Result
from .run import Job

ALIKE = 0.01  # root mean square, in [−1, 1], below which two images are one mode: about a grey level
BY = "negative log-likelihood minus the prior's log-density, in nats; the lowest is the best"


@dataclass(frozen=True, eq=False)
class Modes:
    """What the starts came to, the best first.

    Fields:
        images: (n, *image).
        seeds: the random stream of each start.
        nll: −log p(y|x) of each in nats, (n,), up to a constant that all share.
        log_prior: log p(x) of each in nats, (n,), of what the prior models: the latent, under a latent prior.
        residual, expected: as in `Restoration`, (n,).
        same: for each the first in this list that is the same image, (n,): itself, if it is new.
        level, how: the noise by which p(x) is blurred, and by what means it was found (`priors.density`).
        calls: what the ranking cost.
    """

    images: Tensor
    seeds: tuple[int, ...]
    nll: Tensor
    log_prior: Tensor
    residual: Tensor
    expected: Tensor
    same: tuple[int, ...]
    level: float
    how: str
    calls: Calls

    @property
    def score(self) -> Tensor:
        """−log p(y|x) − log p(x) of each, (n,), in increasing order."""
        return self.nll - self.log_prior

    @property
    def distinct(self) -> list[int]:
        """The numbers of the modes that differ from all better ones."""
        return [i for i, first in enumerate(self.same) if i == first]

    def account(self) -> dict[str, Any]:
        """What a record says of them."""
        columns = {"nll": self.nll, "log_prior": self.log_prior, "residual": self.residual}
        rows = [
            {"seed": seed, "same_as": self.same[i], "score": float(self.score[i])}
            | {k: float(v[i]) for k, v in columns.items()}
            for i, seed in enumerate(self.seeds)
        ]
        cost = vars(self.calls)
        return dict(record.finite({"by": BY, "density": self.how, "level": self.level, "calls": cost, "modes": rows}))


def check_starts(solver: AnySolver, starts: int, samples: int) -> None:
    """Raises SpecError if `solver` cannot be started several times to keep the best."""
    if starts == 1:
        return
    if samples > 1:
        raise SpecError("starts keeps the best of several runs, samples keeps them all: give one of them")
    if solver.returns != "point":
        raise SpecError(
            f"{type(solver).__name__} draws samples, of which the most probable is no better than the rest: starts is "
            "for solvers that return a point; to get several draws give samples"
        )
    if not solver.seeded:
        raise SpecError(f"{type(solver).__name__} uses no random numbers, so all its starts end at the same image")


@torch.no_grad()
def ranked(job: Job, end: Snapshot, result: Result) -> tuple[Modes, Result]:
    """The starts of the one measurement of `job`, the best first, and the `result` of the best alone.

    `end` is the finished run and `result` what it gave. Equal scores stay in the order of the seeds. Raises
    MismatchError for a prior without any density.
    """
    place, first = job.like.y.device, 0
    nll, log_prior, level, how = [], [], 0.0, ""
    with counting() as calls:
        for x in end.images:  # as they were computed: a batch is what fits into memory
            like = job.like.take(torch.tensor(job.source[first : first + len(x)]))
            first += len(x)
            there = x.to(place)
            found = density(job.prior, there)
            nll.append(like.nll(there).double().cpu())
            log_prior.append(found.values.double().cpu())
            level, how = found.level, found.how
    energy, p = torch.cat(nll), torch.cat(log_prior)
    order = torch.where(torch.isnan(energy - p), torch.inf, energy - p).argsort(stable=True)
    images = result.images[order]
    modes = Modes(
        images=images,
        seeds=tuple(job.seeds[i] for i in order.tolist()),
        nll=energy[order],
        log_prior=p[order],
        residual=result.residual[order],
        expected=result.expected[order],
        same=alike(images),
        level=level,
        how=how,
        calls=calls,
    )
    best = int(order[0])
    one = replace(
        result,
        images=result.images[best : best + 1],
        kernels=None if result.kernels is None else result.kernels[best : best + 1],
        residual=result.residual[best : best + 1],
        expected=result.expected[best : best + 1],
        stopped=result.stopped[best : best + 1],
        metrics={k: v[best : best + 1] for k, v in result.metrics.items() if not k.startswith("mean_")},
    )
    return modes, one


def alike(images: Tensor) -> tuple[int, ...]:
    """For each of `images` (n, *image) the number of the first that it is the same as, within `ALIKE`."""
    found: list[int] = []
    for i, x in enumerate(images):
        new = (j for j, first in enumerate(found) if j == first)
        found.append(next((j for j in new if float(rms((x - images[j])[None])) < ALIKE), i))
    return tuple(found)
