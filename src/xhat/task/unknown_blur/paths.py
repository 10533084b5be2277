"""What the paths of shaking cameras look like: a small diffusion model of blur kernels, as the prior of one."""

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ...priors import NetworkFolder, shipped

SIDE = 48  # pixels of the kernels that the network was trained on
SCALE = 10.0  # its images are so many times a kernel with sum 1


@lru_cache(1)
def _network() -> NetworkFolder:
    """The network of `packages/xhat-priors/kernels`; the trial of priors is for pictures."""
    return NetworkFolder(Path(shipped.__file__).parent / "camera_path", dtype="float32", trial=False)


def likeliest_path(k: Tensor, error: float) -> Tensor:
    """The mean of kernels (side, side) of cameras, given one whose entries have a standard deviation of `error`.

    `side` is at most SIDE.
    """
    room = SIDE - len(k)
    around = [room // 2, room - room // 2] * 2
    with torch.no_grad():
        found = _network().denoise(SCALE * F.pad(k.float(), around)[None, None], SCALE * error)[0, 0] / SCALE
    top = room // 2
    return found[top : top + len(k), top : top + len(k)]
