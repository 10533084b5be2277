"""HDF5 files of k-space: fastMRI's and ISMRMRD's."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import DataError, Declined
from ...files.extras import pick
from ...files.hdf5 import opened
from ...files.measurement import Measurement
from ...files.room import LARGEST, fits
from .geometry import centred, placed
from .header import Header
from .ismrmrd import ismrmrd
from .kspace import crop, crop_readout, fft2c, ifft2c
from .recorded import measurement


def read(path: Path, item: int | None) -> Measurement:
    """One slice of a fastMRI or ISMRMRD file; what the file holds tells which it is. Any other HDF5 file is
    declined, and DataError raised if the file cannot be read.
    """
    with opened(path) as file:
        if "kspace" in file:
            return fastmri(file, path, item)
        for name, group in file.items():
            if isinstance(group, Mapping) and "data" in group and "xml" in group:
                origin = f"{path} ({name})" if name != "dataset" else str(path)
                return ismrmrd(group, Header(xml_of(group, "xml"), origin), origin, item)
        raise Declined(
            f"{path}: is neither fastMRI's (no 'kspace') nor ISMRMRD's (no group with 'data' and 'xml'); "
            f"it holds {', '.join(file) or 'nothing'}"
        )


def fastmri(file: Any, path: Path, item: int | None, squeezed: bool = False) -> Measurement:
    """One slice of 'kspace' (slices[, coils], readout, phase encodes), with 'mask' (phase encodes,) in the accelerated
    sets.

    Readouts are cropped in the image to the size of the reconstruction, which is 320 × 320 if the file does not tell
    it. Complete data are cropped in the image along the phase encodes, too, so that the image is that of the file's own
    `reconstruction_rss`; incomplete data cannot be and keep their whole field of view. `squeezed` crops phase encodes
    in k-space instead, as InverseBench does, which makes the pixels wider. Columns that the limits of the encoding
    leave out are zero filling, and no missing lines.
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
    head = Header(xml_of(file), str(path))
    shown = next((file[n].shape for n in ("reconstruction_rss", "reconstruction_esc") if n in file), None)
    rows, columns = shown[-2:] if shown else head.matrix("reconSpace") or (min(h, 320), min(w, 320))
    mask = torch.from_numpy(np.asarray(file["mask"]).astype(bool)).reshape(1, -1) if "mask" in file else None
    if mask is not None and mask.shape[-1] != w:
        raise DataError(f"{path}: the mask has {mask.shape[-1]} entries for {w} phase encodes")
    filled = zero_filled(head, w)
    pixel = head.fov("encodedSpace"), head.fov("encodedSpace", "y"), head.fov("encodedSpace", "z")
    affine = None
    if pixel[0] and pixel[1]:
        wide = columns if columns < w and squeezed else w
        affine = placed((pixel[0] / h, pixel[1] / wide, pixel[2] or 1.0))
    if columns < w and squeezed:
        k = crop(k, columns, -1)
        mask, filled = (None if v is None else crop(v, columns, -1) for v in (mask, filled))
    k = crop_readout(k, rows) if rows < h else k
    taken = (k.abs().sum((0, 1)) > 0)[None] if mask is None else mask
    whole = bool((taken if filled is None else taken | filled).all())
    if columns < k.shape[-1] and whole:
        k, mask, filled = fft2c(crop(ifft2c(k), columns, -1)), None, None
    found = measurement(k, path, mask=mask, filled=filled)
    return found if affine is None else replace(found, affine=centred(affine, *k.shape[-2:]))


def zero_filled(head: Header, w: int) -> torch.Tensor | None:
    """Which of `w` phase encodes the limits of the encoding leave out, (1, w) bool; None if the header has no limits.

    Encoding step `center` lies at index w // 2, as in fastMRI's own code.
    """
    limits = head.limits()
    if limits is None:
        return None
    first = w // 2 - limits[0]
    columns = torch.arange(w)
    return ((columns < first) | (columns > first + limits[1]))[None]


def xml_of(group: Any, name: str = "ismrmrd_header") -> str:
    """The XML header as text; empty if there is none."""
    if name not in group:
        return ""
    content = group[name][()]
    content = content[0] if isinstance(content, np.ndarray) else content
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
