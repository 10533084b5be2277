"""Second-order Tweedie sampling from a surrogate loss."""

from dataclasses import dataclass
from typing import Annotated

from ..likelihoods import LatentLinear
from ..numerics.autodiff import grad
from ..numerics.linalg import dot, norm
from ..ranges import NonNegative, Repeats
from ..transition import renoise
from ..types import PerImage
from .base import Count, Image, Level, Prior, Rng, Solver, State


@dataclass(frozen=True)
class STSL(Solver[LatentLinear]):
    """Second-order Tweedie sampler from a surrogate loss, Algorithm 1 (Rout et al., 2024). arXiv:2312.00852

    Starts from the noised E(Aᵀy). Before its DDIM step, each level makes `inner_steps` steps with a fresh ε ~ N(0, I):

        z_t ← z_t − ∇_{z_t} ( λ ‖y − A D(ẑ₀)‖ + (η/n) εᵀ(s(z_t + ε) − s(z_t)) ),   s = ∇ log p_t

    The second term estimates the trace of the score's derivative, and n is the size of a latent; in VP, other schedules
    are rescaled. There is no official code: the paper leaves λ open, and η is the best of its ablation.
    """

    needs = LatentLinear

    steps: int = 50
    lam: Annotated[float, NonNegative] = 1.0
    eta: Annotated[float, NonNegative] = 0.02
    inner_steps: Annotated[int, Repeats] = 3

    def init(self, t: Level, prior: Prior, like: LatentLinear, rng: Rng) -> State:
        z = like.encode(like.pixel.A.adjoint(like.y))
        return State(t.alpha * z + t.sigma * like.noise_image(rng), z)

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: LatentLinear, rng: Rng) -> State:
        z = state.x
        for _ in range(self.inner_steps):
            eps = t.norm * rng.randn_like(z)
            z = z - t.norm**2 * grad(lambda z, eps=eps: self.surrogate(z, eps, t, prior, like), z)  # type: ignore[misc]
        z0 = prior(z, t)
        return State(renoise(z, z0, t, s, 0.0, rng), z0)

    def surrogate(self, z: Image, eps: Image, t: Level, prior: Prior, like: LatentLinear) -> PerImage:
        """The surrogate loss, (b,); s(z) = (α ẑ₀ − z)/σ²."""
        z0 = prior(z, t)
        if not self.eta:
            return self.lam * norm(like.residual(z0))
        change = (t.alpha * (prior(z + eps, t) - z0) - eps) / t.sigma**2
        return self.lam * norm(like.residual(z0)) + self.eta / z[0].numel() * dot(eps, change)
