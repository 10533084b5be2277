"""Blur of volumes by a measured point spread function."""

from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.fft import fftn, irfftn, rfftn
from torch.nn import functional as F

from ..errors import DataError, ShapeError
from ..files.extras import extra
from ..numerics.build_dtype import built
from ..numerics.linalg import bcast
from ..ranges import Positive
from ..registry import builds
from ..types import Data, Image
from .base import DampedOperator, LinearOperator, SpectralOperator
from .checks import Number, one_of
from .kernels import Array, read
from .lifted import plane_shape
from .modality import VOLUME, fitting
from .reflect import fast, fold

AXES = (-3, -2, -1)
NIFTI = (".nii", ".gz")
SOURCE = "fluorescence microscopy: Sibarita, 2005"


class PeriodicVolume(SpectralOperator):
    """y = p ∗ x over the slices, rows and columns of volumes (c, s, h, w), which go on at the other end.

    F y = P ⊙ F x with the 3-D Fourier transform F. V is the Hartley transform, Re F x − Im F x, and s = |P|.
    """

    one_basis: ClassVar[bool] = True
    cutoff: ClassVar[float] = 1e-6  # relative size below which a singular value counts as 0
    example: ClassVar[tuple[int, ...]] = (1, 4, 64, 64)

    s: Tensor
    phase: Tensor  # P/|P| as (real, imaginary) pairs: complex buffers would not follow `.double()`

    def __init__(self, shape: tuple[int, ...], psf: Tensor) -> None:
        """`psf` (slices, rows, columns), each an odd number, the picture of a point in the middle."""
        super().__init__(shape)
        plane_shape(shape)
        self.modality = fitting(VOLUME, self.shape)
        P = fftn(placed(psf, shape[1:]))
        s = P.abs()
        s = torch.where(s > self.cutoff * s.max(), s, 0.0)
        self.register_buffer("s", built(s[None, None]))
        phase = torch.where(s > 0, P / P.abs().clamp_min(1e-300), 0.0)
        self.register_buffer("phase", built(torch.view_as_real(phase)[None, None]))

    def filter(self, x: Tensor, spectrum: Tensor) -> Tensor:
        """F⁻¹ (spectrum ⊙ F x), of the shape of `x`; of the full spectrum a real transform keeps a half."""
        half = spectrum[..., : self.shape[-1] // 2 + 1]
        y: Tensor = irfftn(half * rfftn(x.contiguous(), dim=AXES), s=self.shape[1:], dim=AXES)
        return y

    @property
    def P(self) -> Tensor:
        """The phase P/|P|; 0 where s = 0."""
        return torch.view_as_complex(self.phase)

    def forward(self, x: Image) -> Data:
        return self.filter(x, self.s * self.P)

    def adjoint(self, y: Data) -> Image:
        return self.filter(y, self.s * self.P.conj())

    def normal_solve(self, b: Image, rho: Tensor | float) -> Image:
        return self.filter(b, 1 / (self.s**2 + bcast(rho, b)))

    def ridge(self, y: Data, rho: Tensor | float, close: Tensor | float = 0.0) -> Image:
        return self.filter(y, self.s * self.P.conj() / (self.s**2 + bcast(rho, y)))

    def Vt(self, x: Image) -> Tensor:
        X: Tensor = fftn(x, dim=AXES, norm="ortho")
        return X.real - X.imag

    def V(self, z: Tensor) -> Image:
        return self.Vt(z)

    def Ut(self, y: Data) -> Tensor:
        return self.Vt(self.filter(y, self.P.conj()))

    def U(self, z: Tensor) -> Data:
        return self.filter(self.Vt(z), self.P)


class ReflectedVolume(DampedOperator):
    """y = p ∗ x over volumes (c, s, h, w) reflected at their borders (the outermost voxels are not repeated).

    Linear systems are solved by conjugate gradient, preconditioned with the inverse of the blur without borders.
    """

    example: ClassVar[tuple[int, ...]] = (1, 4, 64, 64)
    cg_tol: ClassVar[float] = 1e-3
    cg_steps: ClassVar[int] = 2000  # a measured PSF may hardly pass some frequencies, and 500 were not always enough

    P: Tensor  # the spectrum as (real, imaginary) pairs

    def __init__(self, shape: tuple[int, ...], psf: Tensor) -> None:
        """`psf` (slices, rows, columns), each an odd number, the picture of a point in the middle."""
        super().__init__(shape)
        plane_shape(shape)
        self.modality = fitting(VOLUME, self.shape)
        self.reach = tuple(n // 2 for n in psf.shape)
        if any(r >= n for r, n in zip(self.reach, shape[1:], strict=True)):
            raise ShapeError(f"a PSF of {tuple(psf.shape)} voxels is too large to reflect a volume of {shape[1:]}")
        self.grid = [fast(n + 2 * r) for n, r in zip(shape[1:], self.reach, strict=True)]
        P = rfftn(psf.double(), s=self.grid, dim=AXES)
        self.register_buffer("P", built(torch.view_as_real(P)))

    def forward(self, x: Image) -> Data:
        s, y, x_ = self.reach
        padded = F.pad(x, [x_, x_, y, y, s, s], mode="reflect")
        whole = self.times(padded, torch.view_as_complex(self.P))
        return whole[..., 2 * s :, 2 * y :, 2 * x_ :][..., : self.shape[1], : self.shape[2], : self.shape[3]]

    def adjoint(self, y: Data) -> Image:
        shifted = F.pad(y, [p for r in self.reach[::-1] for p in (2 * r, 0)])
        out = self.times(shifted, torch.view_as_complex(self.P).conj())
        for axis, reach, n in zip(AXES, self.reach, self.shape[1:], strict=True):
            out = fold(out, axis, reach, n)
        return out.contiguous()

    def times(self, x: Tensor, spectrum: Tensor) -> Tensor:
        """F⁻¹ (spectrum ⊙ F x) on the padded grid."""
        y: Tensor = irfftn(spectrum * rfftn(x, s=self.grid, dim=AXES), s=self.grid, dim=AXES)
        return y

    def precondition(self, r: Image, rho: Tensor | float) -> Image:
        """The exact inverse of the blur without borders."""
        out = self.times(r, 1 / (self.P.square().sum(-1) + bcast(rho, r)))
        return out[..., : self.shape[1], : self.shape[2], : self.shape[3]].contiguous()


def placed(psf: Tensor, size: tuple[int, ...]) -> Tensor:
    """`psf` in a volume of `size` with its middle at the first voxel. Raises ShapeError if it does not fit."""
    if any(k > n for k, n in zip(psf.shape, size, strict=True)):
        raise ShapeError(f"a PSF of {tuple(psf.shape)} voxels is larger than the volume, {tuple(size)}")
    whole = psf.new_zeros(size, dtype=torch.float64)
    whole[tuple(slice(k) for k in psf.shape)] = psf.double()
    return whole.roll([-(k // 2) for k in psf.shape], (0, 1, 2))


def load_psf(given: Array) -> Tensor:
    """A PSF from an array or a file (npy, npz, pt, mat, NIfTI), divided by its sum: (odd, odd, odd), float64.

    Its middle is the voxel size // 2 of each axis. Raises DataError if it is none.
    """
    if isinstance(given, str | Path) and str(given).lower().endswith(NIFTI):
        nibabel = extra("nibabel", f"{given}")
        try:
            array = np.asarray(nibabel.load(str(given)).get_fdata(dtype=np.float64)).transpose()
        except (OSError, ValueError, nibabel.filebasedimages.ImageFileError) as e:
            raise DataError(f"cannot read a PSF from {given}: {str(e).splitlines()[0]}") from e
    else:
        array = read(given) if isinstance(given, str | Path) else np.asarray(torch.as_tensor(given).cpu())
    p = torch.as_tensor(np.array(array, dtype=np.float64))
    while p.ndim > 3 and len(p) == 1:
        p = p[0]
    if p.ndim != 3 or p.numel() == 0:
        raise DataError(f"a PSF of a volume has the shape (slices, rows, columns), not {tuple(p.shape)}")
    if not torch.isfinite(p).all() or not p.sum() > 1e-12 * p.abs().max():
        raise DataError("a PSF must be finite and have a positive sum")
    return F.pad(p / p.sum(), [n for k in p.shape[::-1] for n in (0, 1 - k % 2)])


def gaussian_psf(depth: float, std: float, size: tuple[int, ...]) -> Tensor:
    """A Gaussian of `depth` slices and `std` rows and columns, cut at 4 deviations and at the `size` of a volume."""
    lines = []
    for deviation, n in zip((depth, std, std), size, strict=True):
        reach = min(int(4 * deviation + 0.5), (n - 1) // 2)
        i = torch.arange(-reach, reach + 1, dtype=torch.float64)
        line = torch.exp(-((i / deviation) ** 2) / 2)
        lines.append(line / line.sum())
    return torch.einsum("a,b,c->abc", *lines)


@builds(LinearOperator, source=SOURCE, example=(1, 4, 64, 64))
def volume_blur(
    shape: tuple[int, ...],
    psf: Array | None = None,
    depth: Annotated[Number, Positive] = 1.5,
    std: Annotated[Number, Positive] = 1.0,
    boundary: str = "reflect",
) -> LinearOperator:
    """y = p ∗ x, convolution of a volume (1, slices, h, w) with the picture of a point that a microscope makes.

    `psf` is a file (npy, npz, pt, mat, NIfTI) or an array, (slices, rows, columns), divided by its sum, with the point
    at voxel size // 2 of each axis; without one it is a Gaussian of `depth` slices and `std` pixels. `boundary`
    circular is diagonal in the Fourier transform, so that linear systems are solved in closed form; reflect takes
    conjugate gradient.
    """
    plane_shape(shape)
    p = gaussian_psf(float(depth), float(std), shape[1:]) if psf is None else load_psf(psf)
    kind = PeriodicVolume if one_of("boundary", boundary, ("reflect", "circular")) == "circular" else ReflectedVolume
    return kind(shape, p)
