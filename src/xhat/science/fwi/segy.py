"""SEG-Y files of seismic lines (SEG, 2002, revision 1), through segyio."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...errors import DataError
from ...files.extras import extra
from ...files.measurement import Measurement
from ...files.room import LARGEST, fits, regular
from .line import along, grid

Array = np.ndarray
FEET = 0.3048  # metres
UNITS = {2: "seconds of arc", 3: "degrees", 4: "degrees, minutes and seconds"}
SEISMIC = (0, 1)  # codes of traces that are seismic data; 0 is what many programs leave there
FIELDS = (
    "FieldRecord", "SourceX", "SourceY", "GroupX", "GroupY", "SourceGroupScalar", "ElevationScalar", "SourceDepth",
    "SourceSurfaceElevation", "ReceiverGroupElevation", "CoordinateUnits", "DelayRecordingTime",
    "TRACE_SAMPLE_INTERVAL", "TraceIdentificationCode",
)  # fmt: skip


@dataclass(frozen=True)
class Traces:
    """Traces (n, samples) every `interval` ms, with the places of their sources and receivers in metres: x and y on the
    map and depth below the datum, (n, 3).
    """

    data: Array
    interval: float
    sources: Array
    receivers: Array


def read(path: Path, item: int | None) -> Measurement:
    """The shots of a SEG-Y file as a measurement of the operator `fwi`, (shots, samples, receivers), shot by shot in
    the order of the file, receivers in the order of its traces.

    Places are those of the trace headers with their scalars, feet made metres, as distances along the straight line on
    the map that they lie on; the first of them is x = 0. The ground that is imaged is guessed, see `line.grid`. Raises
    DataError, in one line, if segyio is missing, if the file cannot be read, and for geometry that is no line in two
    dimensions in lengths.
    """
    if item is not None:
        raise DataError(f"{path}: is one line of shots, it has no items")
    found = traces(path)
    shots, counts = grouped(found.sources, path)
    n, count = len(counts), counts[0]
    y = found.data[shots].reshape(n, count, -1).transpose(0, 2, 1)
    pairs = zip(along(found.sources, found.receivers, path), (found.sources, found.receivers), strict=True)
    sources, receivers = (np.stack([x, at[:, 2]], -1)[shots].reshape(n, count, 2) for x, at in pairs)
    sources = sources[:, 0].copy()
    if (receivers == receivers[:1]).all():
        receivers = receivers[0].copy()
    shape, operator = grid(sources, receivers, found.data, found.interval, path)
    physics = {"source_places": torch.from_numpy(sources), "receiver_places": torch.from_numpy(receivers)}
    return Measurement(
        y=torch.from_numpy(np.ascontiguousarray(y, dtype=np.float32)),
        image_shape=shape,
        operator=operator,
        guessed={"operator": operator},
        origin=str(path),
        physics=physics,
    )


def traces(path: Path) -> Traces:
    """What the file at `path` holds."""
    segyio = extra("segyio", "SEG-Y")
    regular(path)
    try:
        with segyio.open(str(path), ignore_geometry=True) as file:
            count, samples = file.tracecount, len(file.samples)
            fits(12 * count * samples, path, LARGEST)
            headers = {name: np.asarray(file.attributes(getattr(segyio.TraceField, name))[:]) for name in FIELDS}
            interval = int(file.bin[segyio.BinField.Interval])
            feet = int(file.bin[segyio.BinField.MeasurementSystem]) == 2
            data = np.asarray(file.trace.raw[:], dtype=np.float64)
    except (OSError, RuntimeError, ValueError, IndexError, KeyError) as e:
        raise DataError(f"{path}: cannot be read as SEG-Y ({e})") from e
    if bad := int((~np.isfinite(data)).sum()):
        raise DataError(f"{path}: holds {bad} samples that are NaN or infinite")
    if not data.any():
        raise DataError(f"{path}: all its samples are 0")
    kinds = set(map(int, headers["TraceIdentificationCode"])) - set(SEISMIC)
    if kinds:
        raise DataError(
            f"{path}: traces of identification code {', '.join(map(str, sorted(kinds)))} are no seismic data (1): "
            "leave dead and auxiliary traces out"
        )
    if headers["DelayRecordingTime"].any():
        raise DataError(f"{path}: traces begin at {headers['DelayRecordingTime'].max()} ms; only 0 is read")
    unit = FEET if feet else 1.0
    return Traces(data, sampling(headers, interval, path), *places(headers, unit, path))


def sampling(headers: Mapping[str, Array], interval: int, path: Path) -> float:
    """The time between samples in ms, by the binary header and the traces', which must agree where both say one."""
    said = {int(v) for v in headers["TRACE_SAMPLE_INTERVAL"]} | {interval}
    said -= {0}
    if len(said) != 1 or min(said) < 0:
        found = ", ".join(map(str, sorted(said))) or "none"
        raise DataError(f"{path}: the headers' sample intervals are {found} µs; one is needed")
    return said.pop() / 1000


def places(headers: Mapping[str, Array], unit: float, path: Path) -> tuple[Array, Array]:
    """Places of sources and receivers, (n, 3): x, y and depth in metres; `unit` is that of the file, in metres."""
    for code in sorted(set(map(int, headers["CoordinateUnits"])) - {0, 1}):
        raise DataError(f"{path}: coordinates are {UNITS.get(code, f'of the unknown unit {code}')}, not lengths")
    flat, high = (scaled(headers[name]) * unit for name in ("SourceGroupScalar", "ElevationScalar"))
    depth = headers["SourceDepth"] - headers["SourceSurfaceElevation"]
    source = [headers["SourceX"] * flat, headers["SourceY"] * flat, depth * high]
    group = [headers["GroupX"] * flat, headers["GroupY"] * flat, -headers["ReceiverGroupElevation"] * high]
    found = np.stack(source, -1), np.stack(group, -1)
    for name, at in zip(("sources", "receivers"), found, strict=True):
        if float(at[:, 2].min()) < 0:
            raise DataError(
                f"{path}: {name} lie up to {-float(at[:, 2].min()):g} m above the datum; the surface of fwi is flat: "
                "take the datum there"
            )
    return found


def scaled(scalars: Array) -> Array:
    """The factors that SEG-Y's scalars stand for: a positive one multiplies, a negative one divides, 0 is 1."""
    s = scalars.astype(np.float64)
    return np.where(s > 0, s, np.where(s < 0, 1 / np.where(s < 0, -s, 1), 1.0))


def grouped(sources: Array, path: Path) -> tuple[Array, list[int]]:
    """Indices of the traces shot by shot, (n,), and how many each shot has; a shot is all traces of one place of the
    source. Raises DataError if shots have different numbers of traces.
    """
    _, first, which = np.unique(sources, axis=0, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[which.reshape(-1)]  # shots in the order of the file
    counts = np.bincount(rank)
    if counts.min() != counts.max():
        raise DataError(
            f"{path}: its {len(counts)} shots have {counts.min()} to {counts.max()} traces each; only shots with "
            "equally many are read"
        )
    return np.argsort(rank, kind="stable"), [int(n) for n in counts]
