"""Pixels that were seen without noise are given back as they were.

Noiseless pixels come from a file, and were rounded when it was written. A solver may count that rounding as noise and
move them by a part of a level, which a second rounding makes a whole one in some places.
"""

from dataclasses import replace

import torch

from ..likelihoods import Likelihood
from ..noise import Noiseless
from ..operators.film import Scratches
from ..operators.inpaint import Inpaint
from ..types import Image
from .checkpoint import Snapshot
from .run import Job


def as_seen(x: Image, like: Likelihood) -> Image:
    """Images (b, *image) of one measurement, with its numbers where a mask shows them without noise."""
    if not isinstance(like.noise, Noiseless) or not isinstance(like.A, Inpaint | Scratches):
        return x
    return torch.where(like.A.s.to(x.device) > 0, like.y.to(x), x)


def all_as_seen(job: Job, end: Snapshot) -> Snapshot:
    """A finished run of one measurement with its images `as_seen`; of latents it stays as it is."""
    if job.like is not job.problem:
        return end
    return replace(end, images=[as_seen(x, job.problem) for x in end.images])
