"""ReSample for latent priors."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..likelihoods import LatentLikelihood
from ..numerics.autodiff import grad, vjp
from ..numerics.linalg import norm
from ..ranges import NonNegative, Positive, Repeats, Steps
from ..transition import renoise
from .base import Count, Image, Level, Prior, Rng, Solver, State
from .reach import fit
from .resample import ReSample


@dataclass(frozen=True)
class LatentReSample(Solver[LatentLikelihood]):
    """ReSample, Algorithm 1 in latents (Song et al., 2024). arXiv:2307.08123

        z' = DDIM(z_t, ẑ₀) − c ᾱ_t n_t n_s ∇_{z_t} ‖y − A(D(ẑ₀))‖

    In the last two thirds of the run, every `every`-th level adds `look_ahead` DDIM steps from z' to a sharper ẑ₀, and
    hard consistency. In the middle third this is in pixels, ẑ = E(argmin_x ‖y − A(x)‖² from D(ẑ₀)); in the last third
    and at the end it is in latents, ẑ = argmin_z ‖y − A(D(z))‖² from ẑ₀. Both use Adam until the residual is the one
    that the noise explains. Then z_s is resampled from ẑ and z' as in `resample`. The official code continues to a
    residual of 10⁻³ whatever the noise is, and its look-ahead estimate has (1 − ᾱ)e where √(1 − ᾱ)e belongs.
    """

    name: ClassVar[str] = "latent_resample"
    needs = LatentLikelihood

    steps: int = 500
    c: Annotated[float, NonNegative] = 0.5
    every: Annotated[int, Steps] = 10
    look_ahead: Annotated[int, Repeats] = 5
    pixel_steps: Annotated[int, Steps] = 2000
    pixel_lr: Annotated[float, Positive] = 0.01
    latent_steps: Annotated[int, Steps] = 500
    latent_lr: Annotated[float, Positive] = 0.005
    gamma: Annotated[float, Positive] = 40.0

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: LatentLikelihood, rng: Rng) -> State:
        z0, pullback = vjp(lambda z: prior(z, t), state.x)
        direction = grad(lambda z: norm(like.residual(z)), z0)
        abar = (t.alpha / t.norm) ** 2
        z = renoise(state.x, z0, t, s, 0.0, rng) - self.c * abar * t.norm * s.norm * pullback(direction)
        if s.sigma > 0 and (3 * k.before < k.total or k.left % self.every):
            return State(z, z0)
        z0 = self.ahead(z, z0, t, s, prior, rng)
        if 3 * k.left > k.total:
            hard = like.encode(fit(like.decode(z0), like.pixel, self.pixel_steps, self.pixel_lr))
        else:
            hard = fit(z0, like, self.latent_steps, self.latent_lr)
        return State(ReSample(gamma=self.gamma).resample(z, hard, t, s, prior, rng), hard)

    def ahead(self, z: Image, z0: Image, t: Level, s: Level, prior: Prior, rng: Rng) -> Image:
        """ẑ₀ after `look_ahead` DDIM steps from s, each as long in ln ρ as the one from t to s; z itself at the clean
        level.
        """
        if s.sigma == 0:
            return z
        u = z / s.alpha
        for k in range(self.look_ahead):
            a, b = (Level(s.t, 1.0, s.ratio * (s.ratio / t.ratio) ** i) for i in (k, k + 1))
            z0 = prior(u, a)
            u = renoise(u, z0, a, b, 0.0, rng)
        return z0
