"""Magnetic resonance imaging of volumes: 3-D k-space undersampled in both directions of phase encoding."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.fft import fftn, fftshift, ifftn, ifftshift

from ...errors import ShapeError, SpecError
from ...files.numbers import array_of
from ...files.pictures import save_array
from ...numerics.build_dtype import built
from ...operators.checks import Number
from ...operators.masked import Masked
from ...operators.modality import Complex, Modality, Put, sheet
from ...ranges import Range, Seed
from ...types import Data, Image
from .sampling import Array, complex_to_pairs, pairs_to_complex

AXES = (-3, -2, -1)


@dataclass(frozen=True, kw_only=True)
class ComplexVolume(Complex):
    """A complex number at each voxel, (real, imaginary), (2, slices, rows, columns); shown by magnitudes of slices."""

    name: str = "complex volume"

    def fits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 4 and shape[0] == 2

    def as_image(self, x: Tensor) -> Tensor:
        """Complex (slices, h, w), or grey (1, slices, h, w) with black as 0 and white as 1, as (2, slices, h, w)."""
        if x.is_complex():
            return torch.view_as_real(x.reshape(x.shape[-3:])).permute(3, 0, 1, 2) if x.shape[:-3].numel() == 1 else x
        return torch.cat([(x + 1) / 2, torch.zeros_like(x)]) if x.ndim == 4 and len(x) == 1 else x

    def plane(self, x: Tensor) -> Tensor | None:
        return sheet(x.square().sum(0).sqrt()[:, None])

    def show(self, x: Tensor) -> Tensor | None:
        size = self.plane(x)
        assert size is not None
        return size / size.max().clamp_min(1e-12) * 2 - 1

    def write(self, images: Mapping[str, Tensor], depth: int) -> dict[str, Put]:
        return {f"{stem}.npy": partial(save_array, x=torch.complex(x[0], x[1])) for stem, x in images.items()}

    def write_std(self, std: Tensor, depth: int) -> dict[str, Put]:
        return {"std.npy": partial(save_array, x=std)}


COMPLEX_VOLUME = ComplexVolume()


class VolumeMRI(Masked):
    """y = M F x: k-space of a volume (2, slices, h, w), F the centred unitary 3-D Fourier transform.

    Slices and rows are the two directions of phase encoding, columns are read out. `mask` random keeps one in
    `acceleration` of the pairs of frequencies of slices and rows, drawn with `seed`: all within `centre` of the range
    around 0, the others the rarer the higher; or it is a file or an array (slices, rows) whose nonzero entries are
    kept. Data (2, slices, h, w) are 0 where M keeps nothing. Its singular value decomposition is the Fourier transform.
    """

    name: ClassVar[str] = "mri_volume"
    modality: Modality = COMPLEX_VOLUME
    source: ClassVar[str] = "Lustig et al., 2007, doi:10.1002/mrm.21391"
    example: ClassVar[tuple[int, ...]] = (2, 4, 64, 64)
    one_basis: ClassVar[bool] = True

    def __init__(
        self,
        shape: tuple[int, ...],
        mask: Array = "random",
        acceleration: Annotated[Number, Range(1, 1_000)] = 4,
        centre: Annotated[Number, Range(0, 1)] = 0.15,
        seed: Annotated[int, Seed] = 0,
    ) -> None:
        super().__init__(shape)
        if not COMPLEX_VOLUME.fits(shape):
            raise ShapeError(f"mri_volume takes complex volumes (2, slices, h, w), not {tuple(shape)}")
        random = isinstance(mask, str) and mask == "random"
        kept = drawn(shape[1], shape[2], acceleration, centre, seed) if random else mask_of(mask)
        if kept.shape != shape[1:3]:
            raise ShapeError(f"a mask of {tuple(kept.shape)} slices and rows does not fit a volume of {shape[1:3]}")
        self.register_buffer("s", built(kept[None, None, :, :, None].expand(1, 1, -1, -1, shape[3]).contiguous()))

    def Vt(self, x: Image) -> Tensor:
        k: Tensor = fftshift(fftn(ifftshift(pairs_to_complex(x), AXES), dim=AXES, norm="ortho"), AXES)
        return complex_to_pairs(k)

    def V(self, z: Tensor) -> Image:
        x: Tensor = fftshift(ifftn(ifftshift(pairs_to_complex(z), AXES), dim=AXES, norm="ortho"), AXES)
        return complex_to_pairs(x)

    def intake(self, y: Tensor) -> Data:
        """A recorded k-space, complex (b, slices, h, w), of which the mask keeps a part; others as they are."""
        return complex_to_pairs(y) if y.is_complex() and y.ndim == 4 else y


def mask_of(mask: Array) -> Tensor:
    """The mask (slices, rows) in a file or an array."""
    if isinstance(mask, str) and not Path(mask).suffix:
        raise SpecError(f"mri_volume: mask is random, a file or an array, not {mask!r}")
    array = array_of(Path(mask)) if isinstance(mask, str | Path) else np.asarray(torch.as_tensor(mask).cpu())
    return torch.as_tensor(np.asarray(array) != 0)


def drawn(slices: int, rows: int, acceleration: Number, centre: Number, seed: int) -> Tensor:
    """Which pairs of frequencies are sampled, (slices, rows): their number is that of all over `acceleration`.

    Raises ShapeError if the centre alone has more.
    """
    far = [((torch.arange(n, dtype=torch.float64) - n // 2) / max(n / 2, 1)).abs() for n in (slices, rows)]
    radius = (far[0][:, None] ** 2 + far[1] ** 2).sqrt()
    inside = (far[0][:, None] <= centre) & (far[1] <= centre)
    count = max(1, round(slices * rows / acceleration))
    if int(inside.sum()) > count:
        raise ShapeError(f"mri_volume: an acceleration of {acceleration} leaves fewer samples than the centre has")
    weight = torch.where(inside, 0.0, (1.5 - radius).clamp_min(0.02) ** 2).flatten()
    more = count - int(inside.sum())
    kept = inside.flatten().clone()
    if more:
        # The first of clocks that ring at these rates: drawing without replacement (Efraimidis & Spirakis, 2006,
        # doi:10.1016/j.ipl.2005.11.003). torch.multinomial does the same with draws that hang on the version of torch.
        uniform = torch.rand(len(weight), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        kept[(-uniform.log() / weight).argsort(stable=True)[:more]] = True
    return kept.reshape(slices, rows)
