"""Generators of pictures to train and fit priors on, which need no data. This table is the registry.

The names also stand where they are checked before anything is imported: in `cli/arguments.py` and in `bench/images.py`.
"""

from collections.abc import Callable

import numpy as np

from ..fwi import generator as velocity
from ..navier_stokes import generator as vorticity
from ..vlbi import generator as black_hole

Generator = Callable[[int, int, int], np.ndarray]  # (count, size, seed) → uint8 (count, size, size)

GENERATORS: dict[str, Generator] = {
    "blackhole": black_hole.generate,
    "velocity": velocity.generate,
    "vorticity": vorticity.generate,
}

__all__ = ["GENERATORS", "Generator"]
