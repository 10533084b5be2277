"""Compressed sensing with a generative model."""

from dataclasses import dataclass
from typing import Annotated

from ..numerics.linalg import sq
from ..ranges import NonNegative, Positive, Steps
from ..types import PerImage
from .base import Image, Level, Likelihood, Prior
from .latent import LatentSolver, ddim


@dataclass(frozen=True)
class CSGM(LatentSolver):
    """Compressed sensing with a generative model (Bora et al., 2017), which is DDIM here. arXiv:1703.03208

        min_z −log p(y|G(z)) + λ ‖z‖²/2

    λ = 1 is the mode of p(z|y), z ~ N(0, I), which is the posterior mean if the prior is Gaussian. Adam takes the place
    of the paper's momentum, and further samples that of its restarts. With `ode_steps=1` and a consistency model it is
    Consistent-CSGM.
    """

    steps: int = 1000
    ode_steps: Annotated[int, Steps] = 10
    lam: Annotated[float, NonNegative] = 1.0
    lr: Annotated[float, Positive] = 0.02

    def generate(self, z: Image, t: Level, prior: Prior) -> Image:
        return ddim(z, t, prior, self.ode_steps)

    def misfit(self, x0: Image, like: Likelihood) -> PerImage:
        return like.nll(x0)

    def penalty(self, z: Image) -> PerImage:
        return self.lam * sq(z) / 2
