"""Regularisation by texts."""

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from ..likelihoods import LatentLinear
from ..numerics.inner import adam
from ..numerics.linalg import cg
from ..priors.latent import TextPrior
from ..ranges import Fraction, Positive, Repeats, Steps
from ..transition import noise_in, renoise
from .base import Count, Image, Level, Prior, Rng, Solver, State
from .reach import fit


@dataclass(frozen=True)
class Negated(State):
    """The chain and the embedding of the negative prompt, (b, tokens, width)."""

    negative: Tensor


@dataclass(frozen=True)
class TReg(Solver[LatentLinear, Negated, TextPrior]):
    """Regularisation by texts, Algorithm 1 (Kim et al., 2023). arXiv:2311.15658

    DDIM guided by the prompt. With ᾱ_s = 1/(1 + ρ_s²), every `every`-th of the first fraction `until` of the steps has

        x = argmin ‖y − A x‖² + λ ‖x − D(ẑ₀)‖² by `cg_steps` steps of CG,
        ẑ₀' = ᾱ_s E(x) + (1 − ᾱ_s) ẑ₀,   ζ = ᾱ_s with the old e,

    and adaptive negation: `negation` steps of Adam on the embedding of the negative prompt, which lower its mean inner
    product with that of the image. For this the prior needs an image encoder; `negation` = 0 does without.

    The steps after `until` see no data, and leave them. So the last one fits ẑ₀ to them by up to `last_steps` steps of
    Adam, until the residual is that of the noise; the paper has no such step.
    """

    needs = LatentLinear
    needs_prior = TextPrior

    steps: int = 200
    every: Annotated[int, Steps] = 3
    until: Annotated[float, Fraction] = 0.85
    lam: Annotated[float, Positive] = 1e-4
    cg_steps: Annotated[int, Steps] = 5
    negation: Annotated[int, Repeats] = 10
    lr: Annotated[float, Positive] = 1e-3
    last_steps: Annotated[int, Repeats] = 500

    def lacks(self, prior: Prior) -> str | None:
        if self.negation and isinstance(prior, TextPrior) and not prior.sees:
            return f"{type(prior).__name__} has no image encoder; treg:negation=0 goes without adaptive negation"
        return super().lacks(prior)

    def init(self, t: Level, prior: TextPrior, like: LatentLinear, rng: Rng) -> Negated:
        start = super().init(t, prior, like, rng)
        return Negated(start.x, start.x0, prior.texts(len(start.x))[1].to(start.x.dtype))

    def step(
        self, state: Negated, k: Count, t: Level, s: Level, prior: TextPrior, like: LatentLinear, rng: Rng
    ) -> Negated:
        z = state.x
        z0, _ = prior.guided(z, t, prior.texts(len(z))[0].to(z.dtype), state.negative)
        if s.sigma == 0:
            z0 = fit(z0, like, self.last_steps)
            return Negated(z0, z0, state.negative)
        if k.before % self.every or k.before >= self.until * k.total:
            return Negated(renoise(z, z0, t, s, 0.0, rng), z0, state.negative)
        x = consistent(z0, like, self.lam, self.cg_steps)
        abar = (s.alpha / s.norm) ** 2
        near = abar * like.encode(x) + (1 - abar) * z0
        z = renoise(z, near, t, s, abar, rng, old=noise_in(z, z0, t))
        return Negated(z, near, self.negated(x, state.negative, prior))

    def negated(self, x: Image, negative: Tensor, text: TextPrior) -> Tensor:
        """The embedding of the negative prompt, moved away from the direction of the image."""
        if not self.negation:
            return negative
        f = text.image_embedding(x)
        f = f / f.norm(dim=1, keepdim=True)
        return adam(lambda c: (c @ f[:, :, None]).mean((1, 2)), negative, self.lr, self.negation)


def consistent(z0: Image, like: LatentLinear, lam: float, steps: int) -> Tensor:
    """argmin_x ‖y − A x‖² + λ ‖x − D(z₀)‖², by `steps` steps of conjugate gradient from D(z₀)."""
    x, A = like.decode(z0), like.pixel.A
    return cg(lambda v: A.adjoint(A(v)) + lam * v, A.adjoint(like.y) + lam * x, steps, x=x)
