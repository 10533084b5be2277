"""Optical flow between the frames of videos (c, t, h, w), by OpenCV's DIS (Kroeger et al., 2016, arXiv:1603.03590)."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..files.extras import extra
from ..files.pictures import to_pixels
from .coupled import MovingChain

AROUND = 7  # pixels of the side of the square over which a difference is averaged
USUAL = 2.0  # how many times the median a mean square difference may be before it counts as change


def flows(x: Tensor) -> Tensor:
    """Where each pixel of frame f + 1 was in frame f of `x` (b, c, t, h, w): (b, t − 1, h, w, 2), right and down.

    In pixels; on the CPU. Raises DataError if OpenCV is not installed.
    """
    cv2 = extra("cv2", "motion=dis", "video")
    grey = [[to_pixels(frame[None]) for frame in video] for video in x.float().mean(1)]
    h, w = x.shape[-2:]
    if min(h, w) < 16:  # fewer than DIS takes
        return x.new_zeros(len(x), x.shape[2] - 1, h, w, 2)
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = [[dis.calc(new, old, None) for old, new in pairwise(video)] for video in grey]
    return torch.from_numpy(np.asarray(found, dtype=np.float32)).to(x)


def likeness(x: Tensor, flow: Tensor, sigma: float) -> Tensor:
    """How far frame f + 1 of `x` (b, c, t, h, w) is frame f moved by `flow`: (b, 1, t − 1, h, w), 1 down to 0.

        w = σ²/(σ² + e),   e = the mean square difference around a pixel, less what is usual in the video

    So the differences have the variance σ²/w = σ² + e: little is expected where something is hidden or changes.
    """
    d = x[:, :, 1:] - MovingChain(tuple(x.shape[1:]), flow).moved(x[:, :, :-1])
    square = d.square().mean(1)
    around = F.avg_pool2d(square, AROUND, 1, AROUND // 2, count_include_pad=False)
    usual = around.flatten(1).median(1).values[:, None, None, None]
    return sigma**2 / (sigma**2 + (around - USUAL * usual).clamp_min(0))[:, None]


def moving_chain(x: Tensor, sigma: float) -> MovingChain:
    """The chain along the motion of the videos `x` (b, c, t, h, w), for frames that differ by about `sigma`."""
    flow = flows(x)
    return MovingChain(tuple(x.shape[1:]), flow, likeness(x, flow, sigma))


def paced_chain(pictures: Tensor, times: Tensor, count: int, sigma: float) -> MovingChain:
    """The chain of `count` frames along the motion between `pictures` (b, c, k, h, w), k > 1, taken at `times` (k,).

    Times are in frames and grow. Between two pictures all moves evenly, and beyond the first and last as beside them.
    Frames differ by about `sigma`, more where one picture does not follow from the other.
    """
    flow = flows(pictures)
    weight = likeness(pictures, flow, sigma)
    middle = torch.arange(count - 1).to(times) + 0.5
    pair = (torch.searchsorted(times.contiguous(), middle) - 1).clamp(0, len(times) - 2)
    pace = (1 / times.diff())[pair].to(flow)
    shape = (pictures.shape[1], count, *pictures.shape[-2:])
    return MovingChain(shape, flow[:, pair] * pace[:, None, None, None], weight[:, :, pair])
