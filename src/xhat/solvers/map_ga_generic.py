"""MAP by gradient ascent for any likelihood."""

from dataclasses import dataclass
from typing import ClassVar

from ..numerics.autodiff import grad
from ..types import PerImage
from .ascent import Ascent, settle
from .base import Count, Image, Level, Likelihood, Prior, Rng, State


@dataclass(frozen=True)
class MAPGAGeneric(Ascent):
    """MAP by gradient ascent for any likelihood, Algorithm 1 (Gutha et al., 2024). arXiv:2407.20784

        z ← z + λ (∂x̂/∂z)ᵀ ∇ log p(x̂|y),   x̂ = f(z, t),   `inner_steps` times;   then z ~ N(f(z, t), σ_s² I)

    ∇ log p(y|x̂) is that of the noise model itself, Poisson included; the options are those of `map_ga`. Noiseless data
    have the likelihood of rounded data.
    """

    name: ClassVar[str] = "map_ga_generic"

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        x = self.ascend(state.x, t, prior, like)
        return State(settle(x, s, 0.0, rng), x)

    def variance(self, like: Likelihood) -> PerImage:
        return like.noise.scale(like.y) ** 2

    def likelihood_score(self, x: Image, like: Likelihood, eps: float) -> Image:
        return -grad(like.nll, x)
