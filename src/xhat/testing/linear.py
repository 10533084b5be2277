"""The laws of linear operators: adjoint, inverses, singular values."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..numerics.build_dtype import double_by_default
from ..numerics.calls import counting
from ..numerics.linalg import bcast, dot, norm, sq
from ..operators.base import LinearOperator, Operator, SpectralOperator
from .law import Law, double, layouts
from .operators import exactness, images

MOST = 2000  # numbers an image may have for its matrix to be formed: in double precision 32 MB for a square one


def matrix(A: Operator) -> Tensor:
    """The matrix of the first image's A, (numbers of data, numbers of image). For images of up to a few thousand."""
    blank = A.blank(1)
    n = blank.numel()
    eye = torch.eye(n, dtype=blank.dtype, device=blank.device).reshape(n, *A.shape)
    return A.take(torch.zeros(n, dtype=torch.long)).forward(eye).flatten(1).T


def random_data(A: Operator, x: Tensor, seed: int = 2) -> Tensor:
    """White noise in the shape of A(x)."""
    y = A(x)
    return torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=y.dtype)


def invertible_data(A: LinearOperator, x: Tensor, seed: int = 2) -> Tensor:
    """Data for A⁺: white noise, or A of other images where conjugate gradient has to invert a singular A Aᵀ.

    Only the matrix tells that it is singular, so that is looked for in images of at most `MOST` numbers.
    """
    if getattr(type(A).pinv, "iterative", False) and torch.Size(A.shape).numel() <= MOST:
        with double_by_default():
            D = matrix(A)
        if torch.linalg.matrix_rank(D, rtol=1e-8) < len(D):
            return A(images(A, seed=seed + 10))
    return random_data(A, x, seed)


def slack(A: LinearOperator) -> float:
    """The relative size below which A counts a singular value as 0, if it does."""
    return float(getattr(A, "cutoff", 0.0))


def damping(A: LinearOperator) -> float:
    """What makes A's `pinv` a damped one, or 0."""
    return float(getattr(A, "floor", 0.0))


@contextmanager
def tight(A: Operator) -> Iterator[None]:
    """Within, conjugate gradient goes on to double precision, so that only the formulas are tested."""
    parts = [m for m in A.modules() if isinstance(m, LinearOperator)]
    kept = [vars(m).get("cg_tol") for m in parts]
    for m in parts:
        vars(m)["cg_tol"] = 1e-11
    try:
        yield
    finally:
        for m, tol in zip(parts, kept, strict=True):
            if tol is None:
                del vars(m)["cg_tol"]
            else:
                vars(m)["cg_tol"] = tol


def is_linear(A: LinearOperator) -> None:
    """A(a x + z) = a A(x) + A(z)."""
    law = Law(A, "A(a x + z) = a A(x) + A(z)", "an offset, a clipping or a normalisation of the image in `forward`")
    off, A, x, z = exactness(A), double(A), images(A), images(A, seed=3)
    size = float(A(x).abs().max())
    law.near(A(0.7 * x + z), 0.7 * A(x) + A(z), 0.0, 100 * off * max(size, 1.0))


def adjoint(A: LinearOperator) -> None:
    """⟨A x, v⟩ = ⟨x, Aᵀ v⟩ for random x and v: the dot test."""
    law = Law(A, "⟨A x, v⟩ = ⟨x, Aᵀ v⟩", "`adjoint` lacks a factor, a conjugate or a flip that `forward` has")
    off, A, x = exactness(A), double(A), images(A)
    v = random_data(A, x)
    y, back = A(x), A.adjoint(v)
    law.holds(back.shape == x.shape, f"Aᵀ v has the shape {tuple(back.shape)}, images have {tuple(x.shape)}")
    scale = (sq(y) * sq(v)).sqrt()
    law.near(dot(y, v) / scale, dot(x, back) / scale, 0.0, off, "both products over ‖A x‖ ‖v‖")


def memory_does_not_matter(A: LinearOperator) -> None:
    """Data that are strided, expanded or have the channels last in memory give the same bits in Aᵀ, A⁺ and `ridge`."""
    law = Law(A, "the layout of the data in memory does not matter", "`view` on the data, or a sum over strided memory")
    A, x = double(A), images(A)
    y = random_data(A, x)
    inverses = {"Aᵀ": A.adjoint, "A⁺": A.pinv, "ridge": lambda v: A.ridge(v, 0.3)}
    made = {"A⁺": invertible_data(A, x)}
    for name, inverse in inverses.items():
        for how, (strided, usual) in layouts(made.get(name, y)).items():
            _same_in_any_layout(law, name, inverse, how, strided, usual)


def _same_in_any_layout(law: Law, name: str, inverse: Callable[[Tensor], Tensor], how: str, *data: Tensor) -> None:
    strided, usual = data
    try:
        found = inverse(strided)
    except RuntimeError as e:
        raise law.broken(f"{name} of data {how} raises {e}") from e
    law.same(found, inverse(usual), f"{name} of data {how}")


def counts_its_calls(A: LinearOperator) -> None:
    """Aᵀ y and every closed-form solve count one operator call for each image; an iterative solve counts its calls."""
    law = Law(A, "a call counts once", "a method that is marked `iterative` and applies neither A nor its adjoint")
    A, x = double(A), images(A)
    y = A(x)
    calls_of: dict[str, Callable[[], Tensor]] = {
        "adjoint": lambda: A.adjoint(y),
        "pinv": lambda: A.pinv(y),
        "normal_solve": lambda: A.normal_solve(x, 0.3),
        "ridge": lambda: A.ridge(y, 0.3),
    }
    for name, call in calls_of.items():
        repeats = getattr(getattr(type(A), name), "iterative", False)
        if repeats and name == "pinv":
            continue  # it need not converge for an ill-conditioned A
        applied: list[int] = []
        hook = A.register_forward_hook(lambda *_, applied=applied: applied.append(1))
        with counting() as calls:
            call()
        hook.remove()
        fits = calls.operator >= len(x) if repeats else calls.operator == len(x)
        law.holds(fits, f"{name} of {len(x)} images counted {calls.operator} calls")
        # a closed form applies A at most a few times; what applies it again and again must not pass for one call
        law.holds(repeats or len(applied) < 4, f"{name} applied A {len(applied)} times and counted one call")


def solves(A: LinearOperator) -> None:
    """(AᵀA + ρ I) normal_solve(b, ρ) = b and (AᵀA + ρ I) ridge(y, ρ) = Aᵀ y, ρ one number or one an image."""
    says = "`normal_solve` and `ridge` solve (AᵀA + ρ I) x = b and = Aᵀ y"
    law = Law(A, says, "the singular values enter in place of their squares, or ρ is not taken for each image alone")
    off = 1e-8 if exactness(A) < 1e-9 else 1e-2  # eigenvectors of AᵀA know small singular values to half the digits
    A, b = double(A), images(A, seed=2)
    y = random_data(A, b)
    each = torch.logspace(-3, 0, len(b), dtype=b.dtype)
    for rho in (0.3, each):
        least = float(torch.as_tensor(rho).min())
        with tight(A):
            x, z = A.normal_solve(b, rho), A.ridge(y, rho)
        # a singular value that counts as 0 changes the left side by at most its square, the right side by itself
        size = norm(A.adjoint(y)) + slack(A) * norm(y) / off
        for name, left, over in (
            ("normal_solve", _applied(A, x, rho) - b, norm(b)),
            ("ridge", _applied(A, z, rho) - A.adjoint(y), size),
        ):
            error = float((norm(left) / over).max())
            law.holds(error <= off, f"{name} leaves {error:.2g} of the right side at ρ from {least:g}, not {off:g}")


def _applied(A: LinearOperator, x: Tensor, rho: Tensor | float) -> Tensor:
    return A.adjoint(A(x)) + bcast(rho, x) * x


def pinv(A: LinearOperator) -> None:
    """A⁺ is the pseudo-inverse: A A⁺ A = A and A⁺ A A⁺ = A⁺, A A⁺ and A⁺ A are symmetric (Penrose, 1955).

    Where A's class has a `floor`, `pinv` is (AᵀA + floor² I)⁻¹ Aᵀ, and that is tested.
    """
    says = "A A⁺ A = A, A⁺ A A⁺ = A⁺, and A A⁺ and A⁺ A are symmetric"
    law = Law(A, says, "`pinv` is the adjoint, or an inverse that adds something where A sees nothing")
    off = 1e-6 if exactness(A) < 1e-9 else 1e-3
    A, x = double(A), images(A)
    y, v, floor = A(x), invertible_data(A, x), damping(A)
    with tight(A):
        if floor:
            z = A.pinv(v)
            left = A.adjoint(A(z)) + floor**2 * z - A.adjoint(v)
            law.holds((norm(left) <= off * norm(A.adjoint(v))).all(), "`pinv` does not solve its damped equations")
            return
        z = A.pinv(y)
        law.near(A(z), y, off, off * float(y.abs().max()) + slack(A), "A A⁺ A x")
        law.near(A.pinv(A(z)), z, off, off * float(z.abs().max()), "A⁺ A A⁺ y")
        u = A.pinv(v)
        other = images(A, seed=4)
        w = invertible_data(A, x, seed=5)
        pairs = {"A⁺ A": (x, z, other, A.pinv(A(other))), "A A⁺": (v, A(u), w, A(A.pinv(w)))}
    for name, (a, Pa, b, Pb) in pairs.items():
        scale = norm(a) * norm(b)
        law.near(dot(a, Pb) / scale, dot(Pa, b) / scale, 0.0, off, f"⟨a, {name} b⟩ and ⟨{name} a, b⟩ over ‖a‖ ‖b‖")


def agrees_with_its_matrix(A: LinearOperator) -> None:
    """Aᵀ, A⁺ and both solves are those of A's matrix; only for images of at most 2,000 numbers.

    The matrix is that of `forward`; torch's dense linear algebra does the rest.
    """
    if torch.Size(A.shape).numel() > MOST:
        return
    law = Law(A, "Aᵀ, A⁺ and the solves are those of A's matrix", "a closed form that is one for another operator")
    exact = exactness(A) < 1e-9
    A, x = double(A), images(A)
    with double_by_default(), tight(A):
        D, y, b, rho = matrix(A), A(x), images(A, seed=2), torch.logspace(-3, 0, len(x))
        v = random_data(A, x)
        law.near(A.adjoint(v)[0].flatten(), D.T @ v[0].flatten(), 0.0, 1e-10 if exact else 1e-4, "Aᵀ v")
        M = D.T @ D
        eye = torch.eye(len(M))
        near = 1e-6 if exact else 1e-2
        if floor := damping(A):
            inverse = torch.linalg.solve(M + floor**2 * eye, D.T @ y[0].flatten())
        else:
            inverse = torch.linalg.pinv(D, rtol=slack(A) or 1e-10) @ y[0].flatten()
        if exact or floor:  # in single precision, which singular values count as 0 is a matter of rounding
            law.near(A.pinv(y)[0].flatten(), inverse, near, near, "A⁺ y")
        for r in (rho, 0.3):
            least = float(torch.as_tensor(r).flatten()[0])
            near = 1e-7 if exact else 1e-2
            solved = torch.linalg.solve(M + least * eye, b[0].flatten())
            law.near(A.normal_solve(b, r)[0].flatten(), solved, near, near, f"(AᵀA + {least:g} I)⁻¹ b")
            near += 2 * slack(A) / least  # what A counts as unseen changes the estimate by at most cutoff/ρ
            solved = torch.linalg.solve(M + least * eye, D.T @ v[0].flatten())
            law.near(A.ridge(v, r)[0].flatten(), solved, near, near, f"(AᵀA + {least:g} I)⁻¹ Aᵀ y")


def singular_values(A: SpectralOperator) -> None:
    """A = U diag(s) Vᵀ with V orthogonal, s ≥ 0, UᵀU = I where s > 0, and U and Uᵀ blind where s = 0."""
    law = Law(A, "A = U diag(s) Vᵀ", "a transform that is not orthonormal, or U and Uᵀ that do not mask where s = 0")
    off, A, x = exactness(A), double(A), images(A)
    z = A.Vt(x)
    size = float(x.abs().max())
    law.near(A.V(z), x, 0.0, off * size, "V Vᵀ x")
    law.near(dot(z, z), dot(x, x), off, 0.0, "‖Vᵀ x‖²")
    law.holds((A.s >= 0).all(), f"s goes down to {float(A.s.min()):g}")
    law.near(A.U(A.s * z), A(x), 0.0, off * max(1.0, float(A(x).abs().max())) + slack(A), "U diag(s) Vᵀ x")
    seen = (A.s > 0).expand_as(z)
    w = torch.randn(z.shape, generator=torch.Generator().manual_seed(6), dtype=z.dtype)
    law.near(A.Ut(A.U(w)), torch.where(seen, w, 0.0), 0.0, 100 * off, "Uᵀ U w")
    v = random_data(A, x)
    law.holds((A.Ut(v)[~seen] == 0).all(), "Uᵀ y is not 0 where s = 0")
    law.same(A.U(w), A.U(torch.where(seen, w, 0.0)), "U w with and without what lies where s = 0")
