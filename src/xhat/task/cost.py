"""What a run will take, estimated before it starts: memory from shapes, both from one trial call of the network."""

import ctypes
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch

from ..effort import Pace, check_time, duration, estimating, refuse
from ..errors import MismatchError
from ..files.room import free_memory, gigabytes, line
from ..likelihoods import Likelihood
from ..loop import Step
from ..numerics.calls import Calls
from ..priors import Prior
from ..priors.trial import eagerly
from ..schedule import Level
from .run import Job, Watch

TRIED = 256  # pixels: the side of the part of an image on which a network is tried that takes any size
PLANES = 4  # frames of a video, or slices of a volume, on which it is tried
COPIES = 4  # of each image that a solver has at least: x_t, the estimate, the noise, and A of one of them
TOLD = 60.0  # seconds beyond which a run begins with a word about them
WHAT = "this restoration"
SMALLER = "fewer --samples or --steps, or a smaller image (--size, --crop),"
say = logging.getLogger("xhat").warning


def check_cost(job: Job, finished: int = 0) -> None:
    """Raises TooMuchError if the images of a batch need more memory than is free, and TooLongError if the run, of which
    `finished` samples are there already, takes more than an hour; both only if the user of a command has not agreed.

    A solver calls the network once in each step, or more often, and keeps what a call needs: so these are lower bounds.
    """
    if not estimating():
        return
    shape, left = job.like.A.shape, len(job.seeds) - finished
    if job.windows:
        shape = (shape[0], job.windows.longest, *shape[2:])
    batch = min(job.batch_size or left, left)
    device = job.like.y.device
    seconds, size = trial(job.prior, shape, device)
    each = max(size, 4.0 * COPIES * prod(shape))
    check_memory(batch, each, shape, device)
    total = seconds * job.steps * left * len(job.spans)
    check_time(total, WHAT, SMALLER)
    files = _files.get() or Files()
    if total * files.left > TOLD and not files.told:
        which = "this takes" if files.left == 1 else f"{files.left} files take"
        say("xhat: %s %s or more, and %s of memory", which, duration(total * files.left), gigabytes(batch * each))
        files.told = True


@dataclass
class Files:
    """How many files of a command are `left` when the first of them begins, and whether their time was `told`."""

    left: int = 1
    told: bool = False


_files: ContextVar[Files | None] = ContextVar("files", default=None)


@contextmanager
def of_files(left: int) -> Iterator[None]:
    """Inside, what is estimated is one of `left` files, whose time is told once, together."""
    token = _files.set(Files(max(1, left)))
    try:
        yield
    finally:
        _files.reset(token)


def check_memory(images: int, size: float, shape: tuple[int, ...], device: torch.device) -> None:
    """Raises TooMuchError if `images` of `shape` at a time, `size` bytes each, need more memory than is free."""
    if images * size > (room := free(device.type)):
        refuse(
            f"{images} images of shape {shape} at a time take {gigabytes(images * size)} of memory or more, and "
            f"{gigabytes(room)} are free here; a smaller --batch-size or image takes less"
        )


def paced(watch: Watch | None, steps: int) -> Watch | None:
    """`watch`, and a look at how long the first two of all `steps` took, which counts what solvers do inside a step."""
    if not estimating():
        return watch
    pace, done = Pace(steps, WHAT, SMALLER, time.monotonic), 0

    def both(step: Step, like: Likelihood, calls: Calls) -> None:
        nonlocal done
        done += 1
        pace(done)
        if watch:
            watch(step, like, calls)

    return both


def trial(prior: Prior, shape: tuple[int, ...], device: torch.device) -> tuple[float, float]:
    """The seconds and bytes that one call of the network takes for one image of `shape`; 0 for priors in closed form.

    A large image is judged by a part of it.
    """
    if prior.closed_form or not any(True for _ in prior.parameters()):
        return 0.0, 0.0
    part = shape
    if len(shape) in (3, 4):
        part = (shape[0], *(min(n, PLANES) for n in shape[1:-2]), *(min(n, TRIED) for n in shape[-2:]))
        try:
            prior.check(part)
        except MismatchError:
            part = shape
    x, level = torch.zeros(1, *part, device=device), Level(0.5, 1.0, min(1.0, prior.schedule(1.0).ratio))
    with torch.no_grad(), eagerly(prior):
        prior(x, level)  # the first call has what is done once
        before = reset_peak(device.type)
        began = time.perf_counter()
        float(prior(x, level).flatten()[0])  # waits for a GPU
    larger = prod(shape) / prod(part)
    return (time.perf_counter() - began) * larger, max(0.0, peak_now(device.type) - before) * larger


def free(kind: str) -> float:
    """The free memory in bytes, of the device of this `kind`."""
    if kind == "cuda":
        return float(torch.cuda.mem_get_info()[0])
    return free_memory()


def reset_peak(kind: str) -> float:
    """Starts a new measurement of the peak, and returns the bytes that are held now."""
    if kind == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return float(torch.cuda.memory_allocated())
    # What was freed before is given back first: a call that finds its memory there would seem to take none.
    with suppress(OSError, AttributeError, TypeError):  # a C library that has no such function
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0.0
    return line(Path("/proc/self/status"), "VmRSS")


def peak_now(kind: str) -> float:
    """The most bytes held since `reset_peak`."""
    if kind == "cuda":
        return float(torch.cuda.max_memory_allocated())
    return line(Path("/proc/self/status"), "VmHWM")
