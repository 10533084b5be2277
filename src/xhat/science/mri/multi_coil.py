from typing import ClassVar

import torch
from torch import Tensor

from ...numerics.calls import tally
from ...operators.base import LinearOperator
from ...types import Data, Image
from .kspace import fft2c, ifft2c
from .sampling import complex_to_pairs, gather, pairs_to_complex, rows_of, scatter, taken


class MultiCoil(LinearOperator):
    """y_c = M F (S_c ⊙ x): what the multi-coil operators share, whatever M keeps and however systems are solved."""

    per_image: ClassVar[tuple[str, ...]] = ("rows",)

    rows: Tensor  # (1 or b, samples) places in the flattened plane
    maps: Tensor  # (coils, h, w, 2): complex buffers would not follow `.double()`

    def __init__(self, shape: tuple[int, ...], masks: Tensor, maps: Tensor) -> None:
        """`masks` (1 or b, h, w) bool, `maps` complex (coils, h, w)."""
        super().__init__(shape)
        self.register_buffer("rows", rows_of(masks))
        self.register_buffer("maps", torch.view_as_real(maps).to(torch.get_default_dtype()))

    def intake(self, y: Tensor) -> Data:
        """Of a recorded k-space, complex (b, coils, h, w), what the mask keeps."""
        return taken(y, self.rows, self.shape) if y.is_complex() else y

    def forward(self, x: Image) -> Data:
        return gather(fft2c(torch.view_as_complex(self.maps) * pairs_to_complex(x)[:, None]), self.rows)

    def adjoint(self, y: Data) -> Image:
        tally("operator", len(y))
        coil_images = ifft2c(scatter(y, self.rows, self.shape))
        return complex_to_pairs((torch.view_as_complex(self.maps).conj() * coil_images).sum(1))
