"""Blur with an unknown kernel."""

from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.fft import irfft2, rfft2

from ..errors import SpecError
from ..numerics.build_dtype import built
from ..ranges import Kernel, Width
from ..types import Data, Image
from .base import Operator
from .checks import Number, one_of, planes
from .circulant import Circulant
from .kernels import fits, on_grid

LARGEST = 41  # the side of a kernel whose covariance is small enough to be factored


class BlindBlur(Operator):
    """y = k ⋆ x with periodic boundary and an unknown kernel k: `size` x `size`, ≥ 0, sum 1.

    As a plain operator it blurs with a Gaussian of `std` pixels, which is also the kernel with which blind solvers
    start. What these know of a kernel is said by `kernels`: gauss, a defocus of any width, or shake, the path of a
    shaking camera as `motion_blur` draws it, for a `size` up to 41. Raises SpecError for other `kernels`.
    """

    name: ClassVar[str] = "blind_blur"
    source: ClassVar[str] = "BlindDPS, arXiv 2211.10656; GibbsDDRM, arXiv 2301.12686"

    guess: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        size: Annotated[int, Kernel] = 9,
        std: Annotated[Number, Width] = 2.0,
        kernels: str = "gauss",
    ) -> None:
        super().__init__(shape)
        _, h, w = planes(shape)
        size += 1 - size % 2
        self.kernels = one_of("kernels", kernels, ("gauss", "shake"))
        if kernels == "shake" and size > LARGEST:
            raise SpecError(f"blind_blur: kernels=shake knows sizes up to {LARGEST}, not {size}")
        guess = gaussians(size, torch.tensor([std], dtype=torch.float64))
        fits(guess, h, w, room=0)
        self.register_buffer("guess", built(guess))

    def forward(self, x: Image) -> Data:
        return self.blur(x, self.guess.expand(len(x), -1, -1))

    def blur(self, x: Image, kernel: Tensor) -> Data:
        """k ⋆ x, (b, c, h, w), differentiable in both; `kernel` has one for each image, (b, size, size)."""
        y: Tensor = irfft2(rfft2(x) * self.spectrum(kernel).conj(), s=self.shape[-2:])
        return y

    def spectrum(self, kernel: Tensor) -> Tensor:
        """The Fourier transform of kernels (b, size, size) with their centres at (0, 0), (b, 1, h, w // 2 + 1)."""
        spectrum: Tensor = rfft2(on_grid(kernel[:, None], *self.shape[-2:]))
        return spectrum

    def known(self, kernel: Tensor) -> Circulant:
        """The operator with this kernel, (b, size, size)."""
        return Circulant(self.shape, kernel).to(kernel)


def gaussians(size: int, std: Tensor) -> Tensor:
    """Gaussian kernels with sum 1, one for each of `std` (n,) in pixels: (n, size, size)."""
    r2 = (torch.arange(size, dtype=std.dtype) - size // 2) ** 2
    k = torch.exp(-(r2[:, None] + r2) / (2 * std[:, None, None] ** 2))
    return k / k.sum((1, 2), keepdim=True)
