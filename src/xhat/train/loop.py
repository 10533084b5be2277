"""The one training loop: batches by step number, gradient, optimiser, average, looks, checkpoint, limits.

A step is a function of the weights, the optimiser's moments and its own number alone, so a resumed run continues bit
for bit (on the same machine with the same number of threads). If a run is limited by minutes, its learning rate follows
the clock, and no two runs are the same. A look is a pause in which the model is validated, sampled and saved.
"""

import math
import signal
import statistics
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import number, whole
from ..errors import DataError, DivergedError, MismatchError, SpecError, WriteError
from ..files.writing import save_torch
from ..notes import tell
from ..rng import Rng
from .average import Average
from .dataset import Dataset, Order, stream
from .recipe import Optimiser, Watching


class Objective(ABC):
    """What is minimised; some objectives have a state of their own."""

    @abstractmethod
    def __call__(self, net: nn.Module, x0: Tensor, rng: Rng, done: float) -> Tensor:
        """The loss of each image of `x0` (b, c, h, w), as (b,), when the fraction `done` of the run is over.

        Every random number is drawn from `rng`.
        """

    def bare(self, net: nn.Module, x: Tensor) -> Tensor | None:
        """What the network alone makes of images `x` (b, c, h, w), if a step calls it once; None otherwise."""
        return None

    def after(self, net: nn.Module) -> None:  # noqa: B027
        """Called after each update of the weights."""

    def state(self) -> dict[str, Any]:
        """The tensors that a resumed run needs."""
        return {}

    def load(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Restores what `state` returned."""


@dataclass(frozen=True)
class Limit:
    """Where a run ends: after so many steps, after so many minutes, or at whichever comes first."""

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise SpecError("steps or minutes must be given")
        if self.steps is not None:
            whole("steps", self.steps, 1, 10**9)
        if self.minutes is not None:
            number("minutes", self.minutes)

    def done(self, step: int, seconds: float) -> float:
        """The fraction of the run that is over; at 1 or more it has ended."""
        parts = [step / self.steps] if self.steps else []
        return max(parts + ([seconds / 60 / self.minutes] if self.minutes else []))


@dataclass
class Progress:
    """What a look at the run reports; means are over the steps since the last look."""

    step: int = 0
    seconds: float = 0.0
    loss: float = math.nan
    gradient: float = math.nan
    rate: float = 0.0  # learning rate
    speed: float = 0.0  # images per second, without the time of looks
    bare: float = math.nan  # images per second of the network alone, forward and backward
    done: float = 0.0


@dataclass
class Job:
    """What is trained, on what, until when; `look` is called with the averaged weights in place."""

    net: Any
    objective: Objective
    data: Dataset
    optimiser: Optimiser
    watching: Watching
    limit: Limit
    accelerator: Any
    checkpoint: Path
    identity: dict[str, str]
    look: Callable[[Progress], None]
    tick: Callable[[Progress], None] = lambda progress: None
    average: Average = field(init=False)

    def __post_init__(self) -> None:
        if self.optimiser.batch % self.accelerator.num_processes:
            raise SpecError(f"a batch of {self.optimiser.batch} over {self.accelerator.num_processes} processes")
        self.average = Average(self.net.to(self.accelerator.device), self.optimiser.ema)


def run(job: Job, resume: bool = False) -> bool:
    """Trains to the limit and leaves `job.net` with the averaged weights. Returns False after Ctrl-C or SIGTERM.

    `resume` continues from the checkpoint. Raises DivergedError if the loss is not finite.
    """
    o, accelerator = job.optimiser, job.accelerator
    adam = torch.optim.AdamW(
        job.net.parameters(), lr=o.lr, betas=(o.beta1, o.beta2), weight_decay=o.weight_decay, fused=True
    )
    start = load(job, adam) if resume else Progress()
    net, adam = accelerator.prepare(job.net, adam)
    share, rank, order = (
        o.batch // accelerator.num_processes,
        accelerator.process_index,
        Order(len(job.data.train), o.seed),
    )
    progress, began = Progress(start.step, start.seconds), time.perf_counter() - start.seconds
    sums, since, looked, pause = torch.zeros(2, device=accelerator.device), 0, start.seconds, 0.0
    with interruption() as interrupted:
        while True:
            progress.seconds, stop = agreed(accelerator, time.perf_counter() - began, interrupted())
            progress.done = job.limit.done(progress.step, progress.seconds)
            over = progress.done >= 1 or stop
            due = (
                progress.step % job.watching.steps == 0
                if job.watching.steps
                else progress.seconds - looked >= 60 * job.watching.minutes
            )
            if since and (over or due):
                mean = accelerator.reduce(sums, "mean") / since
                progress.loss, progress.gradient = mean.tolist()
                progress.speed = since * o.batch / max(progress.seconds - looked - pause, 1e-9)
                if not math.isfinite(progress.loss):
                    raise DivergedError(
                        f"step {progress.step}: the loss is {progress.loss}; try a smaller optimiser.lr"
                    )
                if accelerator.is_main_process:
                    progress.bare = accelerator.num_processes * bare(job, share)
                    save(job, adam, progress)
                    averaged(job, progress)
                accelerator.wait_for_everyone()
                sums, since, looked = torch.zeros_like(sums), 0, progress.seconds
                pause = time.perf_counter() - began - progress.seconds
            if over:
                break
            progress.rate = rate(o, progress.step, progress.done)
            for group in adam.param_groups:
                group["lr"] = progress.rate
            first = progress.step * o.batch + rank * share
            examples = range(first, first + share)
            rng = stream(o.seed, examples)
            x0 = job.data.batch([order(i) for i in examples], rng).to(accelerator.device)
            torch.manual_seed(first)  # dropout draws from torch's global generator
            value = job.objective(net, x0, rng, progress.done).mean()
            accelerator.backward(value)
            norm = accelerator.clip_grad_norm_(net.parameters(), o.clip)
            adam.step()
            adam.zero_grad()
            progress.step, since = progress.step + 1, since + 1
            job.average.update(job.net, progress.step)
            job.objective.after(job.net)
            sums += torch.stack([value.detach().float(), norm.detach().float()])
            job.tick(progress)
    job.net.load_state_dict(job.average.weights)
    return progress.done >= 1


def bare(job: Job, n: int, repeats: int = 5) -> float:
    """Images a second of the network alone, forward and backward on `n` images, the median of some repeats: beside
    which the speed of the training is told. NaN if a step is more than one call of it. Leaves no gradients behind.
    """
    x = job.data.batch([0] * n, Rng(range(n))).to(job.accelerator.device)
    seconds: list[float] = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        out = job.objective.bare(job.net, x)
        if out is None:
            return math.nan
        out.mean().backward()  # type: ignore[no-untyped-call]
        if x.device.type == "cuda":
            torch.cuda.synchronize(x.device)
        seconds.append(time.perf_counter() - started)
    job.net.zero_grad()
    return n / statistics.median(seconds[1:])


def rate(o: Optimiser, step: int, done: float) -> float:
    """The learning rate at `step`: linear warm-up, constant, then a cosine down to 1 % of it over the last fraction
    `decay`.
    """
    left = min(1.0, (1 - done) / o.decay) if o.decay else 1.0
    return o.lr * min(1.0, (step + 1) / max(1, o.warmup)) * (0.01 + 0.99 * (1 - math.cos(math.pi * left)) / 2)


def agreed(accelerator: Any, seconds: float, stop: bool) -> tuple[float, bool]:
    """The clock of the first process, and whether any process was told to stop, so that all take the same decision."""
    if accelerator.num_processes == 1:
        return seconds, stop
    clocks = accelerator.gather(torch.tensor([seconds, float(stop)], dtype=torch.float64, device=accelerator.device))
    clocks = clocks.view(-1, 2)
    return float(clocks[0, 0]), bool(clocks[:, 1].any())


def averaged(job: Job, progress: Progress) -> None:
    """Calls `job.look` with the averaged weights in place of the current ones, and then restores these."""
    current = {k: v.detach().clone() for k, v in job.net.state_dict().items()}
    job.net.load_state_dict(job.average.weights)
    try:
        job.look(progress)
    finally:
        job.net.load_state_dict(current)


def save(job: Job, adam: Any, progress: Progress) -> None:
    """Writes everything on which the next step depends. If it is interrupted while it writes, the previous file
    remains.
    """
    scaler = getattr(job.accelerator, "scaler", None)
    content = {
        "identity": job.identity,
        "step": progress.step,
        "seconds": progress.seconds,
        "net": job.net.state_dict(),
        "average": job.average.weights,
        "adam": adam.state_dict(),
        "objective": job.objective.state(),
        "scaler": scaler.state_dict() if scaler else {},
    }
    try:
        save_torch(job.checkpoint, content)
    except WriteError as e:  # the training is worth more than its checkpoint
        tell(f"{e}; the training goes on without this checkpoint")


def load(job: Job, adam: Any) -> Progress:
    """Restores the checkpoint of `job`. Raises DataError if there is none, and MismatchError that names what has
    changed.
    """
    try:
        content = torch.load(job.checkpoint, map_location=job.accelerator.device, weights_only=True)
        was = content["identity"]
    except FileNotFoundError as e:
        raise DataError(f"{job.checkpoint}: nothing to resume here") from e
    except Exception as e:  # torch and pickle have many errors for a broken file
        raise DataError(f"{job.checkpoint}: not a checkpoint ({type(e).__name__})") from e
    if changed := [k for k in sorted(was.keys() | job.identity.keys()) if was.get(k) != job.identity.get(k)]:
        text = "; ".join(f"{k} was {was.get(k)}, is {job.identity.get(k)}" for k in changed)
        raise MismatchError(f"{job.checkpoint}: cannot resume another training: {text}")
    job.net.load_state_dict(content["net"])
    adam.load_state_dict(content["adam"])
    job.average.weights = content["average"]
    job.objective.load(content.get("objective", {}))
    if content["scaler"]:
        job.accelerator.scaler.load_state_dict(content["scaler"])
    return Progress(content["step"], content["seconds"])


@contextmanager
def interruption() -> Iterator[Callable[[], bool]]:
    """Turns Ctrl-C and SIGTERM into a flag that is read between two steps; a second one interrupts at once."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
