"""Four photographs to try things on: the demo and the benchmarks share them."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import XhatError
from .extras import install
from .pictures import from_pixels

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def photographs(size: int = 256, names: tuple[str, ...] = PHOTOGRAPHS) -> Tensor:
    """Photographs that scikit-image carries, (n, 3, size, size) in [−1, 1]: the central square, resized by Lanczos.

    Raises XhatError if scikit-image is not installed.
    """
    try:
        from skimage import data
    except ImportError as e:
        raise XhatError(f"the photographs come with scikit-image: {install('demo')}") from e
    out = []
    for name in names:
        photo = Image.fromarray(getattr(data, name)()[..., :3])
        side = min(photo.size)
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        square = photo.crop((left, top, left + side, top + side))
        out.append(from_pixels(np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))))
    return torch.stack(out)
