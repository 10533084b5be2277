"""Posterior sampling with latent diffusion."""

from dataclasses import dataclass
from typing import Annotated

from ..likelihoods import LatentLinear
from ..numerics.autodiff import grad, vjp
from ..numerics.linalg import bcast, norm
from ..ranges import Fraction, NonNegative
from ..transition import ddpm, renoise
from .base import Count, Image, Level, Prior, Rng, Solver, State


@dataclass(frozen=True)
class PSLD(Solver[LatentLinear]):
    """Posterior sampling with latent diffusion, Algorithm 2 (Rout et al., 2023). arXiv:2307.00619

        z_s = DDIM(z_t, ẑ₀) − n_t n_s ∇_{z_t} ( ω ‖y − A D(ẑ₀)‖ + γ ‖E(Aᵀy + (I − AᵀA) D(ẑ₀)) − ẑ₀‖ )

    The second term glues: it wants ẑ₀ to be the code of its own image with the measurement put in, which is meant for A
    whose AᵀA is a projection. γ = 0 is latent DPS. `eta` 1 is the paper's DDPM, 0 the official code's DDIM. The norms
    are not squared, as in the code, from which the defaults (those for faces) are taken.
    """

    needs = LatentLinear

    steps: int = 1000
    omega: Annotated[float, NonNegative] = 0.1
    gamma: Annotated[float, NonNegative] = 0.1
    eta: Annotated[float, Fraction] = 0.0

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: LatentLinear, rng: Rng) -> State:
        z0, pullback = vjp(lambda z: prior(z, t), state.x)
        g = self.omega * grad(lambda z: norm(like.residual(z)), z0)
        if self.gamma:
            g = g + self.gamma * glue(z0, like)
        z = renoise(state.x, z0, t, s, self.eta**2 * ddpm(t, s), rng)
        return State(z - t.norm * s.norm * pullback(g), z0)


def glue(z0: Image, like: LatentLinear) -> Image:
    """∇_z₀ ‖E(u) − z₀‖, u = x + Aᵀ(y − A x), x = D(z₀); I − AᵀA, the derivative of u, is its own transpose."""
    A = like.A.outer
    x, through_decoder = vjp(like.decode, z0)
    z, through_encoder = vjp(like.encode, x + like.pixel.A.adjoint(like.pixel.residual(x)))
    unit = (z - z0) / bcast(norm(z - z0).clamp_min(1e-12), z0)
    back = through_encoder(unit)
    return through_decoder(back - like.pixel.A.adjoint(A(back))) - unit
