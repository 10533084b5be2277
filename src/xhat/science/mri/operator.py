"""The operators of magnetic resonance imaging."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from torch import Tensor

from ...errors import ShapeError
from ...numerics.build_dtype import built
from ...numerics.linalg import bcast
from ...operators.base import DampedOperator, SpectralOperator
from ...operators.modality import COMPLEX, Modality
from ...ranges import Range
from ...registry import builds
from ...types import Data, Image
from .kspace import fft2c, ifft2c
from .lines import LineMRI
from .multi_coil import MRI, PAPERS
from .sampling import (
    Array,
    Lines,
    complex_plane,
    complex_to_pairs,
    gather,
    maps_of,
    masks_of,
    pairs_to_complex,
    rows_of,
    scatter,
    taken,
    within,
)


class Sense(MRI, DampedOperator):
    """Multi-coil k-space of any pattern; linear systems are solved by conjugate gradient (Pruessmann et al., 2001)."""

    def precondition(self, r: Image, rho: Tensor | float) -> Image:
        """r/ρ, which is at least the error, because frequencies that no coil can separate have eigenvalue ρ."""
        return r / bcast(rho, r)


@builds(MRI, source=PAPERS, example=(2, 64, 64))
def mri(
    shape: tuple[int, ...],
    mask: Array = "random",
    acceleration: Annotated[int, Range(1, 1_000)] | None = None,
    seed: Lines | Sequence[Lines] = 0,
    maps: Array = "birdcage",
    coils: Annotated[int, Range(1, 256)] = 8,
    calibration: Tensor | None = None,
    prescan: Tensor | None = None,
    recorded: Tensor | None = None,
) -> MRI:
    """y_c = M F (S_c ⊙ x): what coil c measures of Cartesian k-space, F centred and unitary.

    A complex image is (real, imaginary), shape (2, h, w). Data (coils, samples, 2) hold the samples that M keeps, row
    by row. `mask` is random or equispaced, which are InverseBench's vertical lines at `acceleration`, by default 4
    (`seed` is a number, or a list with one for each image), or an array or a file, (w,) or (h, w), whose nonzero
    entries are kept. `maps` is birdcage, which simulates maps of `coils` coils; estimate or espirit, which take them
    from the centre of `calibration`, a recorded k-space (coils, h, w) of which only what the mask keeps is used, or
    from all of `prescan`, calibration lines that were recorded apart; or an array or a file, complex (coils, h, w). Of
    `recorded` (h, w), if given, the mask may keep a part. Whole lines have a cheap SVD and become `LineMRI`, other
    patterns become `Sense`. Raises ShapeError, SpecError or DataError if mask, maps and image do not fit.
    """
    h, w = complex_plane(shape)
    masks = within(masks_of(mask, h, w, acceleration, seed), recorded)
    found = maps_of(maps, masks[0], coils, calibration, prescan)
    if tuple(found.shape[1:]) != (h, w):
        raise ShapeError(f"coil maps of shape {tuple(found.shape)} do not fit images of {h}x{w}")
    lines = bool((masks == masks[:, :1]).all())
    return LineMRI(shape, masks, found) if lines else Sense(shape, masks, found)


class SingleCoilMRI(SpectralOperator):
    """y = M F x: one coil of even sensitivity, whose singular value decomposition is the Fourier transform itself.

    Images are (2, h, w), data (1, samples, 2); `mask`, `acceleration` and `seed` are those of `mri`.
    """

    name: ClassVar[str] = "mri_single"
    per_image: ClassVar[tuple[str, ...]] = ("rows", "s")
    modality: Modality = COMPLEX
    source: ClassVar[str] = PAPERS
    example: ClassVar[tuple[int, ...]] = (2, 64, 64)

    rows: Tensor
    s: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        mask: Array = "random",
        acceleration: Annotated[int, Range(1, 1_000)] | None = None,
        seed: Lines | Sequence[Lines] = 0,
    ) -> None:
        super().__init__(shape)
        h, w = complex_plane(shape)
        masks = masks_of(mask, h, w, acceleration, seed)
        self.register_buffer("rows", rows_of(masks))
        self.register_buffer("s", built(masks[:, None]))

    image_shape = MRI.image_shape
    understood = MRI.understood

    def intake(self, y: Tensor) -> Data:
        """What the mask keeps of a recorded k-space, complex (b, 1, h, w) or (b, h, w); other data are returned as they
        are.
        """
        y = y[:, None] if y.ndim == 3 and y.is_complex() else y
        return taken(y, self.rows, self.shape) if y.is_complex() else y

    def Vt(self, x: Image) -> Tensor:
        return complex_to_pairs(fft2c(pairs_to_complex(x)))

    def V(self, z: Tensor) -> Image:
        return complex_to_pairs(ifft2c(pairs_to_complex(z)))

    def U(self, z: Tensor) -> Data:
        return gather(pairs_to_complex(z)[:, None], self.rows)

    def Ut(self, y: Data) -> Tensor:
        return complex_to_pairs(scatter(y, self.rows, self.shape)[:, 0])
