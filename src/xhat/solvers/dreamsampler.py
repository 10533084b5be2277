"""DreamSampler."""

from dataclasses import dataclass
from typing import Annotated

from ..likelihoods import LatentLinear
from ..numerics.autodiff import grad, vjp
from ..numerics.linalg import norm
from ..priors.latent import TextPrior
from ..ranges import Fraction, Positive, Steps
from ..transition import noise_in, renoise
from .base import Count, Image, Level, Prior, Rng, Solver, State
from .treg import consistent


@dataclass(frozen=True)
class DreamSampler(Solver[LatentLinear]):
    """Score distillation inside DDIM, section 4 (Kim, Park & Ye, 2024), for linear problems. arXiv:2403.11415

    With ᾱ = 1/(1 + ρ²) and ẑ₋ the estimate without the prompt, every `every`-th of the first fraction `until` of the
    steps is

        x = argmin ‖y − A x‖² + λ ‖x − D(ẑ₋)‖² by `cg_steps` steps of CG,
        ẑ₀' = ᾱ_t E(x) + (1 − ᾱ_t) (ẑ₋ + ᾱ_t w (ẑ_c − ẑ₋)),   ζ = ᾱ_t with the old e,

    and every other step is DDIM from ẑ₋ with a DPS step of length √ᾱ_s. Without a text, ẑ₋ is the prior's estimate. The
    official code has one mask for each prompt; here the prompt is distilled everywhere, with the weight of the code's
    editing.
    """

    needs = LatentLinear

    steps: int = 200
    every: Annotated[int, Steps] = 3
    until: Annotated[float, Fraction] = 0.85
    lam: Annotated[float, Positive] = 1e-4
    cg_steps: Annotated[int, Steps] = 10

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: LatentLinear, rng: Rng) -> State:
        z = state.x
        if k.before % self.every or k.before >= self.until * k.total:
            z0, pullback = vjp(lambda z: estimates(z, t, prior)[1], z)
            direction = pullback(grad(lambda z: norm(like.residual(z)), z0))
            return State(renoise(z, z0, t, s, 0.0, rng) - s.alpha * t.norm * direction, z0)
        guided, z0 = estimates(z, t, prior)
        abar = (t.alpha / t.norm) ** 2
        near = abar * like.encode(consistent(z0, like, self.lam, self.cg_steps)) + (1 - abar) * z0
        near = near + (1 - abar) * abar * (guided - z0)
        return State(renoise(z, near, t, s, abar, rng, old=noise_in(z, z0, t)), near)


def estimates(z: Image, t: Level, prior: Prior) -> tuple[Image, Image]:
    """ẑ₋ + w (ẑ_c − ẑ₋) and ẑ₋; both are the prior's estimate if it follows no text."""
    if isinstance(prior, TextPrior):
        return prior.guided(z, t, *prior.texts(len(z)))
    z0 = prior(z, t)
    return z0, z0
