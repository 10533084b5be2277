from dataclasses import dataclass
from typing import ClassVar

from ..errors import MismatchError
from ..operators.ct import CT
from ..operators.fbp import fbp
from ..solvers.base import Level, LinearGaussian, PinvGaussian, Prior, Rng, Solver, State


@dataclass(frozen=True)
class Adjoint(Solver[LinearGaussian]):
    """Aᵀ y: the zero-filled image of MRI, unfiltered back-projection."""

    needs = LinearGaussian
    returns: ClassVar[str] = "point"

    steps: int = 1

    def step(self, state: State, t: Level, s: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> State:
        x = like.A.adjoint(like.y)
        return State(x, x)


@dataclass(frozen=True)
class PseudoInverse(Solver[PinvGaussian]):
    """A⁺ y: SENSE, interpolation, a damped inverse filter."""

    name: ClassVar[str] = "pinv"
    needs = PinvGaussian
    returns: ClassVar[str] = "point"

    steps: int = 1

    def step(self, state: State, t: Level, s: Level, prior: Prior, like: PinvGaussian, rng: Rng) -> State:
        x = like.A.pinv(like.y)
        return State(x, x)


@dataclass(frozen=True)
class FBP(Solver[LinearGaussian]):
    """Filtered back-projection with the ramp |ω| (Ramachandran & Lakshminarayanan, 1971), of parallel or fan beams.

    Fan beams are weighted as in Kak & Slaney, 1988, section 3.4; both assume views all around, evenly spaced.
    """

    needs = LinearGaussian
    returns: ClassVar[str] = "point"

    steps: int = 1

    def step(self, state: State, t: Level, s: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> State:
        if not isinstance(like.A, CT):
            raise MismatchError(f"fbp inverts line integrals (ct), not {type(like.A).__name__}")
        x = fbp(like.A, like.y)
        return State(x, x)
