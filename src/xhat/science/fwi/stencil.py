"""Finite differences of the wave equation: the Laplacian under a free surface, and the damping of the borders."""

import math
from typing import Any

import torch
from torch import Tensor

from ...operators.checks import Number


def profile(n: int, cells: int, step: Number, both: bool) -> Tensor:
    """η along an axis of `n` points with damping rows, at both sides or at the end only.

    It is 1.5 ln(1000)/cells · (p − sin(2πp)/2π)/d, where p grows from 2/cells at the inner row to 1 + 1/cells at the
    outer one; these numbers are those of Devito's examples.seismic.
    """
    p = (torch.arange(1, cells + 1, dtype=torch.float64) + 1) / cells
    rows = 1.5 * math.log(1000) / cells * (p - torch.sin(2 * math.pi * p) / (2 * math.pi)) / step
    return torch.cat([rows.flip(0) if both else rows[:0], torch.zeros(n, dtype=torch.float64), rows])


def laplacian(u: Tensor, step: tuple[float, float]) -> Tensor:
    """Δu of fourth order for `u` (…, x, z) with spacings `step`, u = 0 outside.

    At the surface, one step before the first z, u is mirrored: u(−z) = −u(z).
    """
    found: Tensor = _Laplacian.apply(u, step)  # type: ignore[no-untyped-call]
    return found


class _Laplacian(torch.autograd.Function):
    """A symmetric matrix, so that its pullback is itself; written in place, which automatic differentiation cannot."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, step: tuple[float, float]) -> Tensor:
        ctx.step = step
        a, c = (1 / d**2 for d in step)
        out = u * (-2.5 * (a + c))
        out[..., 0] += u[..., 0] * (c / 12)  # the mirrored neighbour two points above is −u
        for k, weight in ((1, 4 / 3), (2, -1 / 12)):
            out[..., k:, :].add_(u[..., :-k, :], alpha=weight * a)
            out[..., :-k, :].add_(u[..., k:, :], alpha=weight * a)
            out[..., k:].add_(u[..., :-k], alpha=weight * c)
            out[..., :-k].add_(u[..., k:], alpha=weight * c)
        return out

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, None]:
        return laplacian(v, ctx.step), None
