"""What a record holds, version 2: the same names for a restoration, a line of a benchmark and a line of a study.

One record is one task: one measurement and all the samples made of it, or several measurements that were restored
together. Lists have one entry per sample, the samples of the first measurement first.
"""

from collections.abc import Mapping
from typing import Any

from ..errors import DataError

VERSION = 2
STATUS = ("ok", "diverged", "n/a", "error")  # error is the only one that is tried again
Kinds = tuple[type, ...]
NOTHING = type(None)

# Null, an empty list or an empty table stands for what is unknown, for example after a run that did not end.
FIELDS: dict[str, Kinds] = {
    "schema": (int,),
    # the parts, as spec strings with all options of solver, noise and schedule stated
    "operator": (str,),
    "noise": (str,),
    "solver": (str,),
    "prior": (str,),  # "none" for a classical method that was given none
    "schedule": (str, NOTHING),
    "image_shape": (list,),
    "latent_shape": (list, NOTHING),  # the shape of what the solver works on, if that is not an image
    "data_shape": (list,),
    # how they were run
    "seeds": (list,),  # the seed of the random stream of each sample
    "measurements": (int,),
    "samples": (int,),  # the number of samples of each measurement
    "batch_size": (int, NOTHING),  # samples computed at a time; null: all at once
    "stop_at": (int, float, NOTHING),  # a sample is frozen at this multiple of the expected residual
    # what came out
    "status": (str,),
    "error": (str, NOTHING),
    "returns": (str,),  # point or sample: what the solver claims
    "residual": (list,),  # root mean square of y − A(x̂) of each sample, in the units of y
    "expected_residual": (list,),  # the residual that the noise explains
    "residual_ratio": (list,),  # 1 is right; null without noise
    "smallest_residual": (int, NOTHING),  # the number, from 0, of the sample that has it; for one measurement only
    "stopped_at_step": (list,),  # null for a sample that ran to the end
    "metrics": (dict,),  # name → a list with one number per sample, or one number for all samples of a measurement
    "calls": (dict,),  # forwards, backwards, operator: for all samples together
    "seconds": (int, float, NOTHING),  # for all samples together; the time of a batch is divided among its measurements
    # what it was made from and by
    "measurement": (str,),  # where it comes from
    "measurement_sha256": (str, NOTHING),  # fingerprint of the numbers that the solver was given
    "operator_sha256": (str, NOTHING),  # fingerprint of the operator's tensors: mask, kernel, coil maps
    "reference_sha256": (str, NOTHING),  # fingerprint of the true image
    "prior_sha256": (str, NOTHING),  # fingerprint of the prior's weights
    "code": (str, NOTHING),  # fingerprint of the source that decides the numbers: see fingerprint.py
    "versions": (dict,),  # the versions of the libraries, and of the packages whose parts took part
    "device": (str,),
    "provenance": (
        dict,
    ),  # command, time, host, process, threads, notes, files and their sha256: where and how, not what
}
CALLS = ("forwards", "backwards", "operator")
# What two runs of the same task may differ in.
FREE = ("seconds", "batch_size", "device", "provenance")


def validate(row: Mapping[str, Any], origin: object = "the record", more: Mapping[str, Kinds] = {}) -> None:
    """Raises DataError that names the field of a record which does not follow this version's schema.

    `more` are further fields with their types; `origin` is named in errors.
    """
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
