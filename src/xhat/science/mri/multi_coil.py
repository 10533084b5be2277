"""What the multi-coil operators share."""

from typing import ClassVar

import torch
from torch import Tensor

from ...files.measurement import Measurement
from ...numerics.build_dtype import built
from ...operators.base import LinearOperator
from ...operators.modality import COMPLEX, Modality
from ...types import Data, Image
from .kspace import fft2c, ifft2c
from .recorded import understood
from .sampling import complex_to_pairs, gather, pairs_to_complex, plane_of, rows_of, scatter, taken

PAPERS = "InverseBench, arXiv 2503.11043; SENSE, doi 10.1002/(SICI)1522-2594(199911)42:5<952::AID-MRM16>3.0.CO;2-S"


class MRI(LinearOperator):
    """y_c = M F (S_c ⊙ x), whatever M keeps and however linear systems are solved.

    Images are (2, h, w), real and imaginary part; data are (coils, samples, 2).
    """

    per_image: ClassVar[tuple[str, ...]] = ("rows",)
    source: ClassVar[str] = PAPERS
    example: ClassVar[tuple[int, ...]] = (2, 64, 64)
    modality: Modality = COMPLEX

    rows: Tensor  # (1 or b, samples) indices into the flattened plane
    maps: Tensor  # (coils, h, w, 2): complex buffers would not follow `.double()`

    def __init__(self, shape: tuple[int, ...], masks: Tensor, maps: Tensor) -> None:
        """`masks` (1 or b, h, w) bool, `maps` complex (coils, h, w)."""
        super().__init__(shape)
        self.register_buffer("rows", rows_of(masks))
        self.register_buffer("maps", built(torch.view_as_real(maps)))

    @classmethod
    def understood(cls, found: Measurement) -> Measurement:
        """Recorded k-space in an array, with its maps estimated and its zeros understood (`recorded.understood`)."""
        return understood(found)

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        return plane_of(data_shape)

    def intake(self, y: Tensor) -> Data:
        """What the mask keeps of a recorded k-space, complex (b, coils, h, w); other data are returned as they are."""
        return taken(y, self.rows, self.shape) if y.is_complex() else y

    def forward(self, x: Image) -> Data:
        return gather(fft2c(torch.view_as_complex(self.maps) * pairs_to_complex(x)[:, None]), self.rows)

    def adjoint(self, y: Data) -> Image:
        coil_images = ifft2c(scatter(y, self.rows, self.shape))
        return complex_to_pairs((torch.view_as_complex(self.maps).conj() * coil_images).sum(1))
