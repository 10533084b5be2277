"""Long videos and volumes in bounded memory: windows of frames that overlap, restored one by one and blended.

Each frame keeps its own random stream, and a window sees `GUARD` of the frames it shares with the next one without
having a say in them: what couples frames over a shorter reach than that is the same as in the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from ..checks import whole
from ..errors import SpecError
from ..files.room import free_memory
from ..likelihoods import Likelihood, likelihood
from ..operators.base import Operator
from ..operators.sections import grain, section
from ..priors import LiftedPrior, NoPrior, Prior
from ..spec import called

OVERLAP = 16  # frames that two windows share, at most
GUARD = 0.375  # the portion of them at either end in which only the other window counts
HELD = 40  # numbers of four bytes held for each of an image while a video is solved: lmaps along motion, measured
ROOM = 0.5  # the portion of the free memory that a window may take

Span = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """Parts of a video of `count` frames, each from `begin` to `end`, the last not counted."""

    spans: tuple[Span, ...]
    count: int

    @property
    def longest(self) -> int:
        """The most frames of a window."""
        return max(end - begin for begin, end in self.spans)

    def __str__(self) -> str:
        shared = self.spans[0][1] - self.spans[1][0]
        return f"{self.count} frames in {len(self.spans)} windows of {self.longest} that share {shared}"


def spans(count: int, window: int, overlap: int = OVERLAP, grain: int = 1) -> list[Span]:
    """(begin, end) of windows of at most `window` of `count` frames, neighbours sharing up to `overlap` frames.

    All but the last begin and end at multiples of `grain`; so does the last one begin.
    """
    if count <= window:
        return [(0, count)]
    window = max(window // grain, 1) * grain
    shared = min(-(-overlap // grain), window // grain - 1) * grain
    stride = window - shared
    begins = range(0, count - shared, stride)
    return [(b, min(b + window, count)) for b in begins]


def blended(parts: Sequence[Tensor], where: Sequence[Span], count: int) -> Tensor:
    """Windows (n, c, t, h, w) as one video of `count` frames: each fades into the next over the frames they share."""
    out = parts[0].new_zeros(*parts[0].shape[:2], count, *parts[0].shape[3:])
    total = out.new_zeros(count)
    for i, (part, (begin, end)) in enumerate(zip(parts, where, strict=True)):
        ramp = out.new_ones(end - begin)
        if i and (shared := where[i - 1][1] - begin) > 0:
            ramp[:shared] = rising(shared).to(ramp)
        if i + 1 < len(where) and (shared := end - where[i + 1][0]) > 0:
            ramp[-shared:] = ramp[-shared:] * (1 - rising(shared)).to(ramp)
        out[:, :, begin:end] += ramp[:, None, None] * part
        total[begin:end] += ramp
    return out / total[:, None, None]


def rising(shared: int) -> Tensor:
    """The weights of the later of two windows in the frames they share: 0 in the first of them, 1 in the last."""
    guard = int(GUARD * shared)
    fade = shared - 2 * guard
    inner = (torch.arange(fade) + 1) / (fade + 1)
    return torch.cat([torch.zeros(guard), inner, torch.ones(guard)])


def windows_for(A: Operator, prior: Prior, window: int | None, batch: int = 1) -> Windows | None:
    """The windows in which videos or volumes of `A` are restored, `batch` at a time; None if all of it is at once.

    `window` is the most frames of one; None takes what the free memory holds. Raises SpecError for a `window` that
    this problem cannot have.
    """
    given = None if window is None else whole("window", window, 2)
    if given and len(A.shape) == 4 and given >= A.shape[1]:
        return None
    if len(A.shape) != 4 or not isinstance(prior, LiftedPrior | NoPrior):
        if given:
            raise SpecError(
                "a window is for videos and volumes under a lifted prior: frames:prior=..., slices:prior=..."
            )
        return None
    count = A.shape[1]
    most = given or max(4, int(ROOM * room(A, batch)))
    if most >= count:
        return None
    if section(A, 0, most // grain(A) * grain(A) or count) is None:
        if given:
            raise SpecError(f"window: {called(A)} mixes all frames, so that they are restored at once")
        return None
    overlap = min(OVERLAP, most // 2)
    while True:
        where = spans(count, most, overlap, grain(A))
        if covered(A, where):
            return Windows(tuple(where), count) if len(where) > 1 else None
        if overlap >= most:
            raise SpecError(f"window: {most} frames are fewer than what a measurement mixes; take more of them")
        overlap *= 2


def covered(A: Operator, where: Sequence[Span]) -> bool:
    """Whether every datum of `A` belongs to a window."""
    seen = 0
    for begin, end in where:
        part = section(A, begin, end)
        assert part is not None
        if part.count == 0 or part.first > seen:
            return False
        seen, axis = part.first + part.count, part.axis
    return seen == A.data_shape[axis - 1]


def room(A: Operator, batch: int) -> float:
    """How many frames of images of `A` the free memory holds while `batch` videos are solved."""
    device = next((b.device for b in A.buffers()), torch.device("cpu"))
    free = float(torch.cuda.mem_get_info()[0]) if device.type == "cuda" else free_memory()
    return free / (4.0 * HELD * batch * prod(A.shape) / A.shape[1])


def part_of(like: Likelihood, span: Span) -> Likelihood:
    """What is measured of the frames of `span` alone."""
    part = section(like.A, *span)
    assert part is not None
    return likelihood(part.A, like.noise, part.data(like.y))
