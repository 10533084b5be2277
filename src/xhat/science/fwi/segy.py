"""SEG-Y files of seismic lines (SEG, 2002, revision 1; the byte order of revision 2), through segyio."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...errors import DataError
from ...files.extras import extra
from ...files.measurement import Measurement
from ...files.room import LARGEST, fits, regular
from ...notes import note
from .line import along, grid

Array = np.ndarray
LENGTHS = {0: 1.0, 1: 1.0, 2: 0.3048}  # metres in a unit of the file, by its measurement system; 0 says none
UNITS = {2: "seconds of arc", 3: "degrees", 4: "degrees, minutes and seconds"}
SEISMIC = (0, 1)  # codes of traces that are seismic data; 0 is what many programs leave there
FORMATS = (1, 2, 3, 5, 6, 8, 9, 10, 11, 12, 16)  # of samples, that segyio knows: floats of IBM and IEEE, whole numbers
FORMAT = slice(3224, 3226)  # bytes of the file
FIELDS = (
    "FieldRecord", "SourceX", "SourceY", "GroupX", "GroupY", "SourceGroupScalar", "ElevationScalar", "SourceDepth",
    "SourceSurfaceElevation", "ReceiverGroupElevation", "CoordinateUnits", "DelayRecordingTime",
    "TRACE_SAMPLE_INTERVAL", "TRACE_SAMPLE_COUNT", "TraceIdentificationCode", "TraceWeightingFactor",
)  # fmt: skip


@dataclass(frozen=True)
class Traces:
    """Traces (n, samples) every `interval` ms, with the places of their sources and receivers in metres: x and y on the
    map and depth below the datum, (n, 3). `records` are the numbers of their shots in the field, (n,), and `unit` is
    what the file says of its lengths, empty if it says nothing.
    """

    data: Array
    interval: float
    sources: Array
    receivers: Array
    records: Array
    unit: str


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
    shots, counts = grouped(found.sources, found.records, path)
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
        guessed={"operator": operator} | ({} if found.unit else {"unit of length": "m"}),
        origin=str(path),
        physics=physics,
    )


def traces(path: Path) -> Traces:
    """What the file at `path` holds."""
    segyio = extra("segyio", "SEG-Y")
    regular(path)
    endian = byte_order(path)
    try:
        with warnings.catch_warnings(), segyio.open(str(path), ignore_geometry=True, endian=endian) as file:
            warnings.simplefilter("error")  # it would go on with a guess
            count, samples = file.tracecount, len(file.samples)
            fits(12 * count * samples, path, LARGEST)
            headers = {name: np.asarray(file.attributes(getattr(segyio.TraceField, name))[:]) for name in FIELDS}
            interval = int(file.bin[segyio.BinField.Interval])
            system = int(file.bin[segyio.BinField.MeasurementSystem])
            data = np.asarray(file.trace.raw[:], dtype=np.float64)
    except (OSError, RuntimeError, ValueError, IndexError, KeyError, Warning) as e:
        raise DataError(f"{path}: cannot be read as SEG-Y ({e})") from e
    if system not in LENGTHS:
        raise DataError(f"{path}: its measurement system is {system}; 1 is metres and 2 is feet")
    check(data, headers, path)
    weights = headers["TraceWeightingFactor"].astype(np.float64)
    if weights.any():
        data = data * 2.0 ** -weights[:, None]
        note("%s: its samples are 2^-N of what they stand for, N from %g to %g", path, weights.min(), weights.max())
    unit = {0: "", 1: "metres", 2: "feet"}[system]
    note("%s: lengths are in %s", path, unit or "metres: the file says no unit, and this is a guess")
    where = places(headers, LENGTHS[system], path)
    return Traces(data, sampling(headers, interval, path), *where, headers["FieldRecord"], unit)


def byte_order(path: Path) -> str:
    """big or little, by the format of samples, which is a small number in only one of them. Raises DataError for
    formats that are not read.
    """
    with path.open("rb") as file:
        head = file.read(FORMAT.stop)[FORMAT]
    found = {order: int.from_bytes(head, order) for order in ("big", "little")}
    known = [order for order, code in found.items() if code in FORMATS]
    if len(head) != 2 or not known:
        told = f"format {found['big']}" if 0 < found["big"] < 256 else "no known format"
        raise DataError(
            f"{path}: its samples are of {told}; read are {', '.join(map(str, FORMATS))}, of which 1 are floats of "
            "IBM and 5 those of IEEE"
        )
    if known == ["little"]:
        note("%s: its bytes are in the order of revision 2, the lowest first", path)
    return known[0]


def check(data: Array, headers: Mapping[str, Array], path: Path) -> None:
    """Raises DataError for traces (n, samples) that are no complete seismic data from time 0 on."""
    if bad := int((~np.isfinite(data)).sum()):
        raise DataError(f"{path}: holds {bad} samples that are NaN or infinite")
    if not data.any():
        raise DataError(f"{path}: all its samples are 0")
    lengths = set(map(int, headers["TRACE_SAMPLE_COUNT"])) - {0, data.shape[1]}
    if lengths:
        raise DataError(
            f"{path}: its binary header says {data.shape[1]} samples a trace, headers of traces say "
            f"{', '.join(map(str, sorted(lengths)[:4]))}"
        )
    kinds = set(map(int, headers["TraceIdentificationCode"])) - set(SEISMIC)
    if kinds:
        raise DataError(
            f"{path}: traces of identification code {', '.join(map(str, sorted(kinds)))} are no seismic data (1): "
            "leave dead and auxiliary traces out"
        )
    if headers["DelayRecordingTime"].any():
        raise DataError(f"{path}: traces begin at {headers['DelayRecordingTime'].max()} ms; only 0 is read")
    if silent := int((~data.any(1)).sum()):
        note("%s: %d of its %d traces hold only zeros and count as data; leave dead ones out", path, silent, len(data))


def sampling(headers: Mapping[str, Array], interval: int, path: Path) -> float:
    """The time between samples in ms, by the binary header and the traces', which must agree where both say one."""
    traces = {int(v) for v in headers["TRACE_SAMPLE_INTERVAL"]} - {0}
    said = traces | ({interval} - {0})
    if len(said) != 1 or min(said) < 0:
        found = [f"{', '.join(map(str, sorted(v)))} µs by {what}" for what, v in
                 (("the binary header", {interval} - {0}), ("the headers of traces", traces)) if v]  # fmt: skip
        raise DataError(f"{path}: the interval between samples is {' and '.join(found) or 'missing'}; one is needed")
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


def grouped(sources: Array, records: Array, path: Path) -> tuple[Array, list[int]]:
    """Indices of the traces shot by shot, (n,), and how many each shot has.

    A shot is all traces of one field record, or, where all have the same number, of one place of the source. Raises
    DataError if shots have different numbers of traces, or a record has several sources.
    """
    told = bool((records != records[0]).any())
    keys = records[:, None] if told else sources
    _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    which = which.reshape(-1)
    moved = (sources != sources[first[which]]).any(1)
    if moved.any():
        number = int(records[moved][0])
        raise DataError(f"{path}: field record {number} has sources at several places; a shot has one")
    if len(first) > 1 and (sources == sources[0]).all():
        raise DataError(f"{path}: the sources of its {len(first)} field records all have one place: is it missing?")
    rank = np.argsort(np.argsort(first))[which]  # shots in the order of the file
    counts = np.bincount(rank)
    if counts.min() != counts.max():
        usual = int(np.bincount(counts).argmax())
        odd = int(np.flatnonzero(counts != usual)[0])
        name = f"field record {int(records[np.sort(first)[odd]])}" if told else f"shot {odd + 1}"
        raise DataError(
            f"{path}: its {len(counts)} shots have {counts.min()} to {counts.max()} traces each, {name} has "
            f"{counts[odd]} and most have {usual}; only shots with equally many are read"
        )
    return np.argsort(rank, kind="stable"), [int(n) for n in counts]
