"""How many images go through a solver at once: as many as the memory holds, measured with one image and with two."""

import gc
from itertools import islice

from ..loop import trajectory
from ..numerics.device import pick_device
from ..rng import Rng
from ..task.cost import free, peak_now, reset_peak
from .evaluate import Work, task_of

MOST = {"cuda": 256, "cpu": 16}  # larger batches make a CPU no faster
SHARE = 0.7  # the fraction of the free memory that may be used


def fitting(free: float, one: float, two: float, most: int) -> int:
    """The largest power of two b ≤ `most` with one + (b − 1)(two − one) ≤ free, at least 1; all in bytes."""
    each = max(two - one, one * 0.05, 1.0)
    room = 1 + (free - one) / each
    b = 1
    while b * 2 <= min(room, most):
        b *= 2
    return b


def batch_size(work: Work, device: str) -> int:
    """The number of images of `work` that fit in memory, from two steps of its solver on one image and on two."""
    kind = pick_device(device).type
    most = max(1, MOST.get(kind, 16) // work.cell.samples)
    if most == 1 or len(work.images) == 1:
        return 1
    try:
        one, two = (peak(work, n, device) for n in (1, 2))
    except Exception:  # whatever went wrong goes wrong again in the run itself, which records it
        return 1
    return fitting(SHARE * free(kind), one * work.cell.samples, two * work.cell.samples, most)


def peak(work: Work, n: int, device: str) -> float:
    """The bytes that two steps with `n` images take in addition to what was held before."""
    place = pick_device(device)
    job = task_of(Work(work.cell, work.seed, (work.images * n)[:n]), device).job(device)
    gc.collect()
    before = reset_peak(place.type)
    steps = trajectory(job.solver, job.prior, job.like, Rng(range(n)), job.schedule)
    for _ in islice(steps, 2):
        pass
    return max(0.0, peak_now(place.type) - before)
