"""Solvers: frozen hyper-parameters plus one pure step."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Generic, cast

import torch
from torch import Tensor
from typing_extensions import TypeVar

from ..likelihoods import Likelihood, LinearGaussian, NoiselessLinear, PinvGaussian, SpectralGaussian
from ..numerics.linalg import bcast, rms
from ..priors.base import Prior
from ..ranges import Checked, Fraction, Steps
from ..registry import kind_of, registry_of
from ..rng import Rng
from ..schedule import Level, Schedule
from ..spec import called
from ..transition import Rule, fresh, renoise
from ..types import Image, PerImage

__all__ = [
    "AnySolver",
    "Count",
    "Estimator",
    "Image",
    "Level",
    "Likelihood",
    "LinearGaussian",
    "NoiselessLinear",
    "PinvGaussian",
    "PointEstimator",
    "Prior",
    "Rng",
    "Rule",
    "Solver",
    "SpectralGaussian",
    "State",
]

L = TypeVar("L", bound=Likelihood)
S = TypeVar("S", bound="State", default="State")
P = TypeVar("P", bound=Prior, default=Prior)
D = TypeVar("D", bound=Any)


STEEP = 1.5  # ‖A‖², beyond that of the measurement, up to which steps made for norm 1 still converge


@dataclass(frozen=True)
class Count:
    """The number of a step: it is step `index` of `total`, counted from 1."""

    index: int
    total: int

    @property
    def before(self) -> int:
        """How many steps were made before this one: `index` counted from 0."""
        return self.index - 1

    @property
    def left(self) -> int:
        """How many steps are left, this one included: `total` at the first, 1 at the last."""
        return self.total - self.before


@dataclass(frozen=True)
class State:
    """What a solver carries between steps; every field is a tensor with the batch first, or a dataclass of such
    tensors.

    `x` is the current state of the chain, and `x0` the clean image that belongs to it, both (b, *image). What is the
    same for all images, such as the number of the step, does not belong here, because images stop one by one.
    """

    x: Image
    x0: Image

    def where(self: S, keep: Tensor, other: S) -> S:
        """This state for the images in `keep`, (b,) bool, and `other` for the rest."""
        return mapped(lambda a, b: torch.where(bcast(keep.to(a.device), a), a, b), self, other)

    @property
    def estimate(self) -> Image:
        """The result if the run ended here, (b, *image)."""
        return self.x0

    @property
    def kernel(self) -> Tensor | None:
        """The blur kernel that was found beside the image, (b, size, size); None for methods that know theirs."""
        return None

    def finish(self: S, rng: Rng) -> S:
        """The state at the clean level, where the chain itself is the result."""
        return replace(self, x0=self.x)


def mapped(f: Callable[..., Tensor], first: D, *others: D) -> D:
    """A dataclass like `first` in which every tensor is `f` of the tensors at its place in `first` and `others`."""
    made: dict[str, Any] = {}
    for field in fields(first):
        values = [getattr(x, field.name) for x in (first, *others)]
        made[field.name] = f(*values) if isinstance(values[0], Tensor) else mapped(f, *values)
    return replace(first, **made)


@dataclass(frozen=True)
class Solver(Checked, ABC, Generic[L, S, P]):
    """A frozen set of hyper-parameters and one pure step, for likelihoods of type L, states S and priors P.

    `needs` and `needs_prior` say L and P when the program runs. `mismatch` says whether they are there.
    """

    needs: ClassVar[type[Likelihood]] = Likelihood
    needs_prior: ClassVar[type[Prior]] = Prior
    denoises: ClassVar[bool] = True  # whether it asks the prior for E[x₀|x_t]
    returns: ClassVar[str] = "sample"  # or "point": whether it claims a posterior draw or one best answer
    seeded: ClassVar[bool] = True  # whether it uses random numbers; if not, all seeds give the same image

    steps: Annotated[int, Steps] = 100

    def levels(self, schedule: Schedule, like: L) -> list[Level]:
        """The noise levels of the run, from the noisiest to the clean one; there is one step between neighbours."""
        return schedule.levels(self.steps)

    def levels_for(self, schedule: Schedule | None, prior: P, like: L) -> list[Level]:
        """`levels` of `schedule`, the one that the user asks for, or of the prior's own if that is None.

        A method overrides this if its levels depend on the prior beyond its schedule.
        """
        return self.levels(schedule or prior.schedule, like)

    def init(self, t: Level, prior: P, like: L, rng: Rng) -> S:
        """The state before the first step, at level `t`: pure noise unless overridden."""
        noise = like.noise_image(rng)
        return cast(S, State(t.sigma * noise, torch.zeros_like(noise)))

    @property
    def begins_at_images(self) -> bool:
        """Whether a run can begin at an image: its first state is no more than noise of the first level."""
        return type(self).init is Solver.init

    def from_image(self, image: Image, t: Level, prior: P, like: L, rng: Rng) -> S:
        """The state at level `t` of a run that begins at `image` (b, *image): what `init` gives, but x_t = α x + σ ε.

        For methods that `begins_at_images`; `WarmStart` refuses the others.
        """
        x = t.alpha * image + t.sigma * like.noise_image(rng)
        return replace(self.init(t, prior, like, rng), x=x, x0=image)

    def mismatch(self, prior: Prior | None, like: Likelihood) -> str | None:
        """Why this solver cannot run with `prior` on the problem `like`, in a sentence; None if it can.

        No network is called. The loop's refusal, its suggestions and `xhat list solvers` all ask this. `prior` None
        stands for a prior that the method takes.
        """
        if prior is not None and (why := prior.mismatch(like)):
            return why
        if not isinstance(like, self.needs):
            meaning = (self.needs.__doc__ or "").splitlines()[0].split(":")[0].rstrip(".")
            return (
                f"{called(self)} needs a {self.needs.__name__} problem, {meaning}; {called(like.A)} with "
                f"{called(like.noise)} noise is a {type(like).__name__} one"
            )
        if like.only_prox and not self.proximal:
            return (
                f"{called(self)} does not meet the data by their data step alone, which total variation needs: "
                "take penalty=gauss, or a solver that does, such as lmaps, diffpir or hqs"
            )
        if self.unit_norm and float(like.gain.max()) > STEEP:
            return (
                f"{called(self)} takes steps of a length for operators of norm 1, and this coupling has "
                f"{float(like.gain.max()) ** 0.5:.2g}: give a larger couple, or a solver such as lmaps or mmps"
            )
        return None if prior is None else self.lacks(prior)

    @property
    def unit_norm(self) -> bool:
        """Whether its steps have a length for ‖A‖ ≤ 1 and overshoot beyond it, so that steep couplings are refused."""
        return False

    @property
    def proximal(self) -> bool:
        """Whether the method meets the data by `like.prox` and by nothing else of the likelihood."""
        return False

    def lacks(self, prior: Prior) -> str | None:
        """What the method needs of a prior and `prior` does not have, in a sentence; None if it has all.

        Unless overridden this is the type `needs_prior`, and E[x₀|x_t] if the method `denoises`.
        """
        return self.other_kind(prior, self.needs_prior) or (prior.no_denoiser() if self.denoises else None)

    def other_kind(self, prior: Prior, wanted: type[Prior]) -> str | None:
        """That `prior` is none of the kind `wanted`, and which priors are, in a sentence; None if it is one."""
        if isinstance(prior, wanted):
            return None
        names = [name for name, part in (registry_of(Prior) or {}).items() if issubclass(kind_of(part), wanted)]
        return (
            f"{called(self)} needs a {wanted.__name__}, and {type(prior).__name__} is not one; these are: "
            f"{', '.join([*names, *wanted.others])}"
        )

    @abstractmethod
    def step(self, state: S, k: Count, t: Level, s: Level, prior: P, like: L, rng: Rng) -> S:
        """The state after step `k`, from noise level `t` down to `s`. Pure: no hidden state, all randomness from
        `rng`.
        """


AnySolver = Solver[Any, Any, Any]  # whatever it needs


SEEN = 100.0  # d² counts as a whole once noise explains a hundredth of the residual: less, and photographs lose 0.3 dB


def brought(m: Image, x0: Image, like: Likelihood) -> PerImage:
    """d² of `fresh`: the mean square by which noisy data moved `m` to `x0`, (b,).

    It bounds the noise that came in with them. Data without noise bring none, however far they move an image.
    """
    return rms(x0 - m) ** 2 * (SEEN * like.noisy(m)).clamp_max(1)


class Estimator(Solver[L]):
    """A solver that only says what x₀ is given x_t and y; the state is then renoised with the fraction ζ."""

    zeta: Annotated[float, Fraction]

    def fraction(self, t: Level, s: Level) -> float:
        """ζ for the transition from t to s; the constant `zeta` unless overridden."""
        return self.zeta

    @abstractmethod
    def estimate(self, x: Image, t: Level, prior: Prior, like: L, rng: Rng) -> Image:
        """x̂₀ given x_t = `x` and y, (b, *image)."""

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: L, rng: Rng) -> State:
        x0 = self.estimate(state.x, t, prior, like, rng)
        return State(renoise(state.x, x0, t, s, self.fraction(t, s), rng), x0)


class PointEstimator(Estimator[L]):
    """An estimator of one best image: it adds only the noise that helps, by the rule `renoise` (`transition.fresh`).

    x_s = renoise(x̂₀ + β (x̂₀ − the x̂₀ before), γ),   β only with ζ = 1
    """

    returns: ClassVar[str] = "point"

    renoise: Rule

    @abstractmethod
    def estimates(self, x: Image, t: Level, s: Level, prior: Prior, like: L, rng: Rng) -> tuple[Image, Image]:
        """E[x₀|x_t] for x_t = `x`, and x̂₀, to which the data have moved it, both (b, *image); `s` is the next level.

        A method that has no such image before the data returns x̂₀ twice.
        """

    def estimate(self, x: Image, t: Level, prior: Prior, like: L, rng: Rng) -> Image:
        """x̂₀ given x_t = `x` and y, (b, *image), as in the middle of a run."""
        return self.estimates(x, t, t, prior, like, rng)[1]

    def step(self, state: State, k: Count, t: Level, s: Level, prior: Prior, like: L, rng: Rng) -> State:
        m, x0 = self.estimates(state.x, t, s, prior, like, rng)
        gamma, beta = fresh(self.renoise, t, s, prior.mse, partial(brought, m, x0, like))
        ahead = x0 + bcast(beta, x0) * (x0 - state.x0) if k.before and self.zeta == 1 else x0
        return State(renoise(state.x, ahead, t, s, self.fraction(t, s), rng, gamma=gamma), x0)
