"""Symmetric tridiagonal systems along one axis, all others at once."""

import torch
from torch import Tensor


def tridiagonal(diagonal: Tensor, off: Tensor, b: Tensor) -> Tensor:
    """The x with diagonal_t x_t + off_t x_{t+1} + off_{t−1} x_{t−1} = b_t, for `b` (b, t, *).

    `diagonal` broadcasts against `b`, and `off` against `b` with t − 1 in place of t. The matrix must be positive
    definite: elimination then needs no pivots (Golub & Van Loan, 2013, algorithm 4.3.6).
    """
    count = b.shape[1]
    d = diagonal.expand(diagonal.shape[0], count, *diagonal.shape[2:]).unbind(1)
    e = off.expand(off.shape[0], max(count - 1, 0), *off.shape[2:]).unbind(1)
    pivots, rows = [d[0]], [b[:, 0]]
    for t in range(1, count):
        ratio = e[t - 1] / pivots[-1]
        pivots.append(d[t] - ratio * e[t - 1])
        rows.append(b[:, t] - ratio * rows[-1])
    x = [rows[-1] / pivots[-1]]
    for t in range(count - 2, -1, -1):
        x.append((rows[t] - e[t] * x[-1]) / pivots[t])
    return torch.stack(x[::-1], 1)


def chain(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Diagonal and off-diagonal of Dᵀ diag(w) D, D x = x_{t+1} − x_t, for the weights `weight` (b, t − 1, *)."""
    nothing = torch.zeros_like(weight[:, :1])
    return torch.cat([weight, nothing], 1) + torch.cat([nothing, weight], 1), -weight
