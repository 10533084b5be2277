"""A solver around a solver, which projects its gradients."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..errors import MismatchError, ShapeError, SpecError
from ..likelihoods import Likelihood
from ..numerics.calls import counting
from ..operators.base import Operator
from ..priors.base import Prior
from ..rng import Rng
from ..schedule import Level, Schedule
from ..spec import build
from ..types import Data, Image
from .base import Count, Solver, State


@dataclass(frozen=True)
class DiffStateGrad(Solver[Likelihood]):
    """Diffusion state-guided projected gradient around any `inner` solver (Zirvi et al., 2025). arXiv:2410.03463

    The data gradient g of the inner solver becomes U_r U_rᵀ g V_r V_rᵀ, channel by channel. U and V are the singular
    vectors of the image at which it is taken; r is the mean over channels of the smallest rank that holds the fraction
    `variance` of its squares. `at` says which gradient: `state`, the one in x_t, through the network (DPS, PiGDM, LGD,
    MCG), or `estimate`, the one in the clean image, through A alone (DAPS, ReSample, MPGD, RED-diff). `steps` = 0 means
    those of the inner solver.
    """

    steps: int = 0
    inner: str = "dps"
    at: Literal["state", "estimate"] = "state"
    variance: float = 0.99

    def __post_init__(self) -> None:
        if not 0 < self.variance <= 1:
            raise SpecError(f"diffstategrad: variance must lie in (0, 1], not {self.variance}")
        if self.at == "estimate" and self.solver.needs is not Likelihood:
            raise SpecError(f"diffstategrad: {self.inner} takes no gradient of A, at=estimate projects nothing")
        object.__setattr__(self, "needs", self.solver.needs)  # the inner solver's needs are this one's

    @property
    def solver(self) -> Solver[Likelihood]:
        """The inner solver."""
        from . import SOLVERS

        solver: Solver[Likelihood] = build(self.inner, SOLVERS)
        return replace(solver, steps=self.steps) if self.steps else solver

    def levels(self, schedule: Schedule, like: Likelihood) -> list[Level]:
        return self.solver.levels(schedule, like)

    def init(self, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        if len(like.A.shape) < 2:
            raise ShapeError(f"diffstategrad: takes images (..., height, width), not signals {like.A.shape}")
        return self.solver.init(t, prior, like, rng)

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        if self.at == "estimate":
            like = Likelihood(ProjectedOperator(like.A, self.variance), like.noise, like.y)
            return self.solver.step(state, k, t, s, prior, like, rng)
        with counting() as calls:
            new = self.solver.step(state, k, t, s, ProjectedPrior(prior, self.variance), like, rng)
        if not calls.backwards:
            raise MismatchError(f"diffstategrad: {self.inner} takes no gradient through the network; try at=estimate")
        return new


class ProjectedPrior(Prior):
    """A prior whose gradients in x_t are projected onto the leading singular vectors of x_t."""

    def __init__(self, prior: Prior, variance: float) -> None:
        super().__init__()
        self.prior, self.variance, self.schedule = prior, variance, prior.schedule

    def forward(self, x: Image, t: Level) -> Image:
        return self.prior.forward(projecting(x, self.variance), t)


class ProjectedOperator(Operator):
    """An operator whose gradients in x are projected onto the leading singular vectors of x."""

    def __init__(self, A: Operator, variance: float) -> None:
        super().__init__(A.shape)
        self.A, self.variance = A, variance

    @property
    def support(self) -> Tensor | None:
        return self.A.support

    def forward(self, x: Image) -> Data:
        y: Data = self.A.forward(projecting(x, self.variance))
        return y


def projecting(x: Image, variance: float) -> Image:
    """`x` (…, h, w) itself, with a projected gradient."""
    z = x.clone()
    if z.requires_grad:
        z.register_hook(lambda g: project(g, x.detach(), variance))  # type: ignore[no-untyped-call]
    return z


def project(g: Image, x: Image, variance: float) -> Image:
    """U_r U_rᵀ g V_r V_rᵀ for each image and channel; `g` and `x` are (b, c, h, w)."""
    U, S, Vt = torch.linalg.svd(x, full_matrices=False)
    held = (S**2).cumsum(-1) / (S**2).sum(-1, keepdim=True)
    rank = ((held < variance).sum(-1) + 1).flatten(1).float().mean(1).floor()  # as in the official code
    keep = torch.arange(S.shape[-1], device=S.device) < rank.reshape(-1, *[1] * (S.ndim - 1))
    U, Vt = U * keep[..., None, :], Vt * keep[..., None]
    out: Image = U @ (U.mT @ g @ Vt.mT) @ Vt
    return out
