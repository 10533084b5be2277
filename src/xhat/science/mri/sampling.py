"""What the MRI operators share: complex numbers as pairs, sampling masks, coil maps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError, ShapeError, SpecError
from ...operators.checks import one_of, planes, seeds_of
from ...operators.modality import COMPLEX
from ...ranges import Range
from ...types import Data
from .espirit import espirit_maps
from .kspace import birdcage, estimate_maps, line_mask, sampled

Array = str | Path | Tensor | np.ndarray
ACCELERATION = 4  # of lines that are drawn, unless it is named
ESTIMATES = {"estimate": estimate_maps, "espirit": espirit_maps}  # each takes a calibration and its mask


def complex_plane(shape: tuple[int, ...]) -> tuple[int, int]:
    """(h, w) of a complex image (2, h, w). Raises ShapeError for another number of channels."""
    c, h, w = planes(shape)
    if not COMPLEX.fits(shape):
        raise ShapeError(f"this operator takes complex images as 2 channels (real, imaginary), not {c}")
    return h, w


def plane_of(data_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The image shape, (2, h, w), of a recorded k-space ([coils,] h, w). Raises SpecError for data that do not tell
    it.
    """
    if data_shape[-1] == 2 or len(data_shape) not in (2, 3):
        raise SpecError("mri: samples do not tell the shape of the image; give it as --shape 2,h,w")
    return 2, *data_shape[-2:]


def pairs_to_complex(x: Tensor) -> Tensor:
    """Pairs (b, 2, h, w) as complex (b, h, w)."""
    return torch.complex(x[:, 0], x[:, 1])


def complex_to_pairs(z: Tensor) -> Tensor:
    """Complex (b, h, w) as pairs (b, 2, h, w)."""
    return torch.stack([z.real, z.imag], 1)


def gather(k: Tensor, rows: Tensor) -> Data:
    """The sampled entries of complex planes (b, coils, h, w) as pairs (b, coils, samples, 2)."""
    flat = k.flatten(-2)
    return torch.view_as_real(flat.gather(-1, rows[:, None].expand(*flat.shape[:2], -1)))


def scatter(y: Data, rows: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The adjoint of `gather`: complex planes (b, coils, h, w) that are 0 where nothing was sampled."""
    z = torch.view_as_complex(y.contiguous())
    flat = z.new_zeros(*z.shape[:2], shape[-2] * shape[-1])
    return flat.scatter(-1, rows[:, None].expand_as(z), z).reshape(*z.shape[:2], *shape[-2:])


def taken(k: Tensor, rows: Tensor, shape: tuple[int, ...]) -> Data:
    """The sampled entries of a recorded k-space, as `gather`. Raises ShapeError if it does not fit images of
    `shape`.
    """
    if k.ndim != 4 or tuple(k.shape[-2:]) != tuple(shape[-2:]):
        raise ShapeError(f"k-space of shape {tuple(k.shape[1:])} does not fit an image of {shape[-2]}x{shape[-1]}")
    return gather(k, rows)


def rows_of(masks: Tensor) -> Tensor:
    """The indices of the nonzero entries of `masks` (b, h, w), (b, samples).

    Raises ShapeError if the masks keep different numbers, and DataError if they are empty.
    """
    places = [m.flatten().nonzero().flatten() for m in masks]
    if len({len(p) for p in places}) != 1:
        raise ShapeError(f"masks of one batch must keep the same number of samples, not {[len(p) for p in places]}")
    if not len(places[0]):
        raise DataError("the mask is empty: nothing would be measured")
    return torch.stack(places)


Lines = Annotated[int, Range(0, 2**32 - 1)]  # a seed of NumPy's first generator, with which InverseBench draws lines


def masks_of(mask: Array, h: int, w: int, acceleration: int | None, seed: int | Sequence[int]) -> Tensor:
    """The masks that an option asks for, (1 or b, h, w) bool. The arguments are those of `MRI`.

    Raises SpecError for an `acceleration` beside a mask that is given, which it would not change.
    """
    if isinstance(mask, str) and mask in ("random", "equispaced"):
        R = ACCELERATION if acceleration is None else acceleration
        return torch.stack([line_mask(w, R, mask, s) for s in seeds_of(seed)])[:, None].expand(-1, h, -1)
    if acceleration is not None:
        raise SpecError(
            f"acceleration={acceleration} draws lines, and here the mask is given, by an option or by data that are "
            "incomplete already: leave one of them"
        )
    if isinstance(mask, str) and not Path(mask).suffix:
        one_of("mask", mask, ("random", "equispaced", "a file"))
    m = load(mask) if isinstance(mask, str | Path) else torch.as_tensor(mask)
    m = m[0] if m.ndim == 3 and len(m) == 1 else m
    if m.ndim not in (1, 2) or m.shape[-1] != w or (m.ndim == 2 and m.shape[0] not in (1, h)):
        raise ShapeError(f"the mask of shape {tuple(m.shape)} does not fit k-space of {h}x{w}")
    return (m != 0).reshape(1, -1, w).expand(1, h, w)


def within(masks: Tensor, recorded: Tensor | None) -> Tensor:
    """`masks` (b, h, w) as they are. Raises DataError if they keep more than the `recorded` frequencies (h, w)."""
    more = 0 if recorded is None else int((masks & ~recorded).sum())
    if more:
        raise DataError(f"the mask keeps {more} frequencies that were not recorded: the data have zeros there")
    return masks


def maps_of(maps: Array, mask: Tensor, coils: int, calibration: Tensor | None, prescan: Tensor | None = None) -> Tensor:
    """The maps that an option asks for, complex (coils, h, w). `mask` (h, w) is bool; the others are the arguments of
    `MRI`.
    """
    if prescan is not None:
        calibration, mask = prescan, sampled(prescan)
    if isinstance(maps, str) and maps == "birdcage":
        return birdcage(coils, *mask.shape)
    if isinstance(maps, str) and maps in ESTIMATES:
        if calibration is None:
            raise SpecError(f"maps={maps} needs a recorded k-space to estimate them from; give maps=FILE")
        if tuple(calibration.shape[1:]) != tuple(mask.shape):
            raise ShapeError(f"calibration data of shape {tuple(calibration.shape)} do not fit {tuple(mask.shape)}")
        return ESTIMATES[maps](calibration * mask, mask)
    if isinstance(maps, str) and not Path(maps).suffix:
        one_of("maps", maps, ("birdcage", *ESTIMATES, "a file"))
    found = load(maps) if isinstance(maps, str | Path) else torch.as_tensor(maps)
    if found.ndim != 3 or not found.is_complex():
        raise DataError(f"coil maps are complex and (coils, h, w), not {found.dtype} of shape {tuple(found.shape)}")
    if not bool(torch.isfinite(found.abs()).all()) or not bool(found.abs().max() > 0):
        raise DataError("the coil maps hold NaN or infinity, or nothing but zeros")
    return found


def load(path: str | Path) -> Tensor:
    """Maps, (coils, h, w), or a mask, as the file holds them: .npy, .cfl, or an .h5 with s_maps."""
    from . import arrays

    return arrays.load(Path(path))
