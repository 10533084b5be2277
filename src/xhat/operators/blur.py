"""Blur with a given kernel, and camera shake."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from .base import LinearOperator
from .checks import Number, one_of, planes
from .circulant import Circulant
from .gaussian_blur import convolution
from .kernels import Array, load_kernel, motion_kernels
from .reflect import Reflect
from .separable import Separable


class Blur(Reflect):
    """y = k ⋆ x, correlation with a kernel of your own, divided by its sum; `boundary` reflect or circular.

    `kernel` is a png, npy, npz or txt file or an array, (height, width), or (images, height, width) with one for each
    image. The result is the most capable operator for it: `Circulant`, `Separable` or `Reflect`. Raises DataError for a
    kernel without a positive sum and ShapeError for one that is too large.
    """

    source: ClassVar[str] = "DPS, arXiv 2209.14687"

    def __new__(cls, shape: tuple[int, ...], kernel: Array, boundary: str = "reflect") -> LinearOperator:  # type: ignore[misc]
        return blur(shape, load_kernel(kernel), boundary)


class MotionBlur(Reflect):
    """Camera shake: y = k ⋆ x with the kernel of a random path on `size` x `size` pixels.

    `intensity` goes from 0 (a straight line) to 1. A list of seeds draws a kernel for each image.
    """

    name: ClassVar[str] = "motion_blur"
    source: ClassVar[str] = "DPS, arXiv 2209.14687; github.com/LeviBorodenko/motionblur"

    def __new__(  # type: ignore[misc]
        cls,
        shape: tuple[int, ...],
        intensity: Number = 0.5,
        size: int = 61,
        seed: int | Sequence[int] = 0,
        boundary: str = "reflect",
    ) -> LinearOperator:
        return blur(shape, motion_kernels(size, intensity, seed), boundary)


def blur(shape: tuple[int, ...], kernel: Tensor, boundary: str) -> LinearOperator:
    """The operator with the cheapest exact inverse for this kernel, (1 or b, odd height, odd width)."""
    _, h, w = planes(shape)
    if one_of("boundary", boundary, ("reflect", "circular")) == "circular":
        return Circulant(shape, kernel)
    U, s, Vt = torch.linalg.svd(kernel[0].double())
    # A kernel of rank one up to float32 rounding is separable.
    if len(kernel) == 1 and bool((s[1:] < 1e-6 * s[0]).all()):
        root = s[0].sqrt()
        return Separable(shape, convolution(root * U[:, 0], h, boundary), convolution(root * Vt[0], w, boundary))
    return Reflect(shape, kernel)
