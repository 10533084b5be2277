"""How the light of a film flickers, from the film alone: a gain for each frame, against the slow course of its light.

Neighbouring frames are laid on each other along the optical flow, and the light of their parts is compared. What most
parts agree on is the frame's own; what single parts say is motion, or what appears and vanishes; van Roosmalen (1999)
compares parts of frames, too, and leaves out those that do not follow.
"""

import math
from importlib.util import find_spec
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from ..noise.estimate import MEDIAN
from ..operators.coupled import MovingChain
from ..operators.flow import flows

SIDE = 96  # pixels of the shorter side, about, at which frames are compared
PARTS = 12  # along that side
CLIPPED = 2.5 / 255  # in [−1, 1]: how near to black or white the light is not known, because it may be cut off
SHOWN = 0.5  # the portion of a part that must be seen in both frames
DARK = 0.02  # of white: the light of a part below which a ratio says nothing
FEWEST = 12  # parts of which a ratio is taken
UNSURE = 0.03  # the error of the logarithm of a ratio beyond which two frames show different scenes,
UNUSUAL = 6.0  # or how many times that of the frames around them it is,
SURE = 0.002  # where it is more than this
FAINT = 0.005  # the deviation of log gains below which nobody sees it
EVIDENT = 5.0  # times what the errors of the ratios alone may look like, at least
SLOW = 25.0  # frames: what changes with a longer period is the film's own, as fades are,
WIDER = (1e6, 8, 4, 2, 1)  # times that, or any longer one, of which the longest that explains the light is taken:
CHANCE = 2.0  # what is left may be slow to this many times the power that chance gives it
JUMP = 4.0  # times the deviation of log gains: a step of the light that lasts is the film's own, as cuts are
AROUND = 5  # frames on either side over which a step must last
TELLING = 3  # runs of four frames, at least, in which flicker is seen


def estimate_gains(y: Tensor) -> list[float] | None:
    """The light of each frame of a film `y` (c, t, h, w) in [−1, 1] over what the frames around it have, t numbers.

    y_f + 1 = g_f (x_f + 1), where the light of x goes along a line in each scene, or has a slow course if chance
    does not explain that of y. None if the film does not flicker, or not more than ratios of its frames are uncertain;
    fewer than six frames never tell.
    """
    if y.shape[1] < TELLING + 3:
        return None
    r, error = ratios(y)
    follows = alike(error)
    size = deviation(r, error, follows)
    if size is None:
        return None
    light = torch.cat([r.new_zeros(1), r.where(follows, 0.0).cumsum(0)])
    gains = torch.ones_like(light)
    ends = [0, *((~follows).nonzero().flatten() + 1).tolist(), len(light)]
    for begin, end in pairwise(ends):
        for first, last in scenes(light[begin:end], size):
            part = light[begin + first : begin + last]
            if len(part) > 2:
                gains[begin + first : begin + last] = (part - course(part, size)).exp()
    return [round(g, 4) for g in gains.tolist()]


def ratios(y: Tensor) -> tuple[Tensor, Tensor]:
    """log g_{f+1}/g_f of neighbouring frames of `y` and their standard errors, (t − 1,) each; infinite: no answer."""
    c, _, h, w = y.shape
    k = max(1, min(h, w) // SIDE)
    small = [_small(frame, k) for frame in y.unbind(1)]
    light, seen = (torch.stack(v, 1)[None] for v in zip(*small, strict=True))  # (1, 1, t, ·, ·)
    flow = motion(light)
    chain = MovingChain(tuple(light.shape[1:]), flow)
    old, new = chain.moved(light[:, :, :-1]), light[:, :, 1:]
    inside = (chain.grid.abs().amax(-1) <= 1)[:, None]
    both = inside & (seen[:, :, 1:] > 0) & (chain.moved(seen[:, :, :-1]) > 1 - 1e-4)  # bilinear weights round
    side = max(1, min(light.shape[-2:]) // PARTS)
    share, old, new = (
        F.avg_pool2d((v * both)[0, 0], side).flatten(1).double() for v in (torch.ones_like(new), old, new)
    )
    found = torch.tensor([_ratio(*pair) for pair in zip(share, old, new, strict=True)], dtype=torch.float64)
    return found[:, 0], found[:, 1]


def _small(frame: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The light of a frame (c, h, w), from 0 to 1, and where it is not cut off, both (1, h/k, w/k)."""
    whole = (frame.abs() < 1 - CLIPPED).all(0, keepdim=True).to(frame)
    return F.avg_pool2d((frame.mean(0, keepdim=True) + 1) / 2, k), -F.max_pool2d(-whole, k)


def motion(light: Tensor) -> Tensor:
    """The flow (1, t − 1, h, w, 2) between frames that are made equally bright first; none without OpenCV."""
    _, _, t, h, w = light.shape
    if find_spec("cv2") is None:
        return light.new_zeros(1, t - 1, h, w, 2)
    level = light[0, 0].flatten(1).median(1).values.clamp_min(1e-3)
    even = (0.8 * light / level[:, None, None] - 1).clamp(-1, 1)
    smooth = F.avg_pool2d(F.pad(even[0, 0], [1] * 4, mode="replicate"), 3, 1)  # against noise
    return flows(smooth[None, None])


def _ratio(share: Tensor, old: Tensor, new: Tensor) -> tuple[float, float]:
    """The median over parts of log new/old, and the standard error of that."""
    use = (share > SHOWN) & (torch.minimum(old, new) > DARK * share)
    if int(use.sum()) < FEWEST:
        return 0.0, math.inf
    r = (new[use] / old[use]).log()
    middle = r.median()
    spread = float((r - middle).abs().median()) / MEDIAN
    return float(middle), math.sqrt(math.pi / 2 / len(r)) * spread


def alike(error: Tensor) -> Tensor:
    """Whether each frame shows the scene of the one before it, (t − 1,), by the errors of their ratios."""
    near = [error[max(0, f - AROUND) : f + AROUND + 1].median() for f in range(len(error))]
    return error <= (UNUSUAL * torch.stack(near)).clamp(SURE, UNSURE)


def deviation(r: Tensor, error: Tensor, sure: Tensor) -> float | None:
    """The standard deviation of independent log gains with the ratios `r` (t − 1,), of which some are `sure`; None if
    it may be 0.

    It is that of the median third difference, √20 times as large, in which neither slow changes, as fades are, nor
    single ones, as cuts and flashes are, count.
    """
    runs = sure[2:] & sure[1:-1] & sure[:-2]
    if int(runs.sum()) < TELLING:
        return None
    size = float(r.diff(2)[runs].abs().median()) / MEDIAN / 20**0.5
    doubt = float(error[sure].median()) * (6 / 20) ** 0.5  # what errors of the ratios alone look like
    return size if size > max(FAINT, EVIDENT * doubt) else None


def scenes(light: Tensor, size: float) -> list[tuple[int, int]]:
    """`light`, the logarithms of frames that follow each other, cut where it steps and stays: (begin, end) of parts."""
    r, cuts = light.diff(), [0]
    for f in range(len(r)):
        near = r[max(0, f - AROUND) : f + AROUND + 1]
        slope = float(near.median())
        before, after = light[max(0, f + 1 - AROUND) : f + 1], light[f + 1 : f + 1 + AROUND]
        lasting = float(after.median() - before.median()) - slope * (len(before) + len(after)) / 2
        steep = abs(float(r[f]) - slope)
        largest = steep >= float((near - slope).abs().max())
        if min(len(before), len(after)) > 2 and largest and steep > JUMP * 2**0.5 * size and abs(lasting) > JUMP * size:
            cuts.append(f + 1)
    return list(zip(cuts, [*cuts[1:], len(light)], strict=True))


def course(light: Tensor, size: float) -> Tensor:
    """The light (t,) of a scene without its flicker, of deviation `size`, both logarithms: the smoothest that will do.

    It is a line if independent numbers of that deviation explain what else is slow in `light`; otherwise it is smoothed
    with the longest period that leaves no more. A fade stays, a small error of all ratios does no harm, and the flicker
    is not made smaller by a trend that follows it.
    """
    allowed = CHANCE * size**2 * float(slow(torch.eye(len(light), dtype=light.dtype)).square().sum()) / len(light)
    trends = (slow(light, SLOW * wider) for wider in WIDER)
    return next((v for v in trends if float(slow(light - v).square().mean()) <= allowed), slow(light))


def slow(light: Tensor, period: float = SLOW) -> Tensor:
    """What is slow in `light` (t, …): lines fitted around each frame under a Gaussian that halves waves of `period`
    frames.
    """
    width = period * math.sqrt(2 * math.log(2)) / (2 * math.pi)
    reach = math.ceil(4 * width)
    out = torch.empty_like(light)
    for f in range(len(light)):
        begin = max(0, f - reach)
        near = light[begin : f + reach + 1]
        d = torch.arange(len(near)).to(light) + begin - f
        weight = torch.exp(-((d / width) ** 2) / 2)
        s0, s1, s2 = (float((weight * d**p).sum()) for p in (0, 1, 2))
        out[f] = torch.tensordot(weight * (s2 - s1 * d), near, 1) / (s0 * s2 - s1**2)
    return out
