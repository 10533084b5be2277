"""HDF5 files of k-space: fastMRI's and ISMRMRD's."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import DataError
from ...files.extras import extra, pick
from ...files.measurement import Measurement
from ...files.room import LARGEST, fits
from .kspace import crop, crop_readout
from .recorded import measurement

# ISMRMRD counts its acquisition flags from 1. These mark lines that are no image data: noise, navigator, phase
# correction, feedback, dummies, corrections.
OTHER = np.uint64(sum(1 << (bit - 1) for bit in (19, 23, 24, *range(26, 32))))
REVERSE = np.uint64(1 << (22 - 1))
HEAD = ("flags", "idx", "number_of_samples")  # of a readout


def read(path: Path, item: int | None) -> Measurement:
    """One slice of a fastMRI or ISMRMRD file; what the file holds tells which it is. Raises DataError for any other
    file.
    """
    with opened(path) as file:
        if "kspace" in file:
            return fastmri(file, path, item)
        for name, group in file.items():
            if isinstance(group, Mapping) and "data" in group and "xml" in group:
                return ismrmrd(group, f"{path} ({name})" if name != "dataset" else str(path), item)
        raise DataError(
            f"{path}: is neither fastMRI's (no 'kspace') nor ISMRMRD's (no group with 'data' and 'xml'); "
            f"it holds {', '.join(file) or 'nothing'}"
        )


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An open HDF5 file that holds all its data itself. Any error of the library while it is open becomes a
    DataError, as is a file that takes data from others.
    """
    h5py = extra("h5py", f"{path}")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            whole(file, path)
            yield file
    except DataError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as e:
        raise DataError(
            f"{path}: cannot be read as HDF5 ({str(e).splitlines()[0] if str(e) else type(e).__name__})"
        ) from e


def whole(file: Any, path: Path) -> None:
    """Raises DataError, which names the entry, if anything in the open HDF5 file lies in another file.

    HDF5 has three ways to do so: links to entries of other files, data sets in raw files, and data sets that are put
    together from parts of others. Whoever made the file would choose which file of this machine is read.
    """
    h5py = extra("h5py", f"{path}")
    seen, waiting = set(), [file]
    while waiting:
        group = waiting.pop()
        for name in group:
            link, entry = group.get(name, getlink=True), f"{group.name.rstrip('/')}/{name}"
            if isinstance(link, h5py.SoftLink):
                continue  # its target is in this file, or behind a link that is found by itself
            if not isinstance(link, h5py.HardLink):
                raise DataError(f"{path}: {entry} is a link to another file, which is not followed; copy the data in")
            thing = group[name]
            if isinstance(thing, h5py.Dataset) and (thing.is_virtual or thing.external):
                raise DataError(f"{path}: the data of {entry} lie in other files, which are not read; copy them in")
            if isinstance(thing, h5py.Group) and (place := h5py.h5o.get_info(thing.id).addr) not in seen:
                seen.add(place)  # a group may be reached by several ways, through itself, too
                waiting.append(thing)


def array(path: Path, names: tuple[str, ...], item: int | None) -> np.ndarray:
    """The first of `names` that the file at `path` holds, or of more than three axes its slice `item`.

    Raises DataError if the file holds none of them.
    """
    with opened(path) as file:
        found = next((n for n in names if n in file), None)
        if found is None:
            raise DataError(f"{path}: holds none of {', '.join(names)}, only {', '.join(file) or 'nothing'}")
        data = file[found]
        if isinstance(data, Mapping):
            raise DataError(f"{path}: {found!r} is a group, not an array")
        fits(data.dtype.itemsize * math.prod(data.shape[1:] if data.ndim > 3 else data.shape), path, LARGEST)
        return np.asarray(data[pick(len(data), item, path, "slice")] if data.ndim > 3 else data[()])


def fastmri(file: Any, path: Path, item: int | None) -> Measurement:
    """One slice of 'kspace' (slices[, coils], readout, phase encodes), with 'mask' (phase encodes,) in the accelerated
    sets.

    As in InverseBench, readouts are cropped in the image and phase encodes in k-space to the size of the
    reconstruction. The size is 320 × 320 if the file does not tell it.
    """
    stack = file["kspace"]
    if isinstance(stack, Mapping):
        raise DataError(f"{path}: 'kspace' is a group, not an array")
    if stack.ndim not in (3, 4) or stack.dtype.kind != "c":
        raise DataError(f"{path}: 'kspace' is {stack.dtype} of shape {stack.shape}, not complex (slices, coils, h, w)")
    fits(8 * math.prod(stack.shape[1:]), f"{path}: a slice of 'kspace'", LARGEST)
    k = torch.from_numpy(np.asarray(stack[pick(len(stack), item, path, "slice")]).astype(np.complex64))
    k = k[None] if k.ndim == 2 else k
    h, w = k.shape[-2:]
    shown = next((file[n].shape for n in ("reconstruction_rss", "reconstruction_esc") if n in file), None)
    rows, columns = shown[-2:] if shown else matrix(xml_of(file), "reconSpace", (min(h, 320), min(w, 320)))
    mask = torch.from_numpy(np.asarray(file["mask"]).astype(bool)).reshape(1, -1) if "mask" in file else None
    if mask is not None and mask.shape[-1] != w:
        raise DataError(f"{path}: the mask has {mask.shape[-1]} entries for {w} phase encodes")
    if columns < w:
        k, mask = crop(k, columns, -1), None if mask is None else crop(mask, columns, -1)
    return measurement(crop_readout(k, rows) if rows < h else k, path, mask=mask)


def ismrmrd(group: Any, origin: str, item: int | None) -> Measurement:
    """One slice of Cartesian lines ('data') with their header ('xml').

    Lines are averaged if they are repeated, and readout oversampling is removed. Raises DataError for other
    trajectories and for volumes.
    """
    xml, table = xml_of(group, "xml"), group["data"]
    if isinstance(table, Mapping) or table.ndim != 1 or not {"head", "data"} <= set(table.dtype.names or ()):
        raise DataError(f"{origin}: its 'data' is no table of readouts with a head each")
    if not set(HEAD) <= set(table.dtype["head"].names or ()) or "slice" not in (table.dtype["head"]["idx"].names or ()):
        raise DataError(f"{origin}: the heads of its readouts lack {', '.join(HEAD)} or idx.slice")
    lines = table[:]
    if (found := re.search(r"<trajectory>\s*(\w+)\s*</trajectory>", xml)) and found[1].lower() != "cartesian":
        raise DataError(f"{origin}: has a {found[1]} trajectory; only Cartesian ones are read")
    heads = lines["head"]
    lines = lines[(heads["flags"] & OTHER) == 0]
    heads = lines["head"]
    if not len(lines):
        raise DataError(f"{origin}: holds no imaging lines")
    slices = np.unique(heads["idx"]["slice"])
    wanted = slices[pick(len(slices), item, origin, "slice")]
    first = {n: heads["idx"][n].min() for n in ("contrast", "phase", "repetition", "set")}
    keep = heads["idx"]["slice"] == wanted
    for name, value in first.items():
        keep &= heads["idx"][name] == value
    lines = lines[keep]
    if np.unique(lines["head"]["idx"]["kspace_encode_step_2"]).size > 1:
        raise DataError(f"{origin}: is three-dimensional; only planes are read")
    x, y = matrix(xml, "encodedSpace", (int(lines["head"]["number_of_samples"].max()), 0))
    if not y:
        raise DataError(f"{origin}: its header names no encoded matrix")
    middle = re.search(r"<kspace_encoding_step_1>.*?<center>(\d+)</center>", xml, re.S)
    k = grid(lines, x, y, int(middle[1]) if middle else y // 2, origin)
    rows = round(x * fov(xml, "reconSpace") / fov(xml, "encodedSpace")) if fov(xml, "reconSpace") else x
    return measurement(crop_readout(k, rows) if rows < x else k, origin, mask=k.abs().sum((0, 1), keepdim=True)[0] > 0)


def grid(lines: np.ndarray, x: int, y: int, middle: int, origin: str) -> torch.Tensor:
    """Lines placed where their counters say, complex (coils, x, y).

    Encoding step `middle` and the centre of each line come to index n // 2.
    """
    coils = int(lines["head"]["active_channels"][0])
    fits(8 * coils * x * y, f"{origin}: k-space of {coils} x {x} x {y}", LARGEST)
    total, count = np.zeros((coils, x, y), np.complex64), np.zeros((1, 1, y), np.float32)
    steps = lines["head"]["idx"]["kspace_encode_step_1"].astype(int)
    shift = y // 2 - middle
    for head, step, data in zip(lines["head"], steps + shift, lines["data"], strict=True):
        samples = np.ascontiguousarray(data).view(np.complex64)
        n, start = int(head["number_of_samples"]), x // 2 - int(head["center_sample"])
        if samples.size != coils * n or not 0 <= step < y or start < 0 or start + n > x:
            raise DataError(
                f"{origin}: a line of {samples.size} numbers at step {step} does not fit {coils} x {x} x {y}"
            )
        line = samples.reshape(coils, n)
        total[:, start : start + n, step] += line[:, ::-1] if head["flags"] & REVERSE else line
        count[..., step] += 1
    return torch.from_numpy(total / np.maximum(count, 1))


def xml_of(group: Any, name: str = "ismrmrd_header") -> str:
    """The XML header as text; empty if there is none."""
    if name not in group:
        return ""
    content = group[name][()]
    content = content[0] if isinstance(content, np.ndarray) else content
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)


def matrix(xml: str, space: str, otherwise: tuple[int, int]) -> tuple[int, int]:
    """The matrixSize (x, y) of encodedSpace or reconSpace in the header; `otherwise` if it is not given."""
    found = re.search(rf"<{space}>.*?<matrixSize>\s*<x>(\d+)</x>\s*<y>(\d+)</y>", xml, re.S)
    return (int(found[1]), int(found[2])) if found else otherwise


def fov(xml: str, space: str) -> float:
    """The field of view along the readout in mm; 0 if the header does not tell it."""
    found = re.search(rf"<{space}>.*?<fieldOfView_mm>\s*<x>([\d.eE+-]+)</x>", xml, re.S)
    return float(found[1]) if found else 0.0
