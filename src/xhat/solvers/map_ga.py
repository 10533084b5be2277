"""MAP by gradient ascent through a consistency model."""

from dataclasses import dataclass
from typing import ClassVar

from ..numerics.autodiff import vjp
from ..numerics.inner import normal_map
from ..numerics.linalg import cg
from ..types import PerImage
from .ascent import Ascent, settle
from .base import Count, Image, Level, Likelihood, LinearGaussian, NoiselessLinear, Prior, Rng, State


@dataclass(frozen=True)
class MAPGA(Ascent):
    """MAP by gradient ascent through a consistency model f, Algorithm 2 (Gutha et al., 2024). arXiv:2407.20784

        z ← z + λ (∂x̂/∂z)ᵀ ∇ log p(x̂|y),   x̂ = f(z, t),   `inner_steps` times;   then z ~ N(f(z, t), (σ_s² − ε²) I)

    ∇ log p(y|x̂) = Aᵀ (σ_y² I + ε² A Aᵀ)⁻¹ (y − A x̂), where A is linearised at x̂ if it is not linear. `use_prior`
    adds ∇ log p(x̂) = (D(x̂, ε) − x̂)/ε². This is the paper's default, which is worse than its variant without (NP) in
    most columns of its tables. `lam` paper is λ = σ_y² + ε², which overshoots where σ_t < σ_y; unit is that for the
    likelihood and ε² for the prior, whose weight it changes; level, 1/λ = 1/(σ_y² + ε²) + 1/σ_t², is stable if ‖A‖ ≤ 1.
    `model` denoiser replaces f by D(z, t), and auto does so for priors without f. `eps` is ε for D; f has its own.
    """

    name: ClassVar[str] = "map_ga"

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        x = self.ascend(state.x, t, prior, like)
        return State(settle(x, s, self.floor(prior), rng), x)

    def variance(self, like: Likelihood) -> PerImage:
        """σ_y² per image, (b,); for noiseless data 0, or that of rounding if A is not linear."""
        return like.var if isinstance(like, LinearGaussian) else like.noise.scale(like.y) ** 2

    def likelihood_score(self, x: Image, like: Likelihood, eps: float) -> Image:
        """∇ log N(y; A x, σ_y² I + ε² A Aᵀ)."""
        rho = self.variance(like) / eps**2
        if isinstance(like, NoiselessLinear):
            v = like.A.pinv(like.residual(x))
        elif isinstance(like, LinearGaussian):
            v = like.A.ridge(like.residual(x), rho, 0.05 * like.var.sqrt() / (1 + rho))
        else:
            Ax, pullback = vjp(like.A, x)
            v = cg(normal_map(like.A, x, rho), pullback(like.y - Ax), 8)
        return v / eps**2
