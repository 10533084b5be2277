"""Algebraic reconstruction of line integrals: SIRT and CGLS, which stop where the data are explained."""

from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from ...baselines.base import Baseline
from ...errors import MismatchError
from ...numerics.linalg import bcast, norm, sq
from ...solvers.base import Count, Image, Level, LinearGaussian, Prior, Rng, State
from .operator import CT

A = TypeVar("A", bound="Iterate")
BLACK = -1.0  # where both start: no attenuation


@dataclass(frozen=True)
class Iterate(State):
    """The state: `residual` is y − A x, and `done` (b,) says which images explain their data and stay as they are."""

    residual: Tensor
    done: Tensor


@dataclass(frozen=True)
class Stopped(Baseline[LinearGaussian, A], Generic[A]):
    """An iteration from black that ends, image by image, as soon as the residual has the size of the noise.

    Without noise it takes all its steps. That stop is the discrepancy principle (Morozov, 1966): with more steps these
    methods come to fit the noise.
    """

    needs = LinearGaussian

    steps: int = 100

    def blank(self, like: LinearGaussian, rng: Rng) -> dict[str, Any]:
        """The fields of `Iterate` at the start."""
        x = torch.full_like(like.noise_image(rng), BLACK)
        res = like.residual(x)
        return {"x": x, "x0": x, "residual": res, "done": explained(res, like)}


def explained(residual: Tensor, like: LinearGaussian) -> Tensor:
    """Which residuals (b, *data) are no larger than the noise, (b,)."""
    return sq(residual) <= like.explained


@dataclass(frozen=True)
class SIRT(Stopped[Iterate]):
    """x ← x + C Aᵀ R (y − A x) with R and C one over the sums of rows and columns of A (Gilbert, 1972; Gregor & Benson,
    2008). doi 10.1109/TMI.2008.923696

    For line integrals, whose matrix has no negative entries.
    """

    def init(self, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> Iterate:
        if not isinstance(like.A, CT):
            raise MismatchError(f"sirt inverts line integrals (ct), not {type(like.A).__name__}")
        return Iterate(**self.blank(like, rng))

    def step(
        self, state: Iterate, k: Count, t: Level, s: Level, prior: Prior, like: LinearGaussian, rng: Rng
    ) -> Iterate:
        rows, columns = like.A(torch.ones_like(state.x[:1])), like.A.adjoint(torch.ones_like(state.residual[:1]))
        step = inverse(columns) * like.A.adjoint(inverse(rows) * state.residual)
        x = state.x + bcast((~state.done).to(step), step) * step
        res = like.residual(x)
        return Iterate(x, x, res, state.done | explained(res, like))


def inverse(v: Tensor) -> Tensor:
    """1/v, and 0 where v is 0 up to rounding: what no ray crosses."""
    return torch.where(v > 1e-6 * v.max(), 1 / v.clamp_min(1e-30), 0.0)


@dataclass(frozen=True)
class Conjugate(Iterate):
    """The state of CGLS: the direction `p` (b, *image) and `gamma` (b,), ‖Aᵀ(y − A x)‖²."""

    p: Image
    gamma: Tensor


@dataclass(frozen=True)
class CGLS(Stopped[Conjugate]):
    """Conjugate gradient on AᵀA x = Aᵀ y (Hestenes & Stiefel, 1952; Björck, 1996, algorithm 7.4.1)."""

    steps: int = 50

    def init(self, t: Level, prior: Prior, like: LinearGaussian, rng: Rng) -> Conjugate:
        start = self.blank(like, rng)
        p = like.A.adjoint(start["residual"])
        return Conjugate(**start, p=p, gamma=sq(p))

    def step(
        self, state: Conjugate, k: Count, t: Level, s: Level, prior: Prior, like: LinearGaussian, rng: Rng
    ) -> Conjugate:
        q = like.A(state.p)
        tiny = torch.finfo(q.dtype).tiny
        length = torch.where(state.done, 0.0, state.gamma / sq(q).clamp_min(tiny))
        x, res = state.x + bcast(length, state.p) * state.p, state.residual - bcast(length, q) * q
        g = like.A.adjoint(res)
        gamma = sq(g)
        p = g + bcast(gamma / state.gamma.clamp_min(tiny), g) * state.p
        done = state.done | explained(res, like) | (norm(g) <= 1e-6 * norm(like.A.adjoint(like.y)))
        return replace(state, x=x, x0=x, residual=res, done=done, p=p, gamma=gamma)
