"""Least squares without a prior, by gradients: Adam and L-BFGS, from coarse data to fine where there are such."""

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Annotated, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from ..errors import DivergedError, MismatchError
from ..numerics import inner
from ..numerics.autodiff import vjp
from ..numerics.linalg import bcast, dot, sq
from ..operators.base import Operator
from ..ranges import Portion, Positive, Range
from ..solvers.base import Count, Image, Level, Likelihood, Prior, Rng, State
from ..spec import called
from ..types import Data, PerImage
from .base import Baseline

D = TypeVar("D", bound="Descending")
ENOUGH = 1e-4  # of the slope: how much a step must gain (Armijo; Nocedal & Wright, 2006, section 3.1)
HALVINGS = 6  # of a step that does not gain so much, before the direction is given up
CURVED = 1e-6  # a pair of step and change of gradient with a smaller cosine says nothing of the curvature


@singledispatch
def begin(A: Operator, blank: Image) -> Image:  # noqa: ARG001
    """Where a descent for the operator `A` starts, (b, *image): `blank`, zeros, unless a rule is registered for its
    class.
    """
    return blank


@singledispatch
def coarse(A: Operator, residual: Data, share: float) -> Data:  # noqa: ARG001
    """The part of `residual` (b, *data) in the lowest `share` of the frequencies that `A` excites.

    Raises MismatchError if no rule is registered for the class of `A`.
    """
    raise MismatchError(f"bands are of data in time, such as those of fwi; {called(A)} has none: leave out bands")


@dataclass(frozen=True)
class Descending(State):
    """`done` (b,) says which images explain their data and stay as they are."""

    done: Tensor


@dataclass(frozen=True)
class Descent(Baseline[Likelihood, D], Generic[D]):
    """argmin_x ½‖F_k (y − A(x))‖² from the operator's own start, zeros or a model of the field.

    F_k keeps the lowest frequencies: `bands` bands with an equal number of steps, from the lowest share `lowest` of
    what the source has, in geometric progression, to all (Bunks et al., 1995, doi 10.1190/1.1443880). One band is
    plain least squares. In the last band an image stops once its residual has the size of the noise (Morozov, 1966).
    Gradients are smoothed by a Gaussian of standard deviation `smooth` pixels, 0 for none, as the spikes at sources and
    receivers of a seismic gradient are in practice.
    """

    seeded: ClassVar[bool] = False

    steps: int = 100
    bands: Annotated[int, Range(1, 100)] = 1
    lowest: Annotated[float, Portion] = 0.25
    smooth: Annotated[float, Range(0, 100)] = 0.0

    def band(self, k: Count) -> int:
        """The number of the band of step `k`, from 0 to `bands` − 1."""
        return k.before * self.bands // k.total

    def filtered(self, residual: Data, k: Count, like: Likelihood) -> Data:
        """F_k r of a residual, (b, *data)."""
        left = self.bands - 1 - self.band(k)
        return coarse(like.A, residual, float(self.lowest ** (left / (self.bands - 1)))) if left else residual

    def energy(self, k: Count, like: Likelihood) -> inner.Energy:
        """x ↦ ½‖F_k (y − A(x))‖², (b,)."""
        return lambda x: sq(self.filtered(like.residual(x), k, like)) / 2

    def explained(self, value: PerImage, k: Count, like: Likelihood) -> Tensor:
        """Whether images of that energy need no more steps, (b,) bool."""
        whole = self.band(k) == self.bands - 1
        return (2 * value <= like.explained) & whole

    def smoothed(self, g: Image) -> Image:
        """A symmetric positive definite matrix times `g` (b, …, h, w), so that −S g goes downhill as −g does."""
        if not self.smooth:
            return g
        for axis in (-1, -2):
            i = torch.arange(g.shape[axis], dtype=g.dtype, device=g.device)
            bell = torch.exp(-(((i[:, None] - i) / self.smooth) ** 2) / 2) / (self.smooth * math.sqrt(2 * math.pi))
            g = (g.transpose(axis, -1) @ bell).transpose(axis, -1)
        return g

    @abstractmethod
    def start(self, x: Image) -> D:
        """The state at the first image `x`."""

    def init(self, t: Level, prior: Prior, like: Likelihood, rng: Rng) -> D:
        return self.start(begin(like.A, torch.zeros_like(like.noise_image(rng))))


@dataclass(frozen=True)
class Moments(Descending):
    """Adam's moments."""

    adam: inner.Adam


@dataclass(frozen=True)
class Adam(Descent[Moments]):
    """Least squares without a prior by Adam (Kingma & Ba, 2015) with steps of `lr` in units of the image.

    Its moments are kept from band to band. The options `bands` and `lowest` go from low frequencies of the data to all.
    """

    lr: Annotated[float, Positive] = 0.05

    def start(self, x: Image) -> Moments:
        return Moments(x, x, torch.zeros(len(x), dtype=torch.bool, device=x.device), inner.Adam.start(x))

    def step(self, state: Moments, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> Moments:
        value, pullback = vjp(self.energy(k, like), state.x)
        done = state.done | self.explained(value, k, like)
        g = self.smoothed(pullback(torch.ones_like(value)))
        x, adam = state.adam.update(k.index, state.x, g, self.lr)
        x = torch.where(bcast(done, x), state.x, x)
        return Moments(x, x, done, adam)


@dataclass(frozen=True)
class Curve(Descending):
    """The state: the energy (b,) and its gradient at `x`, and the last steps and changes of the gradient, newest last,
    (b, memory, *image) each, 0 where there is none.
    """

    value: PerImage
    g: Image
    moves: Tensor
    turns: Tensor


@dataclass(frozen=True)
class LBFGS(Descent[Curve]):
    """Least squares without a prior by L-BFGS (Nocedal, 1980; Nocedal & Wright, 2006, algorithm 7.4).

    Each image has its own curvature, of the last `memory` steps, and its own length of a step, which is halved until
    the energy falls enough. The first step of a band changes no number by more than `reach`. A step that leads out of
    where A is defined is not taken. The options `bands` and `lowest` go from low frequencies of the data to all, and
    the curvature is forgotten between bands.
    """

    memory: Annotated[int, Range(1, 100)] = 8
    reach: Annotated[float, Positive] = 0.1

    def start(self, x: Image) -> Curve:
        none = x.new_zeros(len(x), self.memory, *x.shape[1:])
        return Curve(x, x, torch.zeros(len(x), dtype=torch.bool, device=x.device), x.new_zeros(len(x)), x, none, none)

    def step(self, state: Curve, k: Count, t: Level, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> Curve:
        energy = self.energy(k, like)
        if not k.before or self.band(k) != self.band(Count(k.before, k.total)):
            value, g = slope(energy, state.x)
            none = torch.zeros_like(state.moves)
            state = replace(state, value=value, g=g, moves=none, turns=none)
        done = state.done | self.explained(state.value, k, like)
        d = direction(state.g, state.moves, state.turns, self.reach, self.smoothed)
        x, value, found = state.x, state.value, done.clone()
        fall, length = dot(state.g, d), torch.ones_like(value)
        g = state.g
        for _ in range(HALVINGS):
            ahead = torch.where(bcast(found, x), x, state.x + bcast(length, x) * d)
            reached, there = slope_within(energy, state.x, ahead)
            better = ~found & (reached <= state.value + ENOUGH * length * fall)
            x, g = (torch.where(bcast(better, x), new, old) for new, old in ((ahead, x), (there, g)))
            value, found = torch.where(better, reached, value), found | better
            if bool(found.all()):
                break
            length = length / 2
        return self.learnt(replace(state, x=x, x0=x, value=value, g=g, done=done), x - state.x, g - state.g)

    def learnt(self, state: Curve, moved: Image, turned: Image) -> Curve:
        """`state` with one more pair; an image that did not move forgets all of its, and goes downhill next time."""
        still = ~moved.flatten(1).any(1) & ~state.done
        useful = dot(moved, turned) > CURVED * (sq(moved) * sq(turned)).sqrt()
        pairs = []
        for kept, new in ((state.moves, moved), (state.turns, turned)):
            more = torch.cat([kept[:, 1:], new[:, None]], 1)
            after = torch.where(bcast(useful, kept), more, kept)
            pairs.append(torch.where(bcast(still, kept), 0.0, after))
        return replace(state, moves=pairs[0], turns=pairs[1])


def direction(g: Image, moves: Tensor, turns: Tensor, reach: float, S: inner.Map) -> Image:
    """−H g (b, *image) by the two-loop recursion from a multiple of the symmetric positive definite `S`; −S g of a
    largest entry `reach` where nothing is known of H.
    """
    q, pairs = g, []
    for i in reversed(range(moves.shape[1])):
        s, y = moves[:, i], turns[:, i]
        sy = dot(s, y)
        rho = torch.where(sy > 0, 1 / sy, 0.0)
        a = rho * dot(s, q)
        q = q - bcast(a, q) * y
        pairs.append((s, y, rho, a))
    s, y = moves[:, -1], turns[:, -1]
    sy, tiny = dot(s, y), torch.finfo(g.dtype).tiny
    q = S(q)
    first = reach / q.abs().flatten(1).amax(1).clamp_min(tiny)
    q = bcast(torch.where(sy > 0, sy / dot(y, S(y)).clamp_min(tiny), first), q) * q
    for s, y, rho, a in reversed(pairs):
        q = q + bcast(a - rho * dot(y, q), q) * s
    return -q


def slope(energy: inner.Energy, x: Image) -> tuple[PerImage, Image]:
    """The energy at `x`, (b,), and its gradient."""
    value, pullback = vjp(energy, x)
    return value, pullback(torch.ones_like(value))


def slope_within(energy: inner.Energy, x: Image, ahead: Image) -> tuple[PerImage, Image]:
    """`slope` at `ahead`, infinite energies for images out of where it is defined; `x` is inside for all."""
    try:
        return slope(energy, ahead)
    except DivergedError as e:
        if not e.images:
            raise
        outside = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        outside[list(e.images)] = True
        value, g = slope_within(energy, x, torch.where(bcast(outside, x), x, ahead))
        return torch.where(outside, torch.inf, value), g
