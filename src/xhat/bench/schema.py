"""What a record holds, version 1, and what made it."""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..files.record import versions
from ..files.rows import Row
from .grid import short

VERSION = 1
STATUS = ("ok", "diverged", "n/a", "error")  # error is the only one that is tried again
Number = (int, float, type(None))

# Of one image, or of all its samples. Null where unknown, as all numbers of a run that did not end are.
FIELDS: dict[str, tuple[type, ...]] = {
    "schema": (int,),
    "key": (str,),  # of cell, image and seed
    "cell": (str,),  # of prior, data, operator, noise, solver, schedule, samples
    "task": (str,),
    "label": (str,),
    "prior": (str,),
    "data": (str,),
    "operator": (str,),
    "noise": (str,),
    "solver": (str,),  # all options stated
    "schedule": (str, type(None)),
    "samples": (int,),
    "image": (str,),
    "seed": (int,),
    "stream": (int,),  # what `xhat simulate --seed` and `xhat restore --seed` take to repeat it
    "per_image": (bool,),  # whether the operator drew its mask or kernel from the stream, too
    "shape": (list,),
    "status": (str,),
    "error": (str, type(None)),
    "returns": (str,),  # point or sample: what the solver claims
    "metrics": (dict,),  # name → number; of each sample, averaged, and of all of them
    "residual": Number,  # root mean square of y − A(x̂)
    "expected_residual": Number,
    "residual_ratio": Number,  # 1 is right; null without noise
    "forwards": Number,  # an image, all its samples together, as the next three
    "backwards": Number,
    "operator_calls": Number,
    "prior_sha256": (str,),
    "image_sha256": (str,),
    "versions": (dict,),
    "run": (dict,),  # what differs between two runs of the same: seconds, batch, device, host, time
}
FIXED = tuple(k for k in FIELDS if k not in ("run", "task", "label"))  # what a repeated run must reproduce


def validate(row: Mapping[str, Any], origin: object = "the record") -> None:
    """Raises DataError naming the field of a record that is not of this version's schema."""
    version = row.get("schema")
    if version != VERSION:
        raise DataError(f"{origin}: is of schema {version}, and this xhat reads {VERSION}")
    if wrong := sorted(row.keys() ^ FIELDS.keys()):
        raise DataError(f"{origin}: {'misses' if wrong[0] in FIELDS else 'has an unknown field'} {wrong[0]!r}")
    for name, kinds in FIELDS.items():
        if not isinstance(row[name], kinds) or (isinstance(row[name], bool) and bool not in kinds):
            raise DataError(f"{origin}: {name} is {row[name]!r}, not {' or '.join(k.__name__ for k in kinds)}")
    if row["status"] not in STATUS:
        raise DataError(f"{origin}: status {row['status']!r} is none of {', '.join(STATUS)}")


def key(cell: str, image: str, seed: int) -> str:
    """What a record is filed under."""
    return short({"cell": cell, "image": image, "seed": seed})


def stream(image: str, seed: int) -> int:
    """The random stream of an image: the same for every solver and task, whatever else is in the grid."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{image}".encode()).digest()[:4])


@cache
def code() -> str:
    """A fingerprint of the package's own source, as far as it can change a number."""
    root = Path(__file__).parents[1]
    outside = ("exact", "report", "suites")
    sha = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        if not set(file.relative_to(root).parts) & set(outside):
            sha.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return sha.hexdigest()[:16]


def made_by() -> dict[str, str]:
    """Versions as they stand in a record, the package's source among them."""
    return {**versions(), "code": code()}


def origin(row: Row) -> dict[str, str]:
    """What a change of makes a record stale."""
    return {
        "version": row["versions"]["xhat"],
        "code": row["versions"]["code"],
        "torch": row["versions"]["torch"],
        "weights": row["prior_sha256"],
        "image": row["image_sha256"],
    }
