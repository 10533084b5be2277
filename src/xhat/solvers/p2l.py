"""Prompt tuning for latent diffusion models."""

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from ..likelihoods import LatentLinear
from ..numerics.autodiff import grad, vjp
from ..numerics.inner import Adam
from ..numerics.linalg import norm, sq
from ..priors.latent import TextPrior
from ..ranges import NonNegative, Positive, Repeats, Steps
from ..transition import noise_in, renoise
from .base import Count, Level, Rng, Solver, State


@dataclass(frozen=True)
class Prompted(State):
    """The chain, the text's embedding c (b, tokens, width), and Adam's moments."""

    c: Tensor
    adam: Adam


@dataclass(frozen=True)
class P2L(Solver[LatentLinear, Prompted, TextPrior]):
    """Prompt tuning for latent diffusion models, Algorithm 2 (Chung et al., 2023). arXiv:2310.01110

    At each level, starting from the c of the level before, c ← Adam(∇_c mean (y − A D(ẑ₀(z_t, c)))²), `prompt_steps`
    times, and

        z_s = DDIM(z_t, ẑ₀') − ω n_t n_s ∇_{z_t} ‖y − A D(ẑ₀(z_t, c))‖.

    ẑ₀' is ẑ₀ or, at every `every`-th level, E(argmin_x ‖y − A x‖² + λ ‖x − D(ẑ₀)‖²), which keeps the latent in the
    range of the encoder. Adam's lr and ω are those of TReg's port of the method, in which c moves only once; `every`
    and λ are our own.
    """

    needs = LatentLinear
    needs_prior = TextPrior

    steps: int = 1000
    omega: Annotated[float, NonNegative] = 1.0
    lr: Annotated[float, Positive] = 1e-4
    prompt_steps: Annotated[int, Repeats] = 1
    every: Annotated[int, Steps] = 4
    lam: Annotated[float, Positive] = 1.0

    def init(self, t: Level, prior: TextPrior, like: LatentLinear, rng: Rng) -> Prompted:
        start = super().init(t, prior, like, rng)
        c = prior.texts(len(start.x))[0].to(start.x.dtype)
        return Prompted(start.x, start.x0, c, Adam.start(c))

    def step(
        self, state: Prompted, k: Count, t: Level, s: Level, prior: TextPrior, like: LatentLinear, rng: Rng
    ) -> Prompted:
        z = state.x
        c, adam = self.tuned(state, k, t, prior, like)
        negative = prior.texts(len(z))[1].to(z.dtype)
        z0, pullback = vjp(lambda z: prior.guided(z, t, c, negative)[0], z)
        e, near = noise_in(z, z0, t), z0
        if k.index % self.every == 0:
            near = like.encode(like.pixel.prox(like.decode(z0), self.lam))
        direction = pullback(grad(lambda z: norm(like.residual(z)), z0))
        z = renoise(z, near, t, s, 0.0, rng, old=e) - self.omega * t.norm * s.norm * direction
        return Prompted(z, near, c, adam)

    def tuned(self, state: Prompted, k: Count, t: Level, text: TextPrior, like: LatentLinear) -> tuple[Tensor, Adam]:
        """c after `prompt_steps` updates at this level, and Adam's moments."""
        c, adam = state.c, state.adam
        loss = lambda c: sq(like.residual(text.conditioned(state.x, t, c))) / like.count
        for j in range(1, self.prompt_steps + 1):
            c, adam = adam.update(k.before * self.prompt_steps + j, c, grad(loss, c), self.lr)
        return c, adam
