"""Compressed sensing with random rows of a fast orthonormal transform."""

import math
from typing import Annotated, ClassVar

import torch
from torch import Generator, Tensor

from ..errors import ShapeError, SpecError
from ..numerics.build_dtype import built
from ..ranges import Portion, Seed
from ..types import Data, Image
from .base import SpectralOperator
from .checks import Number, one_of, planes
from .circulant import hartley


class CompressedSensing(SpectralOperator):
    """y = random rows of an orthonormal transform of each channel, a fraction `ratio` of them; data (c, m).

    `kind` is hadamard (pixels permuted and given random signs, then the Walsh-Hadamard transform) or fourier (random
    signs, then the real 2-D Hartley transform). Because of the signs, every row sees every frequency, brightness
    included. A Aᵀ = I. Raises SpecError if no row is kept, and ShapeError if hadamard is not given a power of two of
    pixels.
    """

    name: ClassVar[str] = "compressed_sensing"
    source: ClassVar[str] = "DDRM, arXiv 2201.11793"

    s: Tensor
    sign: Tensor
    order: Tensor
    rows: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        ratio: Annotated[Number, Portion] = 0.25,
        kind: str = "hadamard",
        seed: Annotated[int, Seed] = 0,
    ) -> None:
        super().__init__(shape)
        _, h, w = planes(shape)
        n, self.kind = h * w, one_of("kind", kind, ("hadamard", "fourier"))
        if round(ratio * n) == 0:
            raise SpecError(f"compressed_sensing: ratio = {ratio} keeps no row of {n}")
        if kind == "hadamard" and n & (n - 1):
            raise ShapeError(f"kind=hadamard needs a power of two of pixels, not {h}x{w}; take kind=fourier")
        g = Generator().manual_seed(seed)
        sign = built(torch.randint(2, (n,), generator=g)) * 2 - 1
        order = torch.randperm(n, generator=g) if kind == "hadamard" else torch.arange(n)
        rows = torch.randperm(n, generator=g)[: round(ratio * n)].sort().values
        s = torch.zeros_like(sign).index_fill(0, rows, 1.0)[None, None]
        for name, buffer in (("s", s), ("sign", sign), ("order", order), ("rows", rows)):
            self.register_buffer(name, buffer)

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        raise SpecError("compressed_sensing: the data do not tell the shape of the image; give it")

    def Vt(self, x: Image) -> Tensor:
        return self.transform((self.sign * x.flatten(2))[..., self.order])

    def V(self, z: Tensor) -> Image:
        out = torch.empty_like(z)
        out[..., self.order] = self.transform(z)
        return (self.sign * out).reshape(len(z), *self.shape)

    def Ut(self, y: Data) -> Tensor:
        return y.new_zeros(*y.shape[:-1], self.s.shape[-1]).index_copy(-1, self.rows, y)

    def U(self, z: Tensor) -> Data:
        return z[..., self.rows]

    def transform(self, x: Tensor) -> Tensor:
        """A symmetric orthonormal transform of the last axis of `x`."""
        if self.kind == "fourier":
            return hartley(x.reshape(*x.shape[:-1], *self.shape[1:])).flatten(-2)
        half = int(math.log2(x.shape[-1])) // 2
        grid = x.reshape(*x.shape[:-1], 2**half, -1)  # H of 2^(a+b) = H of 2^a ⊗ H of 2^b: two small products
        z: Tensor = hadamard(grid.shape[-2], x) @ grid @ hadamard(grid.shape[-1], x)
        return z.flatten(-2)


def hadamard(n: int, like: Tensor) -> Tensor:
    """The orthonormal Hadamard matrix, (n, n) with n = 2^k, in the dtype and on the device of `like`."""
    H = torch.ones(1, 1, dtype=like.dtype, device=like.device)
    while len(H) < n:
        H = torch.cat([torch.cat([H, H], 1), torch.cat([H, -H], 1)]) / 2**0.5
    return H
