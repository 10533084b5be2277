"""Pictures to train and fit priors on that need no data. This table is the registry.

Its names stand also where they are checked before anything is imported: in `cli.py` and in `bench/images.py`.
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
