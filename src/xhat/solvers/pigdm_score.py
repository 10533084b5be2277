"""Pseudo-inverse guidance as a correction of the score."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..numerics.autodiff import vjp
from ..ranges import Fraction
from ..transition import ddpm
from .base import Estimator, Image, Level, PinvGaussian, Prior, Rng


@dataclass(frozen=True)
class PiGDMScore(Estimator[PinvGaussian]):
    """Pseudo-inverse guidance as a correction of the score, in the form of Boys et al. (2023). arXiv:2310.06721

        x̂₀ = E[x₀|x_t] + ρ_t² Jᵀ Aᵀ (r² A Aᵀ + σ_y² I)⁻¹ (y − A E[x₀|x_t]),   r² = ρ²/(1 + ρ²),   J = α_t ∂x̂₀/∂x_t,

    then ζ = η² (1 − (ρ_s/ρ_t)²). PiGDM's own step adds r² however short the step is; the guidance of this one shrinks
    with the step.
    """

    name: ClassVar[str] = "pigdm_score"
    needs = PinvGaussian

    steps: int = 100
    eta: Annotated[float, Fraction] = 1.0

    def estimate(self, x: Image, t: Level, prior: Prior, like: PinvGaussian, rng: Rng) -> Image:
        x0, pullback = vjp(lambda x: prior(x, t), x)
        r2 = t.ratio**2 / (1 + t.ratio**2)
        v = (like.guided(x0, like.noise.std(like.y) ** 2 / r2) - x0) / r2
        return x0 + t.ratio**2 * t.alpha * pullback(v)

    def fraction(self, t: Level, s: Level) -> float:
        return self.eta**2 * ddpm(t, s)
