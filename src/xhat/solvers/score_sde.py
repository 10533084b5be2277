"""Projection in a predictor-corrector sampler."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..numerics.linalg import bcast, norm
from ..ranges import Fraction, Positive, Repeats
from ..transition import ancestral, noise_in
from .base import Count, Image, Level, NoiselessLinear, Prior, Rng, Solver, State


@dataclass(frozen=True)
class ScoreSDE(Solver[NoiselessLinear]):
    """Projection in a predictor-corrector sampler, Algorithm 2 (Song et al., 2022), noiseless. arXiv:2111.08005

    Before every call of corrector and predictor, the part of the state that A sees becomes that of the noised
    measurement:

        x_t ← x_t + λ A⁺ (α_t y + σ_t A ε − A x_t)

    This is the paper's T⁻¹[λ Λ y_t + (1 − λ Λ) T x_t] for orthogonal T. The corrector is Langevin dynamics at level t
    with step 2 (snr ‖z‖/‖score‖)², the predictor DDPM. The last projection has λ = 1.
    """

    name: ClassVar[str] = "score_sde"
    needs = NoiselessLinear

    steps: int = 1000
    lam: Annotated[float, Fraction] = 1.0
    corrections: Annotated[int, Repeats] = 1
    snr: Annotated[float, Positive] = 0.16

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: NoiselessLinear, rng: Rng) -> State:
        x = state.x
        for _ in range(self.corrections):
            x = self.correct(like.overwrite(x, t, rng, self.lam), t, prior, rng)
        x = like.overwrite(x, t, rng, self.lam)
        x0 = prior(x, t)
        x = ancestral(x, x0, t, s, rng)
        return State(like.overwrite(x, s, rng) if s.sigma == 0 else x, x0)

    def correct(self, x: Image, t: Level, prior: Prior, rng: Rng) -> Image:
        """One Langevin step, whose size is each image's own; that of the official code is a batch mean."""
        score, z = -noise_in(x, prior(x, t), t) / t.sigma, rng.randn_like(x)
        step = bcast(2 * (self.snr * norm(z) / norm(score)) ** 2, x)
        return x + step * score + (2 * step) ** 0.5 * z
