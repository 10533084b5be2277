"""Reconstructions that are computed in one step."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from ..numerics.linalg import bcast, sq
from ..solvers.base import Image, LinearGaussian, PinvGaussian
from .base import Direct


@dataclass(frozen=True)
class Adjoint(Direct[LinearGaussian]):
    """Aᵀ y: the zero-filled image of MRI, unfiltered back-projection."""

    needs = LinearGaussian

    def image(self, like: LinearGaussian) -> Image:
        return like.A.adjoint(like.y)


@dataclass(frozen=True)
class BackProjection(Direct[LinearGaussian]):
    """Aᵀ y times the number that fits the data best, ‖Aᵀ y‖²/‖A Aᵀ y‖², for operators of any size."""

    needs = LinearGaussian

    def image(self, like: LinearGaussian) -> Image:
        x = like.A.adjoint(like.y)
        size = sq(like.A(x))
        return bcast(sq(x) / size.clamp_min(torch.finfo(x.dtype).tiny), x) * x


@dataclass(frozen=True)
class PseudoInverse(Direct[PinvGaussian]):
    """A⁺ y: SENSE, interpolation, a damped inverse filter."""

    name: ClassVar[str] = "pinv"
    needs = PinvGaussian

    def image(self, like: PinvGaussian) -> Image:
        return like.A.pinv(like.y)
