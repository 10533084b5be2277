"""Cartesian planes of ISMRMRD, the field's format of raw data (Inati et al., 2017): lines with a head each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError
from ...files.extras import pick
from ...files.measurement import Measurement
from ...files.room import LARGEST, fits
from .geometry import centred, placed
from .header import Header
from .kspace import crop_readout
from .recorded import measurement


def flag(*bits: int) -> np.uint64:
    """The acquisition flags with these numbers, which ISMRMRD counts from 1."""
    return np.uint64(sum(1 << (bit - 1) for bit in bits))


NOISE, CALIBRATION, BOTH, REVERSE = flag(19), flag(20), flag(21), flag(22)
# Lines that are neither image nor calibration: navigators, phase correction, feedback, dummies, corrections.
OTHER = flag(23, 24, *range(26, 32))
HEAD = ("flags", "idx", "number_of_samples")  # what the head of a readout must have


def ismrmrd(group: Any, head: Header, origin: str, item: int | None) -> Measurement:
    """One slice of Cartesian lines ('data').

    Repeated lines are averaged, readout oversampling is removed, and samples that a partial echo does not have count as
    not measured. Calibration lines that are no image data, which may have another gain, only make coil maps. Scans of
    noise decorrelate the coils and give σ. Of several encodings the first with image data is read. Raises DataError for
    other trajectories and for volumes.
    """
    table = group["data"]
    if isinstance(table, Mapping) or table.ndim != 1 or not {"head", "data"} <= set(table.dtype.names or ()):
        raise DataError(f"{origin}: its 'data' is no table of readouts with a head each")
    if not set(HEAD) <= set(table.dtype["head"].names or ()) or "slice" not in (table.dtype["head"]["idx"].names or ()):
        raise DataError(f"{origin}: the heads of its readouts lack {', '.join(HEAD)} or idx.slice")
    every = table[:]
    flags = every["head"]["flags"]
    apart = ((flags & CALIBRATION) != 0) & ((flags & BOTH) == 0)
    image = ((flags & (OTHER | NOISE)) == 0) & ~apart
    if not image.any():
        raise DataError(f"{origin}: holds no imaging lines")
    space = encoding(every[image][:1])
    head = head.encoding(int(space[0]))
    if (path := head.text("trajectory")) and path.lower() != "cartesian":
        raise DataError(f"{origin}: has a {path} trajectory; only Cartesian ones are read")
    slices = np.unique(every[image & (encoding(every) == space)]["head"]["idx"]["slice"])
    wanted = slices[pick(len(slices), item, origin, "slice")]
    keep = (every["head"]["idx"]["slice"] == wanted) & (encoding(every) == space)
    lines = first_of_each(every[keep & image])
    if np.unique(lines["head"]["idx"]["kspace_encode_step_2"]).size > 1:
        raise DataError(f"{origin}: is three-dimensional; only planes are read")
    size = head.matrix("encodedSpace")
    if size is None or not size[1]:
        raise DataError(f"{origin}: its header names no encoded matrix")
    limits = head.limits()
    plane = Plane(
        *size, int(lines["head"]["active_channels"][0]), size[1] // 2 if limits is None else limits[0], origin
    )
    whitening = whitened(every[(flags & NOISE) != 0], plane.coils, head, lines["head"])
    k, count = plane.grid(lines, whitening)
    fields = head.fov("encodedSpace"), head.fov("reconSpace")
    rows = round(size[0] * fields[1] / fields[0]) if fields[0] and fields[1] else size[0]
    mask = narrowed(count > 0, rows)
    prescan = None
    if (keep & apart).any():
        calibration, lines_of_it = plane.grid(first_of_each(every[keep & apart]), whitening)
        prescan = crop_readout(calibration, rows) * narrowed(lines_of_it > 0, rows)
    k = crop_readout(k, rows) if rows < size[0] else k
    times = count[count > 0]
    sigma = float(times[0]) ** -0.5 if whitening is not None and bool((times == times[0]).all()) else None
    found = measurement(k * mask, origin, mask=mask, prescan=prescan, sigma=sigma)
    return replace(found, affine=affine_of(lines[0]["head"], head, k.shape[-2:], size))


def affine_of(line: np.void, head: Header, plane: Sequence[int], encoded: tuple[int, int]) -> np.ndarray | None:
    """Where the pixels of an image `plane` (h, w) lie, by the fields of view in the header, which are for an `encoded`
    matrix, and by place and directions of a `line`; None if the header has no fields of view.
    """
    along, across, thick = (head.fov("encodedSpace", axis) for axis in "xyz")
    if not along or not across:
        return None
    size = along / encoded[0], across / plane[1], thick or 1.0
    names = line.dtype.names or ()
    if not {"position", "read_dir", "phase_dir", "slice_dir"} <= set(names):
        return centred(placed(size), *plane)
    directions = [np.asarray(line[f"{d}_dir"], float) for d in ("phase", "read", "slice")]
    matrix = np.stack(directions, 1)
    if not np.isfinite(matrix).all() or abs(abs(np.linalg.det(matrix)) - 1) > 1e-2:
        return centred(placed(size), *plane)  # no directions were recorded
    return centred(placed(size, matrix, np.asarray(line["position"], float)), *plane)


def encoding(lines: np.ndarray) -> np.ndarray:
    """The number of the encoding that each line is of."""
    names = lines.dtype["head"].names or ()
    found: np.ndarray = lines["head"]["encoding_space_ref"] if "encoding_space_ref" in names else np.zeros(len(lines))
    return found


def first_of_each(lines: np.ndarray) -> np.ndarray:
    """The lines of the first contrast, phase, repetition and set."""
    keep = np.ones(len(lines), dtype=bool)
    for name in ("contrast", "phase", "repetition", "set"):
        keep &= lines["head"]["idx"][name] == lines["head"]["idx"][name].min()
    return lines[keep]


def samples_of(line: np.void, coils: int) -> np.ndarray | None:
    """The samples of a line, complex (coils, samples), forwards; None if they are not as many as its head says."""
    numbers = np.ascontiguousarray(line["data"]).view(np.complex64)
    if numbers.size != coils * int(line["head"]["number_of_samples"]):
        return None
    found = numbers.reshape(coils, -1)
    return found[:, ::-1] if line["head"]["flags"] & REVERSE else found


@dataclass(frozen=True)
class Plane:
    """The grid of one encoding: `x` samples of `y` lines in `coils` coils; step `middle` comes to index y // 2."""

    x: int
    y: int
    coils: int
    middle: int
    origin: str

    def grid(self, lines: np.ndarray, whitening: np.ndarray | None) -> tuple[Tensor, Tensor]:
        """The mean of the lines where their counters say, complex (coils, x, y), and their number (x, y)."""
        coils, x, y = self.coils, self.x, self.y
        fits(8 * coils * x * y, f"{self.origin}: k-space of {coils} x {x} x {y}", LARGEST)
        total, count = np.zeros((coils, x, y), np.complex64), np.zeros((x, y), np.float32)
        for line in lines:
            head, samples = line["head"], samples_of(line, coils)
            step = int(head["idx"]["kspace_encode_step_1"]) + y // 2 - self.middle
            n, start = int(head["number_of_samples"]), x // 2 - int(head["center_sample"])
            if samples is None or not 0 <= step < y or start < 0 or start + n > x:
                raise DataError(
                    f"{self.origin}: a line of {line['data'].size // 2} samples at step {step} does not fit {coils} x "
                    f"{x} x {y}"
                )
            total[:, start : start + n, step] += samples if whitening is None else whitening @ samples
            count[start : start + n, step] += 1
        return torch.from_numpy(total / np.maximum(count, 1)), torch.from_numpy(count)


def whitened(noise: np.ndarray, coils: int, head: Header, heads: np.ndarray) -> np.ndarray | None:
    """The matrix (coils, coils) after which the noise of all coils is independent, with a real and an imaginary part
    of variance 1; None without scans of noise.

    L⁻¹ √(2 b τ/τ_n) with L Lᴴ the covariance of the samples of `noise`, τ the time between two samples of an image line
    and τ_n that of the noise scan, and b the receiver's relative noise bandwidth (Kellman & McVeigh, 2005).
    """
    found = [
        s
        for line in noise
        if int(line["head"]["active_channels"]) == coils
        if (s := samples_of(line, coils)) is not None
    ]
    if not found or (n := sum(s.shape[1] for s in found)) < 2 * coils:
        return None
    samples = np.concatenate(found, 1).astype(np.complex128)
    samples -= samples.mean(1, keepdims=True)
    covariance = samples @ samples.conj().T / (n - 1)
    if not np.isfinite(covariance).all() or np.linalg.eigvalsh(covariance)[0] <= 0:
        return None
    names = noise.dtype["head"].names or ()
    apart = float(noise["head"]["sample_time_us"][0]) if "sample_time_us" in names else 0.0
    own = float(heads["sample_time_us"][0]) if "sample_time_us" in names else 0.0
    ratio = own / apart if own > 0 and apart > 0 else 1.0
    bandwidth = head.number("relativeReceiverNoiseBandwidth") or 1.0
    out: np.ndarray = np.linalg.inv(np.linalg.cholesky(covariance)) * math.sqrt(2 * bandwidth * ratio)
    return out.astype(np.complex64)


def narrowed(seen: Tensor, rows: int) -> Tensor:
    """Which of `rows` frequencies of the readout were measured, (rows, y) bool, after its oversampling is removed.

    `seen` (x, y) says it before. A frequency of the narrower image lies between two of the wider one; next to an end
    of the echo, where cropping smears, it does not count.
    """
    x = len(seen)
    if rows >= x:
        return seen
    place = (torch.arange(rows) - rows // 2) * x / rows + x // 2
    low, high = (place.floor() - 1).long(), (place.ceil() + 1).long()
    inside = [seen[i.clamp(0, x - 1)] for i in (low, high)]
    return inside[0] & inside[1]
