"""Arrays from .npy, .npz and .pt files: what headers say is checked against file and memory before it is read."""

import math
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from .room import fits, regular

ENTRIES = 1000  # of an .npz; more is no set of arrays
Fields = dict[str, Any]


def fields_of(path: Path, most: int | None = None) -> Fields:
    """The entries of an .npz or .pt file by name; a file with one array alone is `{"y": array}`, the one of an .npy
    mapped, not read.

    No array takes more than `most` bytes, and all together half of the free memory. Raises DataError that names the
    file for anything else.
    """
    regular(path)
    try:
        if path.suffix.lower() == ".pt":
            content = _torch(path, most)
            return content if isinstance(content, dict) else {"y": content}
        if zipfile.is_zipfile(path):
            return dict(_entries(path, most))
        with np.errstate(all="ignore"):  # of numbers of a header that are too large
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except DataError:
        raise
    except Exception as e:  # zipfile, zlib, pickle, numpy and torch each have their own errors for a broken file
        raise DataError(f"{path}: cannot be read ({first_line(e)})") from e
    fits(array.nbytes, path, most)
    return {"y": array}


def array_of(path: Path, names: tuple[str, ...] = (), most: int | None = None) -> np.ndarray:
    """The array of an .npy file, or of an .npz the first of `names` that it has, or else its only one.

    Raises DataError that names the file if there is no such array of numbers.
    """
    fields = fields_of(path, most)
    name = next((n for n in (*names, "y") if n in fields), None) or (next(iter(fields)) if len(fields) == 1 else None)
    if name is None:
        raise DataError(f"{path}: holds {listed(fields)}, of which none is {' or '.join(names) or 'the only one'}")
    found = fields[name]
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biufc":
        raise DataError(f"{path}: {name} is no array of numbers")
    return np.array(found)


def listed(fields: Mapping[str, Any]) -> str:
    """The names of entries as text, the first few of them."""
    names = [str(name) for name in fields]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "nothing"


def first_line(e: Exception) -> str:
    """The first line of the message of an error, or its kind."""
    return str(e).splitlines()[0] if str(e) else type(e).__name__


def dense(x: Tensor, origin: object, most: int | None = None) -> Tensor:
    """`x` if it holds its numbers one by one. Raises DataError for sparse, quantised, nested and empty-handed tensors,
    and for one that repeats few numbers to more than `most` bytes.
    """
    kind = (
        "nested" if x.is_nested
        else "quantised" if x.is_quantized
        else "without numbers (of the device meta)" if x.is_meta
        else str(x.layout).removeprefix("torch.") if x.layout != torch.strided
        else ""
    )  # fmt: skip
    if kind:
        raise DataError(f"{origin}: a tensor that is {kind} is not taken; make a dense one of numbers")
    fits(x.numel() * x.element_size(), origin, most)
    return x.detach().resolve_conj().resolve_neg()


def _torch(path: Path, most: int | None) -> Any:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if any(n.endswith("/constants.pkl") for n in names):
                raise DataError(f"{path}: is a TorchScript program, not a file of tensors")
            fits(sum(entry.file_size for entry in archive.infolist()), path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about old and unusual kinds of tensors, which `dense` refuses by name
        content = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(content, Tensor):
        return dense(content, path, most)
    if isinstance(content, dict):
        for name, v in content.items():
            if isinstance(v, Tensor):
                dense(v, f"{path}, {name}", most)
    return content


def _entries(path: Path, most: int | None) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of an .npz, each checked against the size that the archive and its own header say."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > ENTRIES:
            raise DataError(f"{path}: holds {len(entries)} entries, more than the {ENTRIES} that are read")
        fits(sum(entry.file_size for entry in entries), path)
        for entry in entries:
            if not entry.filename.endswith(".npy"):
                raise DataError(f"{path}: holds {entry.filename!r}, which is no array of NumPy")
            with archive.open(entry) as stream:
                size = _declared(stream, f"{path}, {entry.filename}")
                fits(size, path, most)
                if size + stream.tell() != entry.file_size:
                    raise DataError(f"{path}: {entry.filename} has {entry.file_size} bytes, its header says {size}")
            with archive.open(entry) as stream:
                array = np.lib.format.read_array(stream, allow_pickle=False)
            yield entry.filename.removesuffix(".npy"), array


def _declared(stream: Any, origin: str) -> int:
    """The number of bytes that the header of an .npy stream says; the stream then stands behind it."""
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise DataError(f"{origin}: version {version} of NumPy's format holds no plain numbers")
    shape, _, kind = readers[version](stream)
    if kind.hasobject:
        raise DataError(f"{origin}: holds objects, which would run code; only numbers are read")
    if any(n < 0 for n in shape):
        raise DataError(f"{origin}: has the shape {shape}")
    return math.prod(shape) * kind.itemsize
