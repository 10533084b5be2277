"""Four photographs to try things on: the demo and the benchmarks share them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from .pictures import from_pixels

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
FOLDER = Path(__file__).parent / "photos"  # squares; its README.md says where they are from


def photographs(size: int = 256, names: tuple[str, ...] = PHOTOGRAPHS) -> Tensor:
    """The square photographs called `names`, which ship with the package, (n, 3, size, size) in [−1, 1], resized by
    Lanczos.
    """
    out = []
    for name in names:
        with Pillow.open(FOLDER / f"{name}.png", formats=["PNG"]) as square:
            out.append(from_pixels(np.asarray(square.resize((size, size), Pillow.Resampling.LANCZOS))))
    return torch.stack(out)
