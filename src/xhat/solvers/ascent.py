"""What the variants of MAP by gradient ascent share: the ascent itself, through a consistency model or a denoiser."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ..errors import SpecError
from ..numerics.autodiff import vjp
from ..numerics.linalg import bcast
from ..priors.consistency import ConsistencyPrior
from ..ranges import Positive, Repeats
from ..schedule import CLEAN, Schedule
from ..types import PerImage
from .base import Image, Level, Likelihood, Prior, Rng, Solver

LAMBDAS, MODELS = ("level", "paper", "unit"), ("auto", "consistency", "denoiser")


@dataclass(frozen=True)
class Ascent(Solver[Likelihood]):
    """z ← z + λ (∂x̂/∂z)ᵀ ∇ log p(x̂|y), x̂ = f(z, t), `inner_steps` times at each level (Gutha et al., 2024).

    A variant says what ∇ log p(y|x̂) is, and which noise follows. The options are explained in `map_ga`.
    """

    returns: ClassVar[str] = "point"

    steps: int = 50
    inner_steps: Annotated[int, Repeats] = 20
    use_prior: bool = False
    lam: str = "level"
    model: str = "auto"
    eps: Annotated[float, Positive] = 0.002

    def __post_init__(self) -> None:
        for key, value, known in (("lam", self.lam, LAMBDAS), ("model", self.model, MODELS)):
            if value not in known:
                raise SpecError(f"map_ga: {key} must be one of {', '.join(known)}, not {value!r}")

    def lacks(self, prior: Prior) -> str | None:
        if self.model == "consistency" and (why := self.other_kind(prior, ConsistencyPrior)):
            return why
        return prior.no_denoiser() if self.use_prior or not self.jumps(prior) else None

    def levels(self, schedule: Schedule, like: Likelihood) -> list[Level]:
        """σ(t) = t; the schedule's last level stands for ε, where nothing is left to do."""
        return [Level(t.t, 1.0, t.ratio) for t in schedule.levels(self.steps + 1)[: self.steps]] + [CLEAN]

    def ascend(self, z: Image, t: Level, prior: Prior, like: Likelihood) -> Image:
        """f(z, t) after all inner steps at level t."""
        for _ in range(self.inner_steps):
            x, pullback = vjp(lambda z: self.f(z, t, prior), z)
            z = z + pullback(self.direction(x, t, prior, like))
        return self.f(z, t, prior)

    def f(self, z: Image, t: Level, prior: Prior) -> Image:
        """f(z, t), by the consistency model or by the denoiser, as `model` says."""
        return prior.jump(z, t) if isinstance(prior, ConsistencyPrior) and self.jumps(prior) else prior(z, t)

    def jumps(self, prior: Prior) -> bool:
        """Whether f is a consistency model."""
        return isinstance(prior, ConsistencyPrior) and self.model != "denoiser"

    def floor(self, prior: Prior) -> float:
        """ε, the noise level down to which f goes, in units of the image."""
        return prior.sigma_min if isinstance(prior, ConsistencyPrior) and self.jumps(prior) else self.eps

    @abstractmethod
    def variance(self, like: Likelihood) -> PerImage:
        """σ_y² per image, (b,)."""

    def direction(self, x: Image, t: Level, prior: Prior, like: Likelihood) -> Image:
        """λ ∇ log p(x̂|y) at x̂ = `x`, (b, *image)."""
        eps = self.floor(prior)
        noise = self.variance(like) + eps**2
        lam = 1 / (1 / noise + 1 / t.sigma**2) if self.lam == "level" else noise
        out = bcast(lam, x) * self.likelihood_score(x, like, eps)
        if self.use_prior:
            weight = bcast(lam / eps**2, x) if self.lam != "unit" else 1.0
            out = out + weight * (prior(x, Level(t.t, 1.0, eps)) - x)
        return like.evened(out, noise / t.sigma**2 if self.lam == "level" else torch.zeros_like(noise))

    @abstractmethod
    def likelihood_score(self, x: Image, like: Likelihood, eps: float) -> Image:
        """∇ log p(y|x̂) at x̂ = `x`, (b, *image), for a prior that knows its images up to noise of `eps`."""


def settle(x: Tensor, s: Level, floor: float, rng: Rng) -> Image:
    """A draw from N(x, (σ_s² − floor²) I), or `x` itself if that variance is not positive."""
    var = s.sigma**2 - floor**2
    return x + var**0.5 * rng.randn_like(x) if var > 0 else x
