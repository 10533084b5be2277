"""Inner products, norms and conjugate gradient per image, over all axes but the batch."""

from collections.abc import Callable
from typing import overload

import torch
from torch import Tensor

from ..errors import DivergedError

Map = Callable[[Tensor], Tensor]


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Re⟨a, b⟩ per image, shape (b,)."""
    return (a.conj() * b).real.flatten(1).sum(1)


def sq(x: Tensor) -> Tensor:
    """‖x‖² per image, shape (b,)."""
    return dot(x, x)


def norm(x: Tensor) -> Tensor:
    """‖x‖ per image, shape (b,); its gradient at 0 is 0."""
    out: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return out


def rms(x: Tensor) -> Tensor:
    """Root mean square per image, shape (b,); its gradient at 0 is 0."""
    root: float = x[0].numel() ** 0.5
    return norm(x) / root


@overload
def bcast(v: Tensor, x: Tensor) -> Tensor: ...
@overload
def bcast(v: float, x: Tensor) -> float: ...
def bcast(v: Tensor | float, x: Tensor) -> Tensor | float:
    """Per-image numbers v: (b,) shaped to broadcast against x: (b, *); a float stays a float."""
    return v.reshape(-1, *[1] * (x.ndim - 1)) if isinstance(v, Tensor) else v


def project_l1(x: Tensor, radius: float) -> Tensor:
    """The nearest point to `x` (b, *) with Σ|x_i| ≤ `radius`, per image (Duchi et al., 2008, figure 1)."""
    a = x.flatten(1).abs()
    sums = (u := a.sort(1, descending=True).values).cumsum(1) - radius
    rank = torch.arange(1, a.shape[1] + 1, device=x.device)
    k = (u * rank > sums).sum(1, keepdim=True).clamp_min(1)
    threshold = (sums.gather(1, k - 1) / k).clamp_min(0)
    return (x.flatten(1).sign() * (a - threshold).clamp_min(0)).reshape(x.shape)


def cg(
    A: Map,
    b: Tensor,
    steps: int,
    tol: float = 0.0,
    x: Tensor | None = None,
    precondition: Map = lambda r: r,
    close: Tensor | float = 0.0,
) -> Tensor:
    """Preconditioned conjugate gradient for A x = b, image by image; A must be symmetric positive definite.

    `b` and the result are (b, *); the iteration starts at `x`, or at 0. `precondition` is a map r ↦ z ≈ A⁻¹ r. With
    `tol` > 0, an image stops as soon as ‖b − A x‖ ≤ tol ‖b‖, or as soon as the preconditioned residual, an estimate of
    the error in x, has a root mean square of at most `close` (a number, or one per image). It then stays as it is while
    its neighbours go on. Raises DivergedError if an image has reached neither after `steps` iterations. With `tol` = 0,
    it makes `steps` iterations, which is a truncated solve that some methods ask for. An image then stops early if it
    meets a direction without positive curvature, because a network's Jacobian is only nearly symmetric.
    """
    x, r = (torch.zeros_like(b), b) if x is None else (x, b - A(x))
    goal = tol**2 * sq(b)
    z = precondition(r)
    p, rz = z, dot(r, z)
    active = torch.ones_like(goal, dtype=torch.bool)
    for _ in range(steps):
        active = active & (sq(r) > goal) & (rms(z) > close)
        if not active.any():
            break
        Ap = A(p)
        curvature = dot(p, Ap)
        active = active & (curvature > 0)
        a = torch.where(active, rz / curvature, 0.0)
        x, r = x + bcast(a, p) * p, r - bcast(a, p) * Ap
        z = precondition(r)
        rz, old = dot(r, z), rz
        p = z + bcast(torch.where(active, rz / old, 0.0), p) * p
    if tol and (late := (sq(r) > goal) & (rms(z) > close)).any():
        i = int(late.nonzero()[0])
        left = float((sq(r)[i] / sq(b)[i]).sqrt())
        raise DivergedError(
            f"conjugate gradient: image {i} is at relative residual {left:.1e} after {steps} iterations, not {tol:g}"
        )
    return x
