"""Blur by a kernel: one of your own, or that of a shaking camera."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from ..errors import SpecError, about
from ..ranges import Fraction, Kernel, Seeds
from ..registry import builds
from .base import LinearOperator
from .checks import Number, one_of, planes
from .circulant import Circulant
from .gaussian_blur import convolution
from .kernels import Array, fits, load_kernel, motion_kernels
from .reflect import Reflect
from .separable import Separable


@builds(LinearOperator, source="DPS, arXiv 2209.14687", example=(3, 64, 64))
def blur(
    shape: tuple[int, ...], kernel: Array | None = None, boundary: str = "reflect", psf: Array | None = None
) -> LinearOperator:
    """y = k ⋆ x, correlation with a `kernel` of your own, or y = p ∗ x, convolution with a measured `psf`, the picture
    of a point; divided by its sum. `boundary` reflect or circular.

    Either is a png, npy, npz, txt, csv, mat or pt file or an array, (height, width), or (images, height, width) with
    one for each image; its centre is row height // 2, column width // 2. The result is the most capable operator for
    it: `Circulant`, `Separable` or `Reflect`. Raises DataError for a kernel without a positive sum and ShapeError for
    one that is too large.
    """
    given = kernel if psf is None else psf
    if given is None or (kernel is not None and psf is not None):
        raise SpecError("blur: give either kernel=, for correlation, or psf=, the picture of a point")
    with about(given) if isinstance(given, str | Path) else nullcontext():
        return correlation(shape, load_kernel(given, flip=psf is not None), boundary)


@builds(LinearOperator, source="DPS, arXiv 2209.14687; github.com/LeviBorodenko/motionblur", example=(3, 64, 64))
def motion_blur(
    shape: tuple[int, ...],
    intensity: Annotated[Number, Fraction] = 0.5,
    size: Annotated[int, Kernel] = 61,
    seed: Seeds = 0,
    boundary: str = "reflect",
) -> LinearOperator:
    """Camera shake: y = k ⋆ x with the kernel of a random path on `size` x `size` pixels.

    `intensity` goes from 0 (a straight line) to 1. A list of seeds draws a kernel for each image.
    """
    return correlation(shape, motion_kernels(size, intensity, seed), boundary)


def correlation(shape: tuple[int, ...], kernel: Tensor, boundary: str) -> LinearOperator:
    """The operator with the cheapest exact inverse for this kernel, (1 or b, odd height, odd width)."""
    _, h, w = planes(shape)
    if one_of("boundary", boundary, ("reflect", "circular")) == "circular":
        return Circulant(shape, kernel)
    U, s, Vt = torch.linalg.svd(kernel[0].double())
    # A kernel of rank one up to float32 rounding is separable.
    if len(kernel) == 1 and bool((s[1:] < 1e-6 * s[0]).all()):
        fits(kernel, h, w, room=1)
        root = s[0].sqrt()
        return Separable(shape, convolution(root * U[:, 0], h, boundary), convolution(root * Vt[0], w, boundary))
    return Reflect(shape, kernel)
