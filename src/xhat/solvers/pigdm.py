"""Pseudo-inverse guided diffusion."""

from dataclasses import dataclass
from typing import Annotated

from ..numerics.autodiff import vjp
from ..ranges import Fraction
from ..transition import ddpm, noise_in, renoise
from .base import Count, Level, PinvGaussian, Prior, Rng, Solver, State


@dataclass(frozen=True)
class PiGDM(Solver[PinvGaussian]):
    """Pseudo-inverse guidance (Song et al., ICLR 2023, Algorithm 1).

        x_s = R(x̂₀, ζ; e) + α_s Jᵀ v,   v = r² Aᵀ (r² A Aᵀ + σ_y² I)⁻¹ (y − A x̂₀),   r² = ρ²/(1 + ρ²)

    with J = α_t ∂x̂₀/∂x_t, the network's own noise e and ζ = η² (1 − (ρ_s/ρ_t)²). For JPEG, quantisation and clipping v
    = (A⁺(y) − A⁺(A(x̂₀)))/(1 + σ_y²/r²), which needs no Jacobian of A.
    """

    needs = PinvGaussian

    steps: int = 100
    eta: Annotated[float, Fraction] = 1.0

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: PinvGaussian, rng: Rng) -> State:
        x0, pullback = vjp(lambda x: prior(x, t), state.x)
        r2 = t.ratio**2 / (1 + t.ratio**2)
        v = like.guided(x0, like.noise.std(like.y) ** 2 / r2) - x0
        x = renoise(state.x, x0, t, s, self.eta**2 * ddpm(t, s), rng, old=noise_in(state.x, x0, t))
        return State(x + s.alpha * t.alpha * pullback(v), x0)
