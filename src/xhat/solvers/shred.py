"""Zero-shot restoration by inverting a coarse DDIM."""

from dataclasses import dataclass
from typing import Annotated

from ..numerics.linalg import bcast, norm, rms
from ..ranges import Positive, Steps
from ..types import PerImage
from .base import Image, Level, Likelihood, Prior
from .latent import LatentSolver, ddim


@dataclass(frozen=True)
class SHRED(LatentSolver):
    """Zero-shot restoration by inverting a coarse DDIM (Chihaoui et al., 2024, after BIRD). arXiv:2405.19572

        z ← z − Adam(∇_z ‖y − A(G(z))‖),   z ← √n z/‖z‖

    The second step keeps z on the sphere on which Gaussian noise lies. The gradient passes through the network; the
    code of BIRD stops it there.
    """

    steps: int = 200
    ode_steps: Annotated[int, Steps] = 10
    lr: Annotated[float, Positive] = 0.01

    def generate(self, z: Image, t: Level, prior: Prior) -> Image:
        return ddim(z, t, prior, self.ode_steps)

    def misfit(self, x0: Image, like: Likelihood) -> PerImage:
        return norm(like.residual(x0))

    def project(self, z: Image) -> Image:
        return z / bcast(rms(z), z)
