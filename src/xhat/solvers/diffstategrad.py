"""A solver around a solver, which projects its gradients."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from ..errors import MismatchError, ShapeError, SpecError
from ..likelihoods import Likelihood
from ..operators.base import Operator
from ..priors.base import Prior
from ..ranges import Portion, Repeats
from ..rng import Rng
from ..schedule import Level, Schedule
from ..types import Data, Image
from .base import Count, Solver, State
from .dps import DPS


@dataclass(frozen=True)
class DiffStateGrad(Solver[Likelihood]):
    """Diffusion state-guided projected gradient around any `inner` solver (Zirvi et al., 2025). arXiv:2410.03463

    The data gradient g of the inner solver becomes U_r U_rᵀ g V_r V_rᵀ, channel by channel. U and V are the singular
    vectors of the image at which it is taken; r is the mean over channels of the smallest rank that holds the fraction
    `variance` of its squares. `at` says which gradient: `state`, the one in x_t, through the network (DPS, PiGDM, LGD,
    MCG), or `estimate`, the one in the clean image, through A alone (DAPS, ReSample, MPGD, RED-diff). `steps` = 0 means
    those of the inner solver.
    """

    steps: Annotated[int, Repeats] = 0
    inner: Solver[Any, State, Any] = field(default_factory=DPS)
    at: Literal["state", "estimate"] = "state"
    variance: Annotated[float, Portion] = 0.99

    def __post_init__(self) -> None:
        if self.at == "estimate" and self.inner.needs is not Likelihood:
            name = type(self.inner).__name__
            raise SpecError(f"diffstategrad: {name} takes no gradient of A, at=estimate projects nothing")
        for name in ("needs", "needs_prior", "returns"):  # what the inner solver needs and gives, this one does
            object.__setattr__(self, name, getattr(self.inner, name))

    @property
    def solver(self) -> Solver[Any, State, Any]:
        """The inner solver, with the number of steps of this one."""
        return replace(self.inner, steps=self.steps) if self.steps else self.inner

    @property
    def unit_norm(self) -> bool:
        """Of the coupling of frames, which tells how long a step may be, at=estimate knows the gradient only."""
        return self.at == "estimate" or self.inner.unit_norm

    def lacks(self, prior: Prior) -> str | None:
        return self.inner.lacks(prior)

    def levels(self, schedule: Schedule, like: Likelihood) -> list[Level]:
        return self.solver.levels(schedule, like)

    def init(self, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        if len(like.A.shape) < 2:
            raise ShapeError(f"diffstategrad: takes images (..., height, width), not signals {like.A.shape}")
        return self.solver.init(t, prior, like, rng)

    @property
    def begins_at_images(self) -> bool:
        return self.solver.begins_at_images

    def from_image(self, image: Image, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        return self.solver.from_image(image, t, prior, like, rng)

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        if self.at == "estimate":
            like = Likelihood(ProjectedOperator(like.A, self.variance), like.noise, like.y)
            return self.solver.step(state, k, t, s, prior, like, rng)
        projected = ProjectedPrior(prior, self.variance)
        new = self.solver.step(state, k, t, s, projected, like, rng)
        if not projected.used:
            name = type(self.inner).__name__
            raise MismatchError(f"diffstategrad: {name} takes no gradient through the network; try at=estimate")
        return new


class ProjectedPrior(Prior):
    """A prior whose gradients in x_t are projected onto the leading singular vectors of x_t.

    `used` tells whether a gradient has passed.
    """

    def __init__(self, prior: Prior, variance: float) -> None:
        super().__init__()
        self.prior, self.variance, self.schedule = prior, variance, prior.schedule
        self.closed_form = prior.closed_form
        self.used = False

    def forward(self, x: Image, t: Level) -> Image:
        z = projecting(x, self.variance)
        if z.requires_grad:
            z.register_hook(self.note)  # type: ignore[no-untyped-call]
        return self.prior(z, t)

    def note(self, g: Tensor) -> None:
        """Called by autograd when a gradient passes."""
        self.used = True


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
