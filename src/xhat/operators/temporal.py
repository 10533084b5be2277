"""Operators that mix the frames of a video or the slices of a volume, each pixel for itself."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ..errors import ShapeError
from ..numerics.build_dtype import built
from ..ranges import NonNegative, Positive, Range, Seed
from ..types import Data, Image
from .base import AffineOperator, Operator, SpectralOperator
from .checks import Number
from .compose import LinearComposed
from .lifted import plane_shape
from .modality import VIDEO, VOLUME, fitting
from .sections import Section, Sectioned

Count = Annotated[int, Range(1, 1000)]


class Temporal(SpectralOperator, Sectioned):
    """y = R x along the third axis of images (c, t, h, w), the same for every pixel: data (c, rows of R, h, w).

    The singular value decomposition is that of the small matrix R, made in double precision.
    """

    example: ClassVar[tuple[int, ...]] = (3, 4, 64, 64)
    one_basis: ClassVar[bool] = True
    tiny: ClassVar[float] = 1e-6  # singular values below this fraction of the largest count as 0

    s: Tensor
    R: Tensor
    left: Tensor
    right: Tensor

    def __init__(self, shape: tuple[int, ...], R: Tensor) -> None:
        super().__init__(shape)
        plane_shape(shape)
        left, values, right = torch.linalg.svd(R.double(), full_matrices=True)
        s = torch.zeros(shape[1], dtype=torch.float64)
        s[: len(values)] = torch.where(values > self.tiny * values[0], values, 0.0)
        self.register_buffer("s", built(s[None, None, :, None, None]))
        for name, buffer in (("R", R), ("left", left[:, : len(values)]), ("right", right)):
            self.register_buffer(name, built(buffer).contiguous())

    def section(self, begin: int, end: int) -> Section:
        outside = self.R.clone()
        outside[:, begin:end] = 0
        rows = ((outside == 0).all(1) & (self.R != 0).any(1)).nonzero().flatten()
        first, count = (int(rows[0]), len(rows)) if len(rows) else (0, 0)
        A = Temporal((self.shape[0], end - begin, *self.shape[2:]), self.R[first : first + max(1, count), begin:end])
        A.modality = fitting(self.modality, A.shape)
        return Section(A, 2, first, count)

    def forward(self, x: Image) -> Data:
        return along(self.R, x)

    def adjoint(self, y: Data) -> Image:
        return along(self.R.T, y)

    def Vt(self, x: Image) -> Tensor:
        return along(self.right, x)

    def V(self, z: Tensor) -> Image:
        return along(self.right.T, z)

    def Ut(self, y: Data) -> Tensor:
        z = y.new_zeros(len(y), *self.shape)
        k = self.left.shape[1]
        z[:, :, :k] = along(self.left.T, y) * (self.s[:, :, :k] > 0)
        return z

    def U(self, z: Tensor) -> Data:
        return along(self.left, (z * (self.s > 0))[:, :, : self.left.shape[1]])


def along(M: Tensor, x: Tensor) -> Tensor:
    """M applied along the frames of `x` (b, c, t, h, w)."""
    return torch.einsum("kt,bcthw->bckhw", M, x).contiguous()


def windows(count: int, width: int, stride: int) -> Tensor:
    """The matrix of means over `width` of `count` frames, from every `stride`-th on. ShapeError if there is none."""
    if count < width:
        raise ShapeError(f"{count} frames or slices are fewer than the {width} of a mean")
    rows = (count - width) // stride + 1
    R = torch.zeros(rows, count, dtype=torch.float64)
    for k in range(rows):
        R[k, k * stride : k * stride + width] = 1 / width
    return R


class TemporalAverage(Temporal):
    """A long exposure: y_k is the mean of `window` frames, from frame k · `stride` on."""

    name: ClassVar[str] = "temporal_average"
    source: ClassVar[str] = "linear algebra"

    def __init__(self, shape: tuple[int, ...], window: Count = 4, stride: Count = 4) -> None:
        super().__init__(shape, windows(plane_count(shape), window, stride))
        self.modality = fitting(VIDEO, self.shape)

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        window, stride = (int(str(options.get(k, 4))) for k in ("window", "stride"))
        c, h, w = plane_shape(data_shape)
        return c, (data_shape[1] - 1) * stride + window, h, w


class ThickSlices(Temporal):
    """Anisotropic slices: y_k is the mean of `factor` thin slices of a volume (1, slices, h, w), without gaps."""

    name: ClassVar[str] = "thick_slices"
    source: ClassVar[str] = "multi-slice MRI with a rectangular slice profile"
    example: ClassVar[tuple[int, ...]] = (1, 4, 64, 64)

    def __init__(self, shape: tuple[int, ...], factor: Count = 4) -> None:
        super().__init__(shape, windows(plane_count(shape), factor, factor))
        self.modality = fitting(VOLUME, self.shape)

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        c, h, w = plane_shape(data_shape)
        return c, data_shape[1] * int(str(options.get("factor", 4))), h, w


class DropFrames(Temporal):
    """Missing frames: frame 0 and every `every`-th after it are measured, so that to restore is to interpolate."""

    name: ClassVar[str] = "drop_frames"
    source: ClassVar[str] = "linear algebra"

    def __init__(self, shape: tuple[int, ...], every: Count = 2) -> None:
        super().__init__(shape, torch.eye(plane_count(shape), dtype=torch.float64)[::every])
        self.modality = fitting(VIDEO, self.shape)

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        c, h, w = plane_shape(data_shape)
        return c, (data_shape[1] - 1) * int(str(options.get("every", 2))) + 1, h, w


def mixing(A: Operator) -> Tensor | None:
    """The matrix R of an operator that does no more than mix frames, y = R x along them; None for others."""
    if isinstance(A, Temporal):
        return A.R
    if (
        isinstance(A, LinearComposed)
        and (outer := mixing(A.outer)) is not None
        and (inner := mixing(A.inner)) is not None
    ):
        return outer @ inner
    return None


class Gains(Temporal):
    """y_f = g_f x_f."""

    def __init__(self, shape: tuple[int, ...], gains: Tensor) -> None:
        super().__init__(shape, torch.diag(gains))


class Flicker(AffineOperator, Sectioned):
    """Flicker and fading of old film: the light of frame f is multiplied by g_f > 0, y_f + 1 = g_f (x_f + 1).

    g_f = exp(`strength` n_f − `fade` f/(t − 1)) with standard normal n_f of the stream `seed`, or `gains`, a list of
    one number for each frame. Raises ShapeError for another number of gains.
    """

    name: ClassVar[str] = "flicker"
    source: ClassVar[str] = "old film: van Roosmalen, 1999"
    example: ClassVar[tuple[int, ...]] = (3, 4, 64, 64)

    def __init__(
        self,
        shape: tuple[int, ...],
        strength: Annotated[float, NonNegative] = 0.1,
        fade: Annotated[float, NonNegative] = 0.0,
        seed: Annotated[int, Seed] = 0,
        gains: Sequence[Annotated[Number, Positive]] | None = None,
    ) -> None:
        super().__init__(shape)
        count = plane_count(shape)
        n = torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        g = torch.exp(strength * n - fade * torch.linspace(0, 1, count, dtype=torch.float64))
        if gains is not None:
            g = torch.tensor(list(gains), dtype=torch.float64)
        if len(g) != count:
            raise ShapeError(f"{len(g)} gains for {count} frames")
        self.linear = Gains(self.shape, g)
        self.modality = fitting(VIDEO, self.shape)

    def section(self, begin: int, end: int) -> Section:
        assert isinstance(self.linear, Gains)
        R = self.linear.R
        A = Flicker((self.shape[0], end - begin, *self.shape[2:]), gains=R.diagonal()[begin:end].tolist()).to(R)
        return Section(A, 2, begin, end - begin)

    def forward(self, x: Image) -> Data:
        return self.linear.forward(x - self.zero) + self.zero

    @property
    def offset(self) -> Data:
        """A(0), (1, *data)."""
        return self.forward(self.linear.blank(1))


def plane_count(shape: Sequence[int]) -> int:
    """How many frames or slices an image of `shape` (c, t, h, w) has. Raises ShapeError for other shapes."""
    plane_shape(shape)
    return shape[1]
