"""Inner products, norms, conjugate gradient and GMRES per image, over all axes but the batch."""

from collections.abc import Callable
from typing import overload

import torch
from torch import Tensor

from ..errors import DivergedError

Map = Callable[[Tensor], Tensor]
# Conjugate gradient sums what it gained over so many steps, or over a sixth of all where it is slow: with 4 steps alone
# its error was up to 2.3 times what it was asked for.
LOOK_BACK, SLOW = 4, 6
# An image stops when it is this fraction below its goal; in between it takes only part of each step.
BAND = 0.1


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
    error: Callable[[Tensor, Tensor], Tensor] = lambda _, z: rms(z),
    least: Tensor | float | None = None,
) -> Tensor:
    """Preconditioned conjugate gradient for A x = b, image by image; A must be symmetric positive definite.

    `b` and the result are (b, *); the iteration starts at `x`, or at 0. `precondition` is a map r ↦ z ≈ A⁻¹ r. The goal
    of an image is ‖b − A x‖ ≤ `tol` ‖b‖, or that `error(r, z)`, an estimate of its error from the residual and the
    preconditioned residual, (b,), is at most `close` (a number, or one per image). With `least`, a lower bound of the
    eigenvalues of A, the estimate is √(Σ α_j r_j·z_j / `least`) over the last steps: the sum is what ‖x − x*‖_A² has
    fallen by, nearly all of what there was (Hestenes & Stiefel, 1952; Strakoš & Tichý, 2002). At its goal an image
    makes a part of each step only, and a tenth below it none, while its neighbours go on. So the result is continuous:
    rounding never makes the difference of a step. With `tol` > 0, DivergedError is raised if an image has reached
    neither goal after `steps` iterations. With `tol` = 0 the solve is a truncated one, of at most `steps` iterations.
    An image then stops early, too, if it meets a direction without positive curvature, because a network's Jacobian is
    only nearly symmetric.
    """
    x, r = (torch.zeros_like(b), b) if x is None else (x, b - A(x))
    goal = tol * norm(b)
    z = precondition(r)
    p, rz = z, dot(r, z)
    gained: list[Tensor] = []
    far = torch.minimum(
        norm(r) / goal, remaining(r, z, error, gained, least) / close
    )  # NaN where there is nothing to solve
    active = far > 1 - BAND
    for _ in range(steps):
        if not active.any():
            break
        Ap = A(p)
        curvature = dot(p, Ap)
        active = active & (curvature > 0)
        a = torch.where(active, rz / curvature, 0.0)
        part = ((far - (1 - BAND)) / BAND).clamp(0, 1)
        gained.append(a * rz)
        x, r = x + bcast(torch.where(active, part * a, 0.0), p) * p, r - bcast(a, p) * Ap
        z = precondition(r)
        rz, old = dot(r, z), rz
        p = z + bcast(torch.where(active, rz / old, 0.0), p) * p
        far = far.minimum(norm(r) / goal).minimum(
            remaining(r, z, error, gained, least) / close
        )  # the smallest so far: neither must fall
        active = active & (far > 1 - BAND)
    if tol and (late := active & (far > 1)).any():
        i = int(late.nonzero()[0])
        raise DivergedError(
            f"conjugate gradient: image {i} is at relative residual {float(norm(r)[i] / norm(b)[i]):.1e} after "
            f"{steps} iterations, not {tol:g}"
        )
    return x


def gmres(A: Map, b: Tensor, steps: int) -> Tensor:
    """`steps` iterations of GMRES from 0 for A x = b, image by image; A may be any linear map, also one that is not
    symmetric (Saad & Schultz, 1986).

    `b` and the result are (b, *). The result is the x of the Krylov space of `steps` dimensions whose residual is the
    smallest; where the space is smaller, an image has its solution early. `steps` + 1 images are kept.
    """
    size = norm(b)
    tiny = torch.finfo(size.dtype).tiny
    basis = [b / bcast(size.clamp_min(tiny), b)]
    H = b.real.new_zeros(len(b), steps + 1, steps)
    for j in range(steps):
        v = A(basis[j])
        whole = norm(v)
        for i, q in enumerate(basis):  # modified Gram-Schmidt
            H[:, i, j] = dot(q, v)
            v = v - bcast(H[:, i, j], v) * q
        left = norm(v)
        left = torch.where(left > 100 * torch.finfo(left.dtype).eps * whole, left, 0.0)  # the rest is rounding
        H[:, j + 1, j] = left
        basis.append(torch.where(bcast(left > 0, v), v / bcast(left.clamp_min(tiny), v), 0.0))
    goal = b.real.new_zeros(len(b), steps + 1, 1)
    goal[:, 0, 0] = size
    weights = (torch.linalg.pinv(H) @ goal)[..., 0]
    return sum((bcast(weights[:, j], q) * q for j, q in enumerate(basis[:-1])), torch.zeros_like(b))


def remaining(
    r: Tensor,
    z: Tensor,
    error: Callable[[Tensor, Tensor], Tensor],
    gained: list[Tensor],
    least: Tensor | float | None,
) -> Tensor:
    """The estimate of the error, (b,), in `cg`: by residuals, or by what the last steps `gained` in the energy norm."""
    if least is None:
        return error(r, z)
    if len(gained) < LOOK_BACK:
        return torch.full_like(norm(r), float("inf"))
    last = torch.stack(gained[-max(LOOK_BACK, len(gained) // SLOW) :])
    size: float = r[0].numel() ** 0.5
    return (last.sum(0) / least).sqrt() / size
