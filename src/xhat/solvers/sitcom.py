"""Step-wise triple-consistent sampling."""

from dataclasses import dataclass
from typing import Annotated

from ..numerics.inner import adam
from ..numerics.linalg import sq
from ..ranges import Fraction, NonNegative, Positive, Steps
from .base import Image, Level, Likelihood, PointEstimator, Prior, Rng, Rule


@dataclass(frozen=True)
class SITCOM(PointEstimator[Likelihood]):
    """Step-wise triple-consistent sampling, Algorithm 1 (Alkhouri et al., 2024). arXiv:2410.04479

    v = argmin ‖y − A(x̂₀(v, t))‖² + λ ‖v − x_t‖² by at most `inner_steps` steps of Adam from v = x_t, stopped when the
    residual is the one that the noise explains, for a σ_y that is larger by `slack`; then x̂₀(v, t) is fully renoised
    (ζ = 1). λ = 0 and the slack are those of the official code. `lr` is in units of √(α_t² + σ_t²), which is 1 in the
    paper's VP schedule.
    """

    steps: int = 20
    inner_steps: Annotated[int, Steps] = 20
    lr: Annotated[float, Positive] = 0.02
    lam: Annotated[float, NonNegative] = 0.0
    slack: Annotated[float, NonNegative] = 0.001
    zeta: Annotated[float, Fraction] = 1.0
    renoise: Rule = "full"

    def estimates(self, x: Image, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> tuple[Image, Image]:
        energy = lambda v: sq(like.residual(prior(v, t))) + self.lam * sq(v - x)
        goal = ((like.explained / like.count).sqrt() + self.slack) ** 2 * like.count
        x0 = prior(adam(energy, x, self.lr * t.norm, self.inner_steps, goal=goal), t)
        return x0, x0
