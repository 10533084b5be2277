"""Networks whose weights are drawn, so that what the original code makes of them can be committed without them."""

import numpy as np
import torch
from torch import Tensor


def drawn(shapes: dict[str, list[int]], seed: int) -> dict[str, Tensor]:
    """One tensor for each name, from numpy's `RandomState`, whose stream is frozen for ever.

    A matrix or kernel has entries of variance 1/(numbers that enter one output), a vector called weight is near 1,
    and any other near 0.
    """
    stream, made = np.random.RandomState(seed), {}
    for name, shape in shapes.items():
        noise = stream.standard_normal(shape)
        if len(shape) > 1:
            value = noise / np.sqrt(np.prod(shape[1:]))
        else:
            value = (1.0 if name.endswith("weight") else 0.0) + 0.1 * noise
        made[name] = torch.from_numpy(value.astype(np.float32))
    return made
