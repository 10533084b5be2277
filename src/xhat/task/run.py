"""The one runner: samples of one posterior or of several in sub-batches, watched, checkpointed, stopped one by one.

How the samples are batched changes numbers by rounding only, because each sample has its own random stream.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ..errors import DivergedError, SpecError
from ..likelihoods import LeastSquares, Likelihood
from ..loop import Step, trajectory
from ..noise import Noise
from ..numerics.calls import Calls, counting
from ..operators.base import Operator
from ..priors import LiftedPrior, Prior
from ..rng import Rng
from ..schedule import Schedule
from ..solvers.base import AnySolver, State
from ..solvers.started import Start, WarmStart
from ..types import Data, Image
from .checkpoint import Checkpoint, Snapshot, to_device
from .windows import Span, Windows, blended, part_of

STREAM = 0x9E3779B9  # keeps the noise of a measurement simulated with seed s apart from the draws of a solver with s


@dataclass(frozen=True)
class Job:
    """What to compute, with all parts built: sample j belongs to measurement `source[j]` and has the random stream
    `seeds[j]`.

    The samples of a measurement follow each other. Raises SpecError for numbers out of range, and for `stop_at` with a
    noiseless measurement.
    """

    solver: AnySolver
    prior: Prior
    like: Likelihood  # what the solver works on: about latents under a latent prior, otherwise `problem` itself
    problem: Likelihood  # about the images
    seeds: Sequence[int]
    source: Sequence[int]
    schedule: Schedule | None = None
    batch_size: int | None = None  # None: all at once
    stop_at: float | None = None  # freeze an image at this multiple of the expected residual
    record_every: int = 0  # keep the first image's x̂₀ after each multiple of this many steps; 0 keeps none
    streams: Callable[[Sequence[int]], Rng] = Rng
    windows: Windows | None = None  # of the frames of a video or volume, one after the other; then `like` is `problem`
    start: Start | None = None  # the image at which the run begins; None: where the solver begins

    def __post_init__(self) -> None:
        if not self.seeds or (self.batch_size is not None and self.batch_size < 1) or self.record_every < 0:
            raise SpecError("samples and batch_size must be at least 1, record_every at least 0")
        if self.stop_at is None:
            return
        if not self.stop_at > 0:
            raise SpecError(f"stop_at must be positive, not {self.stop_at}")
        if not (self.like.explained > 0).all():
            raise SpecError("stop_at compares with the noise level, and this measurement is noiseless")

    @property
    def method(self) -> AnySolver:
        """What the loop runs: the solver, from `start` on if there is one."""
        return self.solver if self.start is None else WarmStart(solver=self.solver, start=self.start)

    @property
    def spans(self) -> tuple[Span | None, ...]:
        """The windows, or one None for all of an image."""
        return (None,) if self.windows is None else self.windows.spans

    @cached_property
    def steps(self) -> int:
        """The steps that the solver makes of a batch, or of a window of it: not always as many as its option says."""
        like, _ = self.part(slice(0, 1), self.spans[0])
        return len(self.method.levels_for(self.schedule, self.prior, like)) - 1

    def part(self, those: slice, span: Span | None) -> tuple[Likelihood, Rng]:
        """What a solver works on for `those` samples in a window, and their random streams."""
        index, seeds = torch.tensor(self.source[those]), self.seeds[those]
        if span is None:
            return self.like.take(index), self.streams(seeds)
        like = self.prior.problem(part_of(self.problem.take(index), span))
        streams = self.streams
        if isinstance(self.prior, LiftedPrior):
            streams = self.prior.streams_from(like.A.shape, span[0])
        return like, streams(seeds)


Watch = Callable[[Step, Likelihood, Calls], None]  # sees each step, its sub-batch's likelihood, the calls so far


def run(
    job: Job, watch: Watch | None = None, checkpoint: Checkpoint | None = None, start: Snapshot | None = None
) -> Snapshot:
    """Runs `job` from `start` and returns the finished run, which `checkpoint` then holds until it is removed.

    On Ctrl-C the last finished step is saved to `checkpoint`, and KeyboardInterrupt is raised again. Raises
    DivergedError if an image is not finite; the checkpoint is then removed.
    """
    snap = start or Snapshot()
    size = job.batch_size or len(job.seeds)
    try:
        pieces = [(first, span) for first in range(0, len(job.seeds), size) for span in job.spans]
        for first, span in pieces[len(snap.images) :]:
            snap = _sub_batch(job, slice(first, first + size), span, snap, watch, checkpoint)
    except KeyboardInterrupt:
        if checkpoint:
            checkpoint.flush()
        raise
    except DivergedError:
        if checkpoint:
            checkpoint.remove()  # a resumed run would end at the same place
        raise
    if checkpoint:
        checkpoint.finish(snap)
    return snap if job.windows is None else _joined(snap, job.windows)


def _joined(snap: Snapshot, windows: Windows) -> Snapshot:
    """A run of whole videos, of one in windows: an image has stopped when the last of its windows has."""
    n = len(windows.spans)
    images, stops = ([part[i : i + n] for i in range(0, len(part), n)] for part in (snap.images, snap.frozen))
    whole = [blended(parts, windows.spans, windows.count) for parts in images]
    frozen = [torch.where(steps.amin(0) == 0, 0, steps.amax(0)) for steps in map(torch.stack, stops)]
    return replace(snap, images=whole, frozen=frozen)


def _sub_batch(
    job: Job, part: slice, span: Span | None, snap: Snapshot, watch: Watch | None, checkpoint: Checkpoint | None
) -> Snapshot:
    seeds, began, before = job.seeds[part], time.perf_counter() - snap.seconds, snap.calls
    like, rng = job.part(part, span)
    resume = None
    if snap.state is not None:
        rng.load_state_dict(snap.rng)
        resume = snap.step, to_device(snap.state, like.y.device)
    stopped = torch.zeros(len(seeds), dtype=torch.long) if snap.stopped is None else snap.stopped
    done = Stop(like, job.stop_at) if job.stop_at is not None else None
    with counting() as calls:
        for step in trajectory(job.method, job.prior, like, rng, job.schedule, resume, done):
            total = calls + before
            if done:
                stopped = torch.where((stopped == 0) & done(step.state).cpu(), step.index, stopped)
            frames = snap.frames
            if (
                job.record_every
                and not snap.images
                and (step.index % job.record_every == 0 or step.index == step.total)
            ):
                frames = [*frames, (step.index, step.state.x0[0].cpu())]
            # The streams are copied now, because an interrupt may come after they have moved on.
            snap = replace(snap, step=step.index, state=step.state, stopped=stopped, rng=rng.state_dict())
            snap = replace(snap, frames=frames, calls=total, seconds=time.perf_counter() - began)
            if checkpoint:
                checkpoint.note(snap)
            if watch:
                with counting() as looking:
                    watch(step, like, total)
                calls.operator -= looking.operator  # watching is not part of the method's cost
            if done and stopped.all():
                break
    assert snap.state is not None
    images = [*snap.images, snap.state.estimate.cpu()]  # on a GPU this waits for the end of the computation
    kernel = snap.state.kernel
    kernels = snap.kernels if kernel is None else [*snap.kernels, kernel.cpu()]
    snap = replace(snap, images=images, kernels=kernels, seconds=time.perf_counter() - began)
    return replace(snap, frozen=[*snap.frozen, stopped], step=0, state=None, stopped=None, rng=[])


class Stop:
    """Which images have a residual of at most `ratio` times the one that the noise model expects.

    The loop and the runner both ask about the same state, so the answer is computed once.
    """

    def __init__(self, like: Likelihood, ratio: float) -> None:
        self.like, self.ratio = like, ratio
        self.seen: tuple[State, Tensor] | None = None

    def __call__(self, state: State) -> Tensor:
        if self.seen is None or self.seen[0] is not state:
            found, expected = residuals(self.like, state.estimate)
            self.seen = state, found <= self.ratio * expected
        return self.seen[1]


def residuals(like: Likelihood, x: Tensor) -> tuple[Tensor, Tensor]:
    """The likelihood's `misfit` of each image: its residual, and the one that the noise model expects, both (b,)."""
    with torch.no_grad():
        return like.misfit(x)


@torch.no_grad()
def measured(A: Operator, noise: Noise, x: Image, seeds: Sequence[int]) -> Data:
    """Measurements y = A(x) + noise of the images `x` (b, *image), each with the random stream of its own seed."""
    return noise.bind(A.detector).sample(A(x), Rng([seed ^ STREAM for seed in seeds]))


@torch.no_grad()
def fits(like: Likelihood, x: Tensor) -> dict[str, Tensor]:
    """How well each image explains its own measurement in the noise model's own numbers, such as the χ² of closure
    quantities.
    """
    return like.noise.fit(like.y, like.A(x)) if isinstance(like, LeastSquares) else {}
