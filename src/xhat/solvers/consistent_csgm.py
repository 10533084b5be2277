"""Compressed sensing with a consistency model."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..numerics.linalg import sq
from ..priors.consistency import ConsistencyPrior
from ..ranges import NonNegative, Positive
from ..types import PerImage
from .base import Image, Level, Likelihood
from .latent import LatentSolver


@dataclass(frozen=True)
class ConsistentCSGM(LatentSolver[ConsistencyPrior]):
    """Compressed sensing with a consistency model f as the generator (Xu et al., as surveyed in arXiv:2410.00083).

        min_z −log p(y|f(σ_T z, σ_T)) + λ ‖z‖²/2

    It is `csgm` in which G is one network call: λ = 1 is the mode of p(z|y), z ~ N(0, I).
    """

    name: ClassVar[str] = "consistent_csgm"
    needs_prior = ConsistencyPrior
    denoises: ClassVar[bool] = False

    steps: int = 1000
    lam: Annotated[float, NonNegative] = 1.0
    lr: Annotated[float, Positive] = 0.02

    def generate(self, z: Image, t: Level, prior: ConsistencyPrior) -> Image:
        return prior.jump(t.sigma * z, t)

    def misfit(self, x0: Image, like: Likelihood) -> PerImage:
        return like.nll(x0)

    def penalty(self, z: Image) -> PerImage:
        return self.lam * sq(z) / 2
