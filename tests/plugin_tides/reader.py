"""Files of gauges: text, one line for each row of the map."""

from pathlib import Path

import numpy as np
import torch

import xhat


def read(path: Path, item: int | None) -> xhat.Measurement:
    """The heights in a .tide file, which holds one map and no items."""
    if item is not None:
        raise xhat.DataError(f"{path}: holds one map, so {path}#{item} is not in it")
    y = torch.from_numpy(np.loadtxt(path, ndmin=2)).float()[None]
    return xhat.Measurement(y, operator="gauges", noise="gaussian:sigma=0.1", origin=str(path))
