"""DMPlug."""

from dataclasses import dataclass
from typing import Annotated

from ..numerics.linalg import sq
from ..ranges import Positive, Steps
from ..types import PerImage
from .base import Image, Level, Likelihood, Prior
from .latent import LatentSolver, ddim


@dataclass(frozen=True)
class DMPlug(LatentSolver):
    """The diffusion sampler as a generator, Algorithm 1 (Wang et al., 2024). arXiv:2405.16749

        z ← z − Adam(∇_z ‖y − A(G(z))‖²/m),   m the number of data,

    through all `ode_steps` steps of DDIM; x̂₀ is not clipped. There is no prior term, so if y is noisy, stop early
    (`stop_at`).
    """

    steps: int = 5000
    ode_steps: Annotated[int, Steps] = 3
    lr: Annotated[float, Positive] = 0.01

    def generate(self, z: Image, t: Level, prior: Prior) -> Image:
        return ddim(z, t, prior, self.ode_steps)

    def misfit(self, x0: Image, like: Likelihood) -> PerImage:
        return sq(like.residual(x0)) / like.count
