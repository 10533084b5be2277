"""Operators of other libraries and plain matrices: SciPy's and PyLops' linear operators, SigPy's linops, DeepInverse's
physics.

None of these libraries is imported here: a thing is known by what it can do.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..checks import instance
from ..errors import MismatchError, ShapeError, SpecError, named
from ..numerics.build_dtype import built
from ..numerics.linalg import cg
from ..types import Data, Image
from .base import AffineOperator, LinearOperator, Operator, iterative
from .dense import Dense
from .modality import COMPLEX

SMALL = 4096  # numbers in an image up to which a matrix gets its singular value decomposition, in less than a minute
Shape = tuple[int, ...]
Map = Callable[[Tensor], Tensor]


class _Linear(torch.autograd.Function):
    """A linear map and its adjoint, each the derivative of the other, any number of times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Map, back: Map) -> Tensor:
        ctx.maps = there, back
        return there(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        there, back = ctx.maps
        return _apply(grads[0], back, there), None, None


def _apply(x: Tensor, there: Map, back: Map) -> Tensor:
    out: Tensor = _Linear.apply(x, there, back)  # type: ignore[no-untyped-call]
    return out


class _Unknown(LinearOperator):
    """A linear operator of which nothing is known: data may lie outside its range."""

    @iterative
    def pinv(self, y: Data) -> Image:
        """A⁺ y by the normal equations, which have a solution whatever y is."""
        return cg(lambda v: self.adjoint(self(v)), self.adjoint(y), self.cg_steps, self.cg_tol)


class ForeignLinear(_Unknown):
    """A linear map of another library, with its adjoint: `there` takes (b, *image) to (b, *data), `back` the reverse.

    `title` is what a record calls it, and `otherwise` is what to do where a measurement is real and its data are
    complex, or the reverse. Raises MismatchError if `there` is not linear or `back` is not its adjoint, by a test with
    random numbers.
    """

    probe: Tensor

    def __init__(
        self, shape: Shape, title: str, there: Map, back: Map, network: nn.Module | None = None, otherwise: str = ""
    ) -> None:
        super().__init__(shape)
        self.title, self.there, self.back, self.network, self.otherwise = title, there, back, network, otherwise
        g = torch.Generator().manual_seed(0)
        u = torch.randn(1, *self.shape, generator=g)
        y = there(u)
        if (there(-2 * u) + 2 * y).abs().max() > 1e-3 * y.abs().max():
            raise MismatchError(f"{title} is not linear: A(-2u) differs from -2 A(u)")
        v = torch.randn(y.shape, dtype=y.dtype, generator=g)
        x = back(v)
        if x.shape != u.shape:
            raise ShapeError(f"{title}: its adjoint gives images of shape {tuple(x.shape[1:])}, not {self.shape}")
        one, other = float((y.conj() * v).real.sum()), float((u * x).sum())
        if abs(one - other) > 1e-3 * float(y.norm() * v.norm()):  # rounding of float32 is 1e-5 of it
            raise MismatchError(f"{title}: its adjoint does not fit, <Au, v> is {one:.4g} and <u, A'v> {other:.4g}")
        self.register_buffer("probe", x.contiguous())  # tells this operator from others in a record

    def intake(self, y: Tensor) -> Data:
        """Data as they are. Raises MismatchError for real ones where its own are complex, and the reverse."""
        if y.is_complex() != self.complex_data:
            given, found = ("complex", "real") if self.complex_data else ("real", "complex")
            more = f"; {self.otherwise}" if self.otherwise else ""
            raise MismatchError(f"{self.title} gives {given} numbers, and the measurement is {found}{more}")
        return y

    def forward(self, x: Image) -> Data:
        return _apply(x, self.there, self.back)

    def adjoint(self, y: Data) -> Image:
        return _apply(y, self.back, self.there)


class Matrix(_Unknown):
    """y = M x for a matrix M, (data, pixels), too large for its singular value decomposition (`dense` has that)."""

    matrix: Tensor

    def __init__(self, shape: Shape, matrix: Tensor) -> None:
        super().__init__(shape)
        self.title = f"a matrix {tuple(matrix.shape)}"
        self.register_buffer("matrix", built(matrix))

    def forward(self, x: Image) -> Data:
        return x.flatten(1) @ self.matrix.T

    def adjoint(self, y: Data) -> Image:
        return (y @ self.matrix).reshape(len(y), *self.shape)


class Lit(AffineOperator):
    """y = L(x) for a linear L of images that are 0 in the dark: here black is −1."""

    def __init__(self, linear: LinearOperator, title: str) -> None:
        super().__init__(linear.shape)
        self.linear, self.title = linear, title


class ForeignOperator(Operator):
    """A differentiable map of another library, (b, *image) to (b, *data)."""

    def __init__(self, shape: Shape, title: str, f: Map, network: nn.Module | None = None) -> None:
        super().__init__(shape)
        self.title, self.f, self.network = title, f, network

    def forward(self, x: Image) -> Data:
        return self.f(x)


def from_linop(linop: Any, shape: Shape | None = None) -> Operator:
    """A `scipy.sparse.linalg.LinearOperator`, or one of PyLops, as an operator on images of `shape`.

    Example:

        A = xhat.from_linop(scipy.sparse.linalg.aslinearoperator(M), shape=(1, 64, 64))
        r = xhat.restore(y, operator=A, noise=0.01)          # y of shape (M.shape[0],)

    Parameters:
        linop: has `matvec` on vectors of all numbers of an image, and its adjoint `rmatvec`. Images are flattened as
            NumPy does it, channel by channel and row by row.
        shape: of one image, (c, h, w) for pictures. None takes `linop.dims`, which PyLops has.

    It runs on the CPU, image by image. Data are vectors, complex if the operator's are. Raises
    ShapeError if the shape does not fit, and MismatchError if there is no adjoint or it is wrong.
    """
    if isinstance(linop, type) or not callable(getattr(linop, "matvec", None)) or not hasattr(linop, "shape"):
        hint = "; a matrix is an operator as it is" if isinstance(linop, np.ndarray | Tensor) else ""
        raise SpecError(f"a linear operator has matvec, rmatvec and shape, which {named(linop)} lacks{hint}")
    title = f"{type(linop).__name__} {tuple(linop.shape)}"
    if shape is None and len(dims := tuple(getattr(linop, "dims", ()))) > 1:
        shape = (1, *dims) if len(dims) == 2 else dims
    if shape is None or int(np.prod(shape)) != linop.shape[1]:
        raise ShapeError(f"{title}: give shape=, that of an image of {linop.shape[1]} numbers, not {shape}")
    like = tuple(shape)

    def there(x: Tensor) -> Tensor:
        return _rows(x, lambda v: linop.matvec(v.ravel()).ravel())

    def back(y: Tensor) -> Tensor:
        try:
            return _real(_rows(y, lambda v: linop.rmatvec(v.ravel()).reshape(like)))
        except NotImplementedError as e:
            raise MismatchError(f"{title} has no adjoint: give it rmatvec") from e

    return ForeignLinear(like, title, there, back)


def from_sigpy(linop: Any, real: bool = False) -> Operator:
    """A linop of SigPy as an operator.

    Example:

        A = xhat.from_sigpy(sigpy.mri.linop.Sense(maps, weights=mask))
        r = xhat.restore(y, operator=A, noise=0.01, prior="brain")
        A = xhat.from_sigpy(sigpy.linop.Resize((64, 64), (128, 128)), real=True)   # of pictures

    Parameters:
        linop: has `ishape`, `oshape` and the adjoint `H`; it runs on the CPU, image by image.
        real: its images are real numbers: (1, h, w) for an `ishape` of two axes, otherwise `ishape` itself. Without it
            they are complex: (2, *ishape), the real and the imaginary part. A linop does not say it: one with real
            weights has either. Where it is given as it is, `restore(y, operator=linop, shape=...)`, the shape says it.

    Data have the shape `oshape`. Those of complex images are complex; those of real images are what the linop makes of
    real numbers: complex behind an FFT, real behind real weights. `restore` refuses a y of the other kind in one line
    (MismatchError). Raises SpecError for what is no linop or another `real`, and MismatchError if the
    adjoint is wrong.
    """
    if isinstance(linop, type) or not (hasattr(linop, "ishape") and hasattr(linop, "oshape") and callable(linop)):
        raise SpecError(f"a linop of SigPy has ishape, oshape and H, which {named(linop)} lacks")
    instance("real", real, bool, "True for real images or False for complex ones")
    inner = tuple(int(n) for n in linop.ishape)
    shape = _real_shape(inner) if real else (2, *inner)

    def there(x: Tensor) -> Tensor:
        return _rows(x, lambda v: linop(v.reshape(inner) if real else v[0] + 1j * v[1]))

    def back(y: Tensor) -> Tensor:
        x = _rows(y, lambda v: linop.H(v))
        return _real(x).reshape(len(y), *shape) if real else torch.stack([_real(x), x.imag], 1)

    title = f"{type(linop).__name__} {list(linop.oshape)}x{list(linop.ishape)}"
    if real:
        otherwise = "its images may be complex: xhat.from_sigpy(linop) without real=True"
    elif np.iscomplexobj(linop(np.zeros(inner, np.float32))):
        otherwise = "give y as complex numbers"
    else:
        otherwise = "if its images are real numbers, give xhat.from_sigpy(linop, real=True)"
    A = ForeignLinear(shape, title, there, back, otherwise=otherwise)
    if not real and COMPLEX.fits(shape):
        A.modality = COMPLEX
    return A


def _real_shape(inner: Shape) -> Shape:
    """That of real images of a linop with this `ishape`."""
    return (1, *inner) if len(inner) == 2 else inner


def from_deepinv(physics: Any, shape: Shape | None = None, white: float = 1.0, black: float = 0.0) -> Operator:
    """A physics of DeepInverse as an operator, without its noise.

    A call `physics(x)` adds noise; here `physics.A` is taken, and the noise is said to `restore`.

    Example:

        A = xhat.from_deepinv(physics, shape=(3, 64, 64))
        r = xhat.restore(y[0], operator=A, noise=0.05)       # y = physics(x), of images x in [0, 1]

    Parameters:
        physics: has `A`, a differentiable map on batches (b, c, h, w), and `A_adjoint` if it is linear.
        shape: of one image, (c, h, w). None takes `physics.img_size`.
        white, black: what white and black are in the images of the physics: 1 and 0 in DeepInverse. `restore` returns
            images in [−1, 1] as always; y and the noise stay in the units of the physics.

    Raises ShapeError if no shape is known, SpecError for other blacks than 0 or −`white`, and MismatchError if the
    adjoint does not fit.
    """
    if isinstance(physics, type) or not callable(getattr(physics, "A", None)):
        raise SpecError(f"a physics of DeepInverse has A, which {named(physics)} lacks")
    title = f"{type(physics).__name__} of deepinv"
    shape = shape or getattr(physics, "img_size", None)
    if shape is None:
        raise ShapeError(f"{title}: give shape=, the shape of one image, (c, h, w)")
    if not white > black or black not in (0.0, -white):
        raise SpecError(f"{title}: black must be 0 or -white, not {black:g} with white {white:g}")
    scale, shape = (white - black) / 2, tuple(shape)
    network = physics if isinstance(physics, nn.Module) else None

    def there(x: Tensor) -> Tensor:
        y = physics.A(scale * x)
        if not isinstance(y, Tensor):
            raise MismatchError(f"{title} gives a {type(y).__name__}, not one tensor of data")
        return y

    def back(y: Tensor) -> Tensor:
        x: Tensor = physics.A_adjoint(y)
        return scale * x

    if not callable(getattr(physics, "A_adjoint", None)):
        offset = 1.0 if black == 0 else 0.0
        return ForeignOperator(shape, title, lambda x: there(x + offset), network)
    linear = ForeignLinear(shape, title, there, back, network)
    return Lit(linear, title) if black == 0 else linear


def foreign(given: Any, shape: Shape | None = None) -> Operator | None:
    """The operator that a matrix or a thing of another library is, on images of `shape`; None if it is none of these.

    Raises ShapeError if a shape is needed and not known.
    """
    if isinstance(given, Operator | str | type):
        return None
    if hasattr(given, "ishape") and hasattr(given, "oshape"):
        return from_sigpy(given, real=shape is not None and tuple(shape) == _real_shape(tuple(given.ishape)))
    if hasattr(given, "matvec") and hasattr(given, "rmatvec"):
        return from_linop(given, shape)
    if callable(getattr(given, "A", None)):
        return from_deepinv(given, shape)
    if hasattr(given, "tocsr"):  # a sparse matrix or array of SciPy
        return from_linop(import_module("scipy.sparse.linalg").aslinearoperator(given), shape)
    if not isinstance(given, Tensor | np.ndarray):
        return None
    if given.ndim != 2:
        raise ShapeError(f"an array as operator is a matrix, (data, pixels), not one of shape {tuple(given.shape)}")
    if shape is None:
        raise ShapeError("a matrix as operator needs shape=, the shape of one image, (c, h, w)")
    n = int(np.prod(shape))
    if n <= SMALL or given.shape[1] != n:  # which raises what is wrong
        return Dense(tuple(shape), given)
    M = torch.as_tensor(given)
    return Matrix(tuple(shape), M.to_dense())


def _rows(x: Tensor, f: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """`f`, a function of arrays, of each image or measurement of a batch, in the precision of `x`."""
    rows = [np.asarray(f(row)) for row in x.detach().cpu().resolve_conj().numpy()]
    out = torch.from_numpy(np.stack(rows))
    double = x.dtype in (torch.float64, torch.complex128)
    real = torch.float64 if double else torch.float32
    return out.to(x.device, (torch.complex128 if double else torch.complex64) if out.is_complex() else real)


def _real(x: Tensor) -> Tensor:
    return x.real if x.is_complex() else x
