"""The operator of computed tomography."""

import math
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.fft import irfft2, rfft2

from ...errors import ShapeError, SpecError
from ...numerics.build_dtype import built
from ...numerics.linalg import bcast
from ...operators.base import DampedOperator, iterative
from ...operators.checks import Number, one_of, planes
from ...ranges import Range
from ...types import Data, Image
from .rays import apply, joseph, sparse, transposed


class CT(DampedOperator):
    """Computed tomography: line integrals of each channel, data (c, angles, detectors); lengths in image widths.

    `geometry` is parallel or fan. There are `angles` views over `arc` degrees from 0, without the last angle: few views
    make a sparse problem, a small arc is limited-angle tomography. At angle θ a parallel ray passes through s (cos θ,
    sin θ) in the direction (−sin θ, cos θ), with x to the right and y upwards, so that view 0 sums columns. The rays of
    a fan leave a point `distance` behind the centre on the line of that direction and pass the same s, on a line
    through the centre. Without `detectors` there is one for each pixel of the diagonal. Joseph's interpolation, an
    exact transpose, and conjugate gradient preconditioned with the spectrum of AᵀA in the middle of the image. Raises
    SpecError for a source inside the image.
    """

    source: ClassVar[str] = "Kak & Slaney, 1988; Joseph, IEEE Trans. Med. Imaging 1, 1982"
    cg_steps: ClassVar[int] = 2000  # few views under a weak prior are nearly singular: 500 were not always enough

    M: Tensor
    Mt: Tensor
    spectrum: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        angles: Annotated[int, Range(1, 10_000)] = 60,
        arc: Annotated[Number, Range(above=0, most=360)] | None = None,
        detectors: Annotated[int, Range(1, 100_000)] | None = None,
        geometry: str = "parallel",
        distance: Annotated[Number, Range(above=0, most=1e6)] = 2.0,
    ) -> None:
        super().__init__(shape)
        _, h, w = planes(shape)
        fan = one_of("geometry", geometry, ("parallel", "fan")) == "fan"
        self.arc = float(arc if arc is not None else 360 if fan else 180)
        self.radius = math.hypot(h, w) / (2 * w)
        self.count = 2 * math.ceil(self.radius * w) + 1 if detectors is None else detectors
        self.angles, self.fan, self.distance = angles, fan, float(distance)
        if fan and self.distance <= self.radius:
            raise SpecError(f"distance must exceed {self.radius:.3g}, the radius of the image, not {distance}")
        entries = joseph(*self.rays(), h, w)
        size = (angles * self.count, h * w)
        # Not part of the state, because they follow from the options.
        self.register_buffer("M", built(sparse(*entries, *size)), persistent=False)
        self.register_buffer("Mt", built(transposed(*entries, *size)), persistent=False)
        self.register_buffer("spectrum", self.middle())

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        raise ShapeError("ct: the data do not tell the shape of the image; give it")

    @property
    def pitch(self) -> float:
        """The distance between neighbouring detectors, in image widths, on a line through the centre."""
        reach = self.distance * math.tan(math.asin(self.radius / self.distance)) if self.fan else self.radius
        return 2 * reach / max(1, self.count - 1)

    def offsets(self) -> Tensor:
        """The detector coordinates s, (detectors,), in float64."""
        return (torch.arange(self.count, dtype=torch.float64) - (self.count - 1) / 2) * self.pitch

    def views(self) -> Tensor:
        """The angles θ in radians, (angles,), in float64."""
        return torch.arange(self.angles, dtype=torch.float64) * math.radians(self.arc) / self.angles

    def rays(self) -> tuple[Tensor, Tensor]:
        """A point of each ray and its unit direction, both (angles · detectors, 2)."""
        theta = self.views()[:, None]
        across = torch.stack([theta.cos(), theta.sin()], -1)
        along = torch.stack([-theta.sin(), theta.cos()], -1)
        points = self.offsets()[:, None] * across
        d = points + self.distance * along if self.fan else along.expand_as(points)
        return points.reshape(-1, 2), (d / d.norm(dim=-1, keepdim=True)).reshape(-1, 2)

    @property
    def support(self) -> Tensor:
        """The rays that cross the image."""
        return (self.M.crow_indices().diff() > 0).reshape(1, 1, self.angles, self.count)

    def forward(self, x: Image) -> Data:
        y = apply(x.reshape(-1, x.shape[-2] * x.shape[-1]), self.M, self.Mt)
        return y.reshape(*x.shape[:2], self.angles, self.count)

    def adjoint(self, y: Data) -> Image:
        x = apply(y.reshape(-1, self.angles * self.count), self.Mt, self.M)
        return x.reshape(len(y), *self.shape)

    @iterative
    def ridge(self, y: Data, rho: Tensor | float, close: Tensor | float = 0.0) -> Image:
        # Away from the middle, the preconditioner does not measure the error. So solve to `cg_tol`, not to `close`.
        return self.normal_solve(self.adjoint(y), rho)

    def precondition(self, r: Image, rho: Tensor | float) -> Image:
        out: Tensor = irfft2(rfft2(r) / (self.spectrum + bcast(rho, r)), s=self.shape[-2:])
        return out

    def middle(self) -> Tensor:
        """The spectrum of AᵀA at a pixel in the middle, about 1/|frequency|: (h, w//2 + 1), positive."""
        x = torch.zeros(1, *self.shape)
        x[0, 0, self.shape[1] // 2, self.shape[2] // 2] = 1
        kernel = self.adjoint(self.forward(x))[0, 0]
        size: Tensor = rfft2(kernel).abs()
        # A floor, so that dividing by the spectrum stays bounded.
        return size.clamp_min(1e-3 * float(size.max()))
