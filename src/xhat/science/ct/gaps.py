"""Readings that were left out, interpolated from their neighbours: for methods that know no gaps."""

import torch
from torch import Tensor

from ...types import Data


def filled(y: Data, seen: Tensor) -> Data:
    """Readings (b, c, angles, detectors), those where `seen` (angles, detectors) is False interpolated in their view.

    They are 0 in a view of which nothing was seen.
    """
    n = seen.shape[-1]
    at = torch.arange(n, device=y.device).expand(seen.shape)
    low = torch.where(seen, at, -1).cummax(-1).values
    high = torch.where(seen, at, n).flip(-1).cummin(-1).values.flip(-1)
    low, high = torch.where(low < 0, high, low), torch.where(high > n - 1, low, high)
    there = ((low >= 0) & (low < n)).to(y)
    low, high = low.clamp(0, n - 1), high.clamp(0, n - 1)
    part = ((at - low) / (high - low).clamp_min(1)).to(y).clamp(0, 1)
    before, after = (y.gather(-1, i.expand(*y.shape[:2], *i.shape)) for i in (low, high))
    return torch.where(seen, y, there * (before * (1 - part) + after * part))
