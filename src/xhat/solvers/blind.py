"""What the blind solvers share: the state of image and kernel."""

from dataclasses import dataclass

from torch import Tensor

from ..likelihoods import BlindGaussian
from .base import State


@dataclass(frozen=True)
class Blind(State):
    """The chain and φ = `size` k, (b, 1, size, size), with as much noise as the method gives it."""

    phi: Tensor

    @property
    def kernel(self) -> Tensor:
        """The current kernel, > 0 with sum 1, (b, size, size)."""
        return simplex(self.phi)


def simplex(phi: Tensor) -> Tensor:
    """The positive part of φ (b, 1, size, size) divided by its sum, (b, size, size)."""
    k = phi[:, 0].clamp_min(1e-6)
    return k / k.sum((1, 2), keepdim=True)


def first(like: BlindGaussian) -> Tensor:
    """φ of the operator's initial kernel, (b, 1, size, size)."""
    guess = like.A.guess
    return len(guess[0]) * guess.expand(len(like.y), -1, -1)[:, None]
