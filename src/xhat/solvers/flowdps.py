"""FlowDPS."""

from dataclasses import dataclass
from typing import Annotated

from ..likelihoods import LatentLinear
from ..numerics.autodiff import vjp
from ..numerics.linalg import bcast, norm, sq
from ..ranges import Positive, Repeats
from ..transition import noise_in, renoise
from .base import Count, Image, Level, Prior, Rng, Solver, State
from .reach import fit


@dataclass(frozen=True)
class FlowDPS(Solver[LatentLinear]):
    """Flow-driven posterior sampling, Algorithm 1 (Kim, Kim & Ye, 2025). arXiv:2503.08136

    σ is the time of a rectified flow, x_t = (1 − σ) x₀ + σ ε, which in another schedule is ρ/(1 + ρ):

        z' = ẑ₀, then `inner_steps` times z' ← z' − κ ∇f(z'),   f = ‖Aᵀ(y − A D(z'))‖,   κ = `step_size` f/‖∇f‖²,
        ẑ₀' = (1 − σ_t) ẑ₀ + σ_t z',
        z_s = (1 − σ_s) ẑ₀' + σ_s (√σ_s ε̂ + √(1 − σ_s) ε),   ε̂ the flow's own noise: ζ = 1 − σ_s.

    It needs no derivative of the prior. κ takes the share `step_size` off f to first order, whatever the size of image
    and latent (Polyak, 1987). The official code has κ = 15, set for 768 x 768 pixels under Stable Diffusion 3, and so
    short elsewhere that the data are not reached. As the weight σ_t of the data falls to 0, the last step fits ẑ₀ to
    them by up to `last_steps` steps of Adam, until the residual is that of the noise; the paper has no such step. That
    code runs on the schedule flow:shift=4.
    """

    needs = LatentLinear

    steps: int = 28
    inner_steps: Annotated[int, Repeats] = 3
    step_size: Annotated[float, Positive] = 1.0
    last_steps: Annotated[int, Repeats] = 500

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: LatentLinear, rng: Rng) -> State:
        z0 = prior(state.x, t)
        time, later = (u.sigma / (u.alpha + u.sigma) for u in (t, s))
        near = (1 - time) * z0 + time * self.guided(z0, like)
        if s.sigma == 0:
            near = fit(near, like, self.last_steps)
        return State(renoise(state.x, near, t, s, 1 - later, rng, old=noise_in(state.x, z0, t)), near)

    def guided(self, z: Image, like: LatentLinear) -> Image:
        """z' with a smaller back-projected residual; ∇_x f = −AᵀA r/‖r‖, r = Aᵀ(y − A x)."""
        A = like.pixel.A
        for _ in range(self.inner_steps):
            x, pullback = vjp(like.decode, z)
            r = A.adjoint(like.pixel.residual(x))
            unit = r / bcast(norm(r).clamp_min(1e-12), r)
            g = pullback(A.adjoint(A(unit)))  # −∇f
            z = z + self.step_size * bcast(norm(r) / sq(g).clamp_min(1e-12), g) * g
        return z
