"""Reads observations of radio interferometers."""

from pathlib import Path

import torch

from ...errors import DataError
from ...files.measurement import Measurement
from .estimate import described
from .observation import Observation
from .table import read_table
from .uvfits import read_uvfits

TABLES = (".csv", ".txt")


def read_observation(path: str | Path) -> Observation:
    """The observation in a uvfits file, or in a table of visibilities as text. Raises DataError if it
    cannot be read, and declines any other file."""
    return read_table(path) if Path(path).suffix.lower() in TABLES else read_uvfits(path)


def read(path: Path, item: int | None) -> Measurement:
    """The visibilities as recorded, as a measurement of the operator `black_hole`, which averages and selects.

    Its options are those that the observation tells, for an image of 64 × 64 pixels (`estimate.described`). Raises
    DataError if the file cannot be read or `item` is not None.
    """
    found = read_observation(path)
    if item is not None:
        raise DataError(f"{path}: is one observation, it has no items")
    operator = described(found, 64 * 64)
    return Measurement(
        y=torch.from_numpy(found.vis).to(torch.complex64),
        operator=operator,
        guessed={"operator": operator},
        noise="vlbi",
        origin=str(path),
        physics={"observation": found},
    )
