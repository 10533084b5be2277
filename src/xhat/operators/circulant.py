"""Blur with periodic boundary."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.fft import fft2, irfft2, rfft2

from ..numerics.build_dtype import built
from ..numerics.linalg import bcast
from ..types import Data, Image
from .base import SpectralOperator
from .checks import planes
from .kernels import fits


def hartley(x: Tensor) -> Tensor:
    """The orthonormal 2-D Hartley transform Re F x − Im F x of a real x (…, h, w): real, symmetric, its own inverse."""
    X: Tensor = fft2(x, norm="ortho")
    return X.real - X.imag


class Circulant(SpectralOperator):
    """y = k ⋆ x with periodic boundary: correlation with one kernel, or one for each image.

    F y = K ⊙ F x. With V the Hartley transform H (|K| is even, so H diagonalises it) and U = F⁻¹ (K/|K|) F H, both
    real: s = |K|. Everything costs two FFTs.
    """

    per_image: ClassVar[tuple[str, ...]] = ("s", "phase")
    one_basis: ClassVar[bool] = True
    cutoff: ClassVar[float] = 1e-6  # relative size below which a singular value counts as 0

    s: Tensor
    phase: Tensor  # K/|K| as (real, imaginary) pairs: complex buffers would not follow `.double()`

    def __init__(self, shape: tuple[int, ...], kernel: Tensor) -> None:
        """`kernel` (1 or b, odd height, odd width), its centre at the middle."""
        super().__init__(shape)
        _, h, w = planes(shape)
        fits(kernel, h, w, room=0)
        kh, kw = kernel.shape[-2:]
        full = kernel.new_zeros(len(kernel), 1, h, w, dtype=torch.float64)
        full[..., :kh, :kw] = kernel[:, None]
        K = fft2(full.roll((-(kh // 2), -(kw // 2)), (-2, -1))).conj()
        s = K.abs()
        s = torch.where(s > self.cutoff * s.amax((-2, -1), keepdim=True), s, 0.0)
        phase = torch.view_as_real(torch.where(s > 0, K / K.abs().clamp_min(1e-300), 0.0))
        self.register_buffer("s", built(s))
        self.register_buffer("phase", built(phase))

    def forward(self, x: Image) -> Data:
        return self.filter(x, self.kept(self.s) * self.P)

    def adjoint(self, y: Data) -> Image:
        return self.filter(y, self.kept(self.s) * self.P.conj())

    def pinv(self, y: Data) -> Image:
        return self.filter(y, self.kept(self.inverse) * self.P.conj())

    def normal_solve(self, b: Image, rho: Tensor | float) -> Image:
        return self.filter(b, 1 / (self.kept(self.s) ** 2 + bcast(rho, b)))

    def ridge(self, y: Data, rho: Tensor | float, close: Tensor | float = 0.0) -> Image:
        s = self.kept(self.s)
        return self.filter(y, s * self.P.conj() / (s**2 + bcast(rho, y)))

    def Vt(self, x: Image) -> Tensor:
        return hartley(x)

    def V(self, z: Tensor) -> Image:
        return hartley(z)

    def Ut(self, y: Data) -> Tensor:
        return hartley(self.filter(y, self.P.conj()))

    def U(self, z: Tensor) -> Data:
        return self.filter(hartley(z), self.P)

    @property
    def P(self) -> Tensor:
        """The phase K/|K| on the half spectrum, (1 or b, 1, h, w // 2 + 1); 0 where s = 0."""
        return torch.view_as_complex(self.kept(self.phase, -2).contiguous())

    def kept(self, full: Tensor, axis: int = -1) -> Tensor:
        """The part of a full spectrum that a real transform keeps."""
        return full.narrow(axis, 0, self.shape[-1] // 2 + 1)

    def filter(self, x: Tensor, spectrum: Tensor) -> Tensor:
        """F⁻¹ (spectrum ⊙ F x), of the shape of `x`."""
        y: Tensor = irfft2(spectrum * rfft2(x.contiguous()), s=self.shape[-2:])
        return y
