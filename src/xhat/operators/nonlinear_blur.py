"""Blur in linear light, as it happens in a camera."""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ..ranges import Fraction, Kernel, Range, Seeds, Width
from ..types import Data, Image
from .base import Operator
from .checks import Number
from .kernel_blur import correlation
from .kernels import Array, gaussian_taps, load_kernel, motion_kernels


class NonlinearBlur(Operator):
    """Blur where it happens, in linear light: y = r(min(gain · k ⋆ r⁻¹(x), 1)) with a camera's response r.

    r is a gamma curve, made straight near black so that its slope stays finite, on images that are taken from [−1, 1]
    to [0, 1] and back. gain > 1 overexposes: highlights saturate. `kernel` is motion (`intensity`, `size`, `seed`),
    gaussian (`std`, `size`), or a file or array as for `blur`.
    """

    name: ClassVar[str] = "nonlinear_blur"
    source: ClassVar[str] = "Tai et al., TPAMI 2013, camera responses in deblurring"
    black: ClassVar[float] = 1e-3  # linear light below which the curve is nearly straight

    def __init__(
        self,
        shape: tuple[int, ...],
        kernel: Array = "motion",
        gamma: Annotated[Number, Range(0.1, 10)] = 2.2,
        gain: Annotated[Number, Range(above=0, most=1_000)] = 1.0,
        intensity: Annotated[Number, Fraction] = 0.5,
        size: Annotated[int, Kernel] = 61,
        std: Annotated[Number, Width] = 3.0,
        seed: Seeds = 0,
    ) -> None:
        super().__init__(shape)
        self.gamma, self.gain = gamma, gain
        if isinstance(kernel, str) and kernel == "motion":
            k = motion_kernels(size, intensity, seed)
        elif isinstance(kernel, str) and kernel == "gaussian":
            taps = gaussian_taps(std, size)
            k = torch.outer(taps, taps)[None]
        else:
            k = load_kernel(kernel)
        self.blur = correlation(shape, k, "reflect")

    def forward(self, x: Image) -> Data:
        light = self.blur.forward(self.linear((x + 1) / 2))
        return 2 * self.response((self.gain * light).clamp_max(1)) - 1

    def linear(self, v: Tensor) -> Tensor:
        """r⁻¹, from pixel value to light, both in [0, 1]; below 0 it is continued by its tangent."""
        low = self.black ** (1 / self.gamma)
        scale = (1 + self.black) ** (1 / self.gamma) - low
        curve: Tensor = (scale * v.clamp_min(0) + low) ** self.gamma - self.black
        slope: float = self.gamma * low ** (self.gamma - 1) * scale
        return curve + slope * v.clamp_max(0)

    def response(self, light: Tensor) -> Tensor:
        """r, from light to pixel value; below 0 it is continued by its tangent."""
        low = self.black ** (1 / self.gamma)
        scale = (1 + self.black) ** (1 / self.gamma) - low
        curve: Tensor = ((light.clamp_min(0) + self.black) ** (1 / self.gamma) - low) / scale
        slope: float = low / (self.gamma * self.black * scale)
        return curve + slope * light.clamp_max(0)
