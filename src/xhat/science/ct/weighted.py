"""Line integrals whose readings are trusted differently."""

from typing import ClassVar

from torch import Tensor

from ...numerics.linalg import bcast
from ...types import Data, Image
from .operator import CT, RaySum


class WeightedCT(RaySum):
    """W A: line integrals of `rays` times `weights`, (1 or b, 1, angles, detectors), 0 where nothing was measured."""

    per_image: ClassVar[tuple[str, ...]] = ("weights",)

    weights: Tensor

    def __init__(self, rays: CT, weights: Tensor) -> None:
        super().__init__(rays.shape)
        self.rays, self.geometry, self.modality = rays, rays.geometry, rays.modality
        self.register_buffer("weights", weights)

    @property
    def support(self) -> Tensor:
        """The rays that cross the image and were measured."""
        return self.rays.support & (self.weights > 0)

    def forward(self, x: Image) -> Data:
        return self.weights * self.rays.forward(x)

    def adjoint(self, y: Data) -> Image:
        return self.rays.adjoint(self.weights * y)

    def precondition(self, r: Image, rho: Tensor | float) -> Image:
        """As for rays of the mean weight W²."""
        mean = (self.weights**2).flatten(1).sum(1) / self.support.flatten(1).sum(1).clamp_min(1)
        out: Image = self.rays.precondition(r / bcast(mean, r), rho / mean)
        return out
