"""What a line of a benchmark holds: the record of a task, and which image, seed and cell of the grid it is of."""

import hashlib
from collections.abc import Mapping
from typing import Any

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
FIELDS = {**schema.FIELDS, **MORE}
FIXED = tuple(k for k in FIELDS if k not in (*FREE, "task", "label"))  # what a repeated run must reproduce


def validate(row: Mapping[str, Any], origin: object = "the record") -> None:
    """Raises DataError naming the field of a record that is not of this version's schema."""
    schema.validate(row, origin, MORE)


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
