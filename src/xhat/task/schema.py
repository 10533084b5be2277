"""What a record holds, version 2: the same names for a restoration, a line of a benchmark and a line of a study.

One record is one task: one measurement and all the samples made of it, or several measurements that were restored
together. Lists have one entry a sample, the samples of the first measurement first.
"""

from collections.abc import Mapping
from typing import Any

from ..errors import DataError

VERSION = 2
STATUS = ("ok", "diverged", "n/a", "error")  # error is the only one that is tried again
Kinds = tuple[type, ...]
NOTHING = type(None)

# Null, an empty list or an empty table stands for what is not known, as after a run that did not end.
FIELDS: dict[str, Kinds] = {
    "schema": (int,),
    # the parts, as spec strings with all options of solver, noise and schedule stated
    "operator": (str,),
    "noise": (str,),
    "solver": (str,),
    "prior": (str,),  # "none" for a classical method that was given none
    "schedule": (str, NOTHING),
    "image_shape": (list,),
    "latent_shape": (list, NOTHING),  # of what the solver works on, where that is no image
    "data_shape": (list,),
    # how they were run
    "seeds": (list,),  # of the random stream of each sample
    "measurements": (int,),
    "samples": (int,),  # of each measurement
    "batch_size": (int, NOTHING),  # samples computed at a time; null: all at once
    "stop_at": (int, float, NOTHING),  # a sample is frozen at this multiple of the expected residual
    # what came out
    "status": (str,),
    "error": (str, NOTHING),
    "returns": (str,),  # point or sample: what the solver claims
    "residual": (list,),  # root mean square of y − A(x̂) of each sample, in the units of y
    "expected_residual": (list,),  # what the noise explains of it
    "residual_ratio": (list,),  # 1 is right; null without noise
    "smallest_residual": (int, NOTHING),  # the number of that sample of the one measurement, from 0
    "stopped_at_step": (list,),  # null for a sample that ran to the end
    "metrics": (dict,),  # name → a list of one number a sample, or of one number for all samples of a measurement
    "calls": (dict,),  # forwards, backwards, operator: of all samples together
    "seconds": (int, float, NOTHING),  # of all samples together; a batch is shared out among its measurements
    # what it was made from and by
    "measurement": (str,),  # where it comes from
    "measurement_sha256": (str, NOTHING),  # of the numbers that the solver was given
    "operator_sha256": (str, NOTHING),  # of the operator's tensors: mask, kernel, coil maps
    "reference_sha256": (str, NOTHING),  # of the true image
    "prior_sha256": (str, NOTHING),  # of the prior's weights
    "code": (str, NOTHING),  # of the source that decides the numbers: see fingerprint.py
    "versions": (dict,),  # of the libraries
    "device": (str,),
    "provenance": (dict,),  # command, time, host, process, threads, file and its sha256: where and how, not what
}
CALLS = ("forwards", "backwards", "operator")
# What two runs of the same task may differ in.
FREE = ("seconds", "batch_size", "device", "provenance")


def validate(row: Mapping[str, Any], origin: object = "the record", more: Mapping[str, Kinds] = {}) -> None:
    """Raises DataError naming the field of a record that is not of this version's schema; `more` are further fields."""
    known = {**FIELDS, **more}
    version = row.get("schema")
    if version != VERSION:
        raise DataError(f"{origin}: is of schema {version}, and this xhat reads {VERSION}")
    if wrong := sorted(row.keys() ^ known.keys()):
        raise DataError(f"{origin}: {'misses' if wrong[0] in known else 'has an unknown field'} {wrong[0]!r}")
    for name, kinds in known.items():
        if not isinstance(row[name], kinds) or (isinstance(row[name], bool) and bool not in kinds):
            raise DataError(f"{origin}: {name} is {row[name]!r}, not {' or '.join(k.__name__ for k in kinds)}")
    if row["status"] not in STATUS:
        raise DataError(f"{origin}: status {row['status']!r} is none of {', '.join(STATUS)}")
