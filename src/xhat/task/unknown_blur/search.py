"""The path of a shaken camera, sought from many starts.

The search of `shake` ends in one of many kernels, depending on its start. From there the edges lead on, alone or with
the power of the picture's frequencies, which knows what the edges do not: a kernel from a few strong ones, or from a
texture. Of those found, the best is the one through which the photograph's prior and the spectrum explain the picture
best: the prior knows more of photographs than that they have few edges. That one is fitted to what the prior restores
through it (`refit`), as long as this explains the picture better.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, product
from operator import itemgetter
from statistics import median_high
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ...operators.kernels import splat
from .evidence import Power
from .refit import SPLIT
from .shake import Turns, between, improved, likeness, moved, shake_kernel

SIDE = 41  # pixels of the largest kernel
SIZES = (13, 17, 21, 25, 31, 37)  # of kernels that are drawn from coarse to fine
FEW = (17, 25, 37)  # of those drawn with another course of λ: its start, and the factor by which it falls
COURSES = ((2e-2, 1.1), (4e-3, 1.03))
QUARTER = 25  # the size of those drawn from a part of the picture at each corner
PART = 0.625  # of the picture's sides
LINES, LENGTH = 4, 13  # straight paths: how many headings, and pixels
SETTLED = Turns(12, (1e-3, 2e-4), (0.01, 0.002))  # after a start
WIDER = Turns(12, (4e-3, 2e-4), (0.01, 0.002))  # few edges first: may leave a wrong path
FINER = Turns(16, (4e-4, 1e-4), (0.005, 0.001))
SETTLING = 12  # starts, the best, from which the edges are followed
SAME = 0.98  # a likeness of starts that need not be judged twice
DISTINCT = 6  # how many of them, and of what they led to, are judged with care
ALIKE = 0.97  # a likeness of which one is enough there
ROUNDS = (4, 3, 2, 2)  # how many of the best are improved in each round
GAIN = 3e-4  # of the misfit: a round that brings less is the last
VOTES = 5  # starts that say how far a kernel may be trusted
TRUST, HALF_TRUST = 0.9, 0.6  # from which on it is, and is if it explains the picture much better than no blur
BETTER, MUCH_BETTER = 0.96, 0.9  # times the rough misfit of no blur: so much at most a path must leave
SPECTRUM = 0.25  # such a part of what the spectrum may gain at least, for any trust
SAYS = 0.065  # such a part of the misfit is worth a nat that each frequency gains
HEARD = 0.1  # nats: what the spectrum gains more than that is not heard, since stripes and texture gain most
REFITS = 6  # how often at most a kernel is fitted to what the prior restores through it
NOISE = (2.0, SPLIT)  # times that of the picture, which the prior is told there, at first and at last
ERRORS = (5e-3, 1e-3)  # of the entries of the kernel, which the prior of paths is told
CLOSE = 2e-3  # of the misfit: so much more is no reason to prefer a kernel that is not trusted


class Judged(NamedTuple):
    """A kernel, how badly the prior explains the picture through it, and what it gains with the spectrum."""

    kernel: Tensor
    misfit: float
    gain: float


@dataclass(frozen=True)
class CameraPath:
    """A kernel that was found, (side, side), sum 1, for correlation, with its weight on its centre."""

    kernel: Tensor
    misfit: float
    trust: float  # the median likeness of this kernel and the best starts, or what they led to, from 0 to 1

    def believed(self, part: float, spectrum: float) -> bool:
        """Whether enough speaks for it, if it leaves a `part` of the misfit that the picture has with no blur.

        `spectrum` is its `evidence`, without which neither votes nor misfit count.
        """
        if spectrum < SPECTRUM:
            return False
        return (self.trust >= TRUST and part <= BETTER) or (self.trust >= HALF_TRUST and part <= MUCH_BETTER)


def find_path(
    y: Tensor,
    power: Power,
    drawn: list[Tensor],
    quick: Callable[[Tensor], float],
    misfit: Callable[[Tensor], float],
    refit: Callable[[Tensor, float, float, int], Tensor],
) -> CameraPath | None:
    """The path of the camera that took a grey picture `y` (h, w) in [−1, 1]; None if it is too small to show one.

    `power` is that of the picture. `drawn` are kernels that are known already, and need not look like paths: they are
    starts only. `misfit` says how badly a kernel explains the picture, and `quick` says so roughly. `refit` fits a
    kernel to what the prior restores through it, which is told so many times the noise; its entries are known up to an
    error, and the last number makes each draw its own. Such fits go on as long as they explain the picture better.
    """
    side = min(SIDE, min(y.shape) // 3)
    side -= 1 - side % 2
    if side < SIZES[0]:
        return None
    raw = [resized(k, side) for k in drawn]
    lines = (improved(y, straight(math.pi * i / LINES, side), FINER, power.pulled) for i in range(LINES))
    drafts = chain(raw, (resized(k, side) for k in _starts(y, side)), lines)
    starts = _ranked(_judged(drafts, power, quick, SAME))
    led: list[Judged] = []
    votes: list[Judged] = []  # the best that each start leads to
    for start in starts[:SETTLING]:
        k = start.kernel
        ends = _judged((improved(y, k, SETTLED), improved(y, k, FINER, power.pulled)), power, quick, SAME, led)
        if not any(k is other for other in raw):  # edges and spectrum may lead away from what was a good path
            ends.append(start)
        led += ends
        votes.append(_ranked(ends)[0])
    voters = [j.kernel for j in _ranked(votes)[:VOTES]]
    found = _ranked(_judged(_distinct([j.kernel for j in _ranked(led)]), power, misfit))
    for count in ROUNDS:
        before = found[0]
        ways = ((WIDER, None), (FINER, None), (FINER, power.pulled))
        more = [improved(y, j.kernel, turns, also) for j in found[:count] for turns, also in ways]
        found = _ranked(found + _judged(more, power, misfit))
        scores = _scores(found)
        if scores[0] > (1 - GAIN) * next(v for v, j in zip(scores, found, strict=True) if j is before):
            break
    for i in range(REFITS):
        before = found[0]
        told, error = (between(ends, i, REFITS) for ends in (NOISE, ERRORS))
        found = _ranked(found + _judged([refit(before.kernel, told, error, i)], power, misfit))
        if found[0] is before:
            break
    scores = _scores(found)
    close = [(j, _trust(j.kernel, voters)) for v, j in zip(scores, found, strict=True) if v <= (1 + CLOSE) * scores[0]]
    best, trust = next((c for c in close if c[1] >= TRUST), close[0])
    return CameraPath(moved(best.kernel), best.misfit, trust)


def _distinct(kernels: list[Tensor]) -> list[Tensor]:
    """The first few kernels that are not alike."""
    out: list[Tensor] = []
    for k in kernels:
        if len(out) < DISTINCT and all(likeness(k, other) < ALIKE for other in out):
            out.append(k)
    return out


def _starts(y: Tensor, side: int) -> Iterator[Tensor]:
    """Kernels of up to `side` pixels to start from, for the picture `y` (h, w)."""
    for size in (size for size in SIZES if size <= side):
        yield shake_kernel(y, size, paths=True)
    for size, (weight, fall) in product((size for size in FEW if size <= side), COURSES):
        yield shake_kernel(y, size, True, weight, fall)
    h, w = (round(PART * n) for n in y.shape)
    if min(h, w) >= 3 * QUARTER:
        for corner in (y[:h, :w], y[:h, -w:], y[-h:, :w], y[-h:, -w:]):
            yield shake_kernel(corner, QUARTER, paths=True)


def _trust(k: Tensor, voters: list[Tensor]) -> float:
    return median_high(likeness(k, v) for v in voters)


def straight(heading: float, side: int) -> Tensor:
    """A camera that moved evenly along a line, (side, side), sum 1."""
    at = torch.linspace(-LENGTH / 2, LENGTH / 2, 20 * LENGTH, dtype=torch.float64)
    way = torch.tensor([math.sin(heading), math.cos(heading)], dtype=torch.float64)
    return splat(at[:, None] * way + (side - 1) / 2, side)


def resized(k: Tensor, side: int) -> Tensor:
    """A kernel with zeros around it or without its rim, (side, side), sum 1."""
    more = (side - len(k)) // 2
    k = F.pad(k, [more] * 4)
    return k / k.sum()


def _judged(
    kernels: Iterable[Tensor],
    power: Power,
    misfit: Callable[[Tensor], float],
    same: float = math.inf,
    before: Sequence[Judged] = (),
) -> list[Judged]:
    """Kernels with their misfits; one of a likeness of `same` to one of these, or one `before`, shares its misfit."""
    out: list[Judged] = []
    for k in kernels:
        known = next((j.misfit for j in chain(before, out) if likeness(k, j.kernel) >= same), None)
        out.append(Judged(k, misfit(k) if known is None else known, power.gain(k)))
    return out


def _scores(kernels: list[Judged]) -> list[float]:
    """How badly prior and spectrum together explain the picture through each kernel."""
    most = max(j.gain for j in kernels)
    return [j.misfit * math.exp(SAYS * min(most - j.gain, HEARD)) for j in kernels]


def _ranked(kernels: list[Judged]) -> list[Judged]:
    """The best first."""
    return [j for _, j in sorted(zip(_scores(kernels), kernels, strict=True), key=itemgetter(0))]
