"""Moment matching posterior sampling."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ..numerics.autodiff import vjp
from ..numerics.linalg import bcast, cg, gmres
from ..ranges import Fraction, Steps
from ..transition import ddpm
from .base import Estimator, Image, Level, LinearGaussian, Prior, Rng


@dataclass(frozen=True)
class MMPS(Estimator[LinearGaussian]):
    """Moment matching posterior sampling, Algorithm 3 (Rozet et al., 2024). arXiv:2405.13712

        E[x₀|x_t,y] ≈ x̂₀ + V Aᵀ (σ_y² I + A V Aᵀ)⁻¹ (y − A x̂₀),   V = σ_t²/α_t ∂x̂₀/∂x_t = Cov[x₀|x_t],

    by `cg_steps` steps of conjugate gradient, then ζ = η² (1 − (ρ_s/ρ_t)²). Exact for a Gaussian prior. `krylov` gmres
    does as many of GMRES, which is right for Jacobians that are not symmetric, as those of networks are; with many
    steps conjugate gradient may diverge there.
    """

    needs = LinearGaussian

    steps: int = 100
    cg_steps: Annotated[int, Steps] = 3
    krylov: Literal["cg", "gmres"] = "cg"
    eta: Annotated[float, Fraction] = 1.0

    def estimate(self, x: Image, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> Image:
        A, var = like.A, like.var
        x0, pullback = vjp(lambda x: prior(x, t), x)

        def V(v: Image) -> Image:  # Cov[x₀|x_t], by Tweedie
            return t.sigma**2 / t.alpha * pullback(v)

        solve = cg if self.krylov == "cg" else gmres
        w = solve(lambda w: bcast(var, w) * w + A(V(A.adjoint(w))), like.residual(x0), self.cg_steps)
        return x0 + V(A.adjoint(w))

    def fraction(self, t: Level, s: Level) -> float:
        return self.eta**2 * ddpm(t, s)
