"""What is to be restored and how, as one object: `restore`, `bench` and the studies all hand a `Task` to one runner."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ANY, MismatchError, ShapeError, SpecError, about
from ..files.measurement import Measurement
from ..likelihoods import Likelihood, likelihood
from ..numerics.device import pick_device
from ..operators.base import Operator
from ..priors.trial import tried
from ..schedule import Schedule
from .parts import (
    NoiseLike,
    OperatorLike,
    PriorLike,
    Shape,
    SolverLike,
    as_noise,
    as_operator,
    as_schedule,
    as_solver,
    prior_for,
)
from .run import Job, measured
from .windows import part_of, windows_for


@dataclass(frozen=True, eq=False)
class Task:
    """One measurement, or several that share an operator, a noise and a prior, and everything that decides their
    restorations.

    Parts are spec strings or objects. Either `measurement` is given, or `truth`, images (b, *image) whose measurements
    are simulated with the random streams `noise_seeds`, one per image. `seeds[i]` are the random streams of the samples
    of measurement i, so there are as many samples as streams. `batch_size`, the number of samples that are computed at
    a time, changes numbers by rounding only.
    """

    operator: OperatorLike | None
    noise: NoiseLike | None
    prior: PriorLike
    solver: SolverLike
    seeds: Sequence[Sequence[int]]  # the same number for each measurement
    measurement: Measurement | None = None
    truth: Tensor | None = None  # (b, *image); with a measurement, the one image that it is of, which no solver sees
    noise_seeds: Sequence[int] = ()
    schedule: str | Schedule | None = None  # None: that of the prior
    shape: Shape | None = None  # the shape of one image; None: that of the measurement or the truth
    batch_size: int | None = None  # None: all at once
    stop_at: float | None = None  # a sample is frozen at this multiple of the residual that the noise explains
    record_every: int = 0  # keep the first sample's x̂₀ after each multiple of this many steps; 0 keeps none
    window: int | None = None  # frames of a video or slices of a volume at a time; None: what memory holds

    def problem(self) -> Likelihood:
        """The likelihood of the images, on the CPU; what the task leaves open is taken from the measurement's file.

        Raises SpecError if the file does not say it either, and ShapeError for parts that do not fit each other.
        """
        if self.measurement is None:
            return self._simulated()
        found, truth = self.measurement, None if self.truth is None else self.truth[0]
        operator = found.operator if self.operator is None else self.operator
        noise = found.noise if self.noise is None else self.noise
        if operator is None or noise is None:
            raise SpecError(
                f"{found.origin} does not say which {'noise' if operator else 'operator'} made it: give one"
            )
        known = self.shape or found.image_shape or (None if truth is None else tuple(truth.shape))
        known = None if isinstance(operator, Operator) and self.shape is None else known
        told = self.operator is None or bool(found.physics)  # by the file
        by = "the reference" if known and not (self.shape or found.image_shape) else found.origin if told else None
        with about(by, ANY) if by else nullcontext():
            A = as_operator(operator, known, tuple(found.y.shape), found.physics)
        if truth is not None and tuple(truth.shape) != A.shape:
            raise ShapeError(f"the reference has shape {tuple(truth.shape)}, the restored image {A.shape}")
        try:
            with about(found.origin, ANY) if self.noise is None else nullcontext():
                noise = as_noise(noise)
            return likelihood(A, noise, A.intake(found.y[None]))
        except ShapeError as e:
            raise ShapeError(str(e) if truth is None else f"the reference may be of another image: {e}") from e

    def _simulated(self) -> Likelihood:
        if self.truth is None or self.operator is None or self.noise is None:
            raise SpecError("a task without a measurement needs the true images, an operator and a noise")
        A, noise = as_operator(self.operator, tuple(self.truth.shape[1:])), as_noise(self.noise)
        return likelihood(A, noise.bind(A.detector), measured(A, noise, self.truth, self.noise_seeds))

    def job(self, device: str | torch.device = "auto") -> Job:
        """All parts built, on the device, and checked to fit: what `run` takes.

        Raises MismatchError, ShapeError or SpecError before the first call of a network.
        """
        place = pick_device(str(device))
        problem = self.problem().to(place)
        solver = as_solver(self.solver)
        prior = prior_for(solver, self.prior, place)
        seeds = [seed for own in self.seeds for seed in own]
        windows = windows_for(problem.A, prior, self.window, min(self.batch_size or len(seeds), len(seeds)))
        job = Job(
            solver=solver,
            prior=prior,
            like=problem if windows else prior.problem(problem),
            problem=problem,
            seeds=seeds,
            source=[i for i, own in enumerate(self.seeds) for _ in own],
            schedule=as_schedule(self.schedule),
            batch_size=self.batch_size,
            stop_at=self.stop_at,
            record_every=self.record_every,
            streams=prior.streams(problem.A.shape),
            windows=windows,
        )
        first = prior.problem(part_of(problem, windows.spans[0])) if windows else job.like
        if why := prior.mismatch(first):
            raise MismatchError(why)
        tried(prior, first.A.shape)
        return job
