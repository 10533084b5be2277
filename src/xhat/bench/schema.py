"""What a line of a benchmark holds: the record of a task, and which image, seed and cell of the grid it is of."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from ..errors import DataError
from ..files.rows import Row
from ..task import schema
from ..task.schema import FREE, Kinds
from .grid import short

MORE: dict[str, Kinds] = {
    "key": (str,),  # of cell, image and seed
    "cell": (str,),  # of prior, data, operator, noise, solver, schedule, samples
    "task": (str,),
    "label": (str,),
    "data": (str,),
    "image": (str,),
    "seed": (int,),
    "stream": (int,),  # what `xhat simulate --seed` and `xhat restore --seed` take to repeat it
    "per_image": (bool,),  # whether the operator drew its mask or kernel from the stream, too
}
HASHES = tuple(name for name in schema.FIELDS if name.endswith("_sha256"))
FIELDS = {**schema.FIELDS, **MORE}
FIXED = tuple(k for k in FIELDS if k not in (*FREE, "task", "label"))  # what a repeated run must reproduce


def validate(row: Mapping[str, Any], origin: object = "the record") -> None:
    """Raises DataError naming the field of a record that is not of this version's schema.

    Pictures are filed under `key` and `reference_sha256`, so that either must be hexadecimal digits and nothing else: a
    record leads to no file outside its folder.
    """
    schema.validate(row, origin, MORE)
    for name in ("key", "cell"):
        if not re.fullmatch("[0-9a-f]{16}", row[name]):
            raise DataError(f"{origin}: {name} is {row[name]!r}, not 16 hexadecimal digits")
    for name in HASHES:
        if row[name] is not None and not re.fullmatch("[0-9a-f]+", row[name]):
            raise DataError(f"{origin}: {name} is {row[name]!r}, not hexadecimal digits")


def key(cell: str, image: str, seed: int) -> str:
    """What a record is filed under."""
    return short({"cell": cell, "image": image, "seed": seed})


def stream(image: str, seed: int) -> int:
    """The random stream of an image: the same for every solver and task, whatever else is in the grid."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{image}".encode()).digest()[:4])


def origin(row: Row) -> dict[str, str]:
    """What makes a record stale if it changes: the code that decides the run, torch, the weights and the image."""
    return {
        "code": str(row["code"]),
        "torch": row["versions"]["torch"],
        "weights": str(row["prior_sha256"]),
        "image": str(row["reference_sha256"]),
    }
