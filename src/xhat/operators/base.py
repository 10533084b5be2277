"""Forward operators A: x ↦ y. Capabilities are types: differentiable, linear, or diagonal in a known basis.

Build one as `Cls(shape, **physics)`: `shape` is that of one image, every other argument has the literature's default.
Tensors are buffers, so `.to(device)` and `.double()` just work. A buffer named in `per_image` has a leading axis of
size 1 (shared) or b (one for each image).
"""

import copy
import math
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property, wraps
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from ..checks import image_shape
from ..errors import ShapeError
from ..files.measurement import Measurement
from ..files.room import fits
from ..numerics.autodiff import vjp
from ..numerics.calls import one_call
from ..numerics.linalg import bcast, cg
from ..registry import Recorded
from ..types import Data, Image, PerImage
from .modality import PLAIN, Modality, by_shape

L = TypeVar("L", bound="LinearOperator")
O = TypeVar("O", bound="Operator")  # not typing.Self, which beartype cannot check method by method


COUNTED = {"adjoint", "pinv", "normal_solve", "ridge"}
F = TypeVar("F", bound=Callable[..., Any])


def iterative(method: F) -> F:
    """Marks a solve that applies A and Aᵀ again and again: its cost is the number of these calls, not one call."""
    method.iterative = True  # type: ignore[attr-defined]
    return method


def _one_call(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`method` with each call counted once for each image, whatever it is made of."""

    @wraps(method)
    def counted(self: "Operator", first: Tensor, *rest: Any, **options: Any) -> Tensor:
        with one_call("operator", len(first)):
            return method(self, first, *rest, **options)

    return counted


class Operator(Recorded, nn.Module):
    """A deterministic, differentiable map from an image to noiseless data.

    If the map is not differentiable (quantisation, JPEG), `forward` carries a proxy gradient.
    """

    per_image: ClassVar[tuple[str, ...]] = ()
    source: ClassVar[str] = ""  # the paper or code that defines it, for `xhat list`
    example: ClassVar[tuple[int, ...]] = (3, 64, 64)  # the shape of an image that it takes, for `xhat list solvers`
    one_precision: ClassVar[bool] = False  # whether `forward` may take the default precision only
    least: float | None = None  # the least value that a number of its images can have, such as that of no flux
    modality: Modality = PLAIN  # what its images are; the class of an operator that takes any leaves it to their shape

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = image_shape(shape)
        fits(16 * math.prod(self.shape), f"an image of shape {self.shape}")
        if type(self).modality is PLAIN:
            self.modality = by_shape(self.shape)

    @abstractmethod
    def forward(self, x: Image) -> Data:
        """A(x) for images `x` (b, *image): (b, *data). Subclasses define it; users call the operator itself."""

    def __call__(self, x: Image) -> Data:
        if tuple(x.shape[1:]) != self.shape:
            given = tuple(x.shape[1:])
            raise ShapeError(f"{type(self).__name__} was built for images of shape {self.shape}, not {given}")
        if bad := {n for n in self.batches() if n not in (1, len(x))}:
            raise ShapeError(f"{type(self).__name__} was built for {bad.pop()} images, not {len(x)}")
        with one_call("operator", len(x)):
            y: Data = super().__call__(x.contiguous())  # sums over strided memory may be rounded in another order
        return y

    def __init_subclass__(cls) -> None:
        """Every method in `COUNTED` that a class brings counts as one call, unless it is `iterative`."""
        super().__init_subclass__()
        for name in COUNTED & vars(cls).keys():
            if not getattr(vars(cls)[name], "iterative", False):
                setattr(cls, name, _one_call(vars(cls)[name]))

    @classmethod
    def understood(cls, found: Measurement) -> Measurement:
        """A measurement as it came, completed by what its numbers say to this operator; the same unless overridden.

        An operator of recorded data overrides it: arrays without a header then go the way of the files of its science.
        """
        return found

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        """The shape of the image that a measurement of `data_shape` is of; the same shape unless overridden.

        `options` are those of the operator. Raises ShapeError or SpecError if the data do not tell it.
        """
        return tuple(data_shape)

    def intake(self, y: Tensor) -> Data:
        """A raw recording, (b, *raw), as data of this operator; unchanged unless overridden."""
        return y

    @property
    def detector(self) -> object:
        """What a noise model must know of the detector, for `Noise.bind`; None unless overridden."""
        return None

    @property
    def support(self) -> Tensor | None:
        """Which data an image can change: bool, broadcast against (b, *data). None, the default, means all of them.

        Where it is False A(x) is 0 whatever x is: the hole of an inpainting mask, rays of a scanner that pass beside
        the image. A likelihood puts 0 there and does not count these data, so that nothing depends on what a
        measurement happens to hold there.
        """
        return None

    @cached_property
    def _of_zeros(self) -> tuple[tuple[int, ...], bool]:
        """The shape of one measurement, and whether its numbers are complex, as one of an image of zeros tells."""
        one = self.take(torch.zeros(1, dtype=torch.long))
        y = one.forward(one.blank(1))
        return tuple(y.shape[1:]), y.is_complex()

    @cached_property
    def data_shape(self) -> tuple[int, ...]:
        """The shape of one measurement, without the batch."""
        return self._of_zeros[0]

    @property
    def complex_data(self) -> bool:
        """Whether measurements are complex numbers. Those of the registry are real: two channels, or pairs."""
        return self._of_zeros[1]

    def batches(self) -> list[int]:
        """For how many images each `per_image` buffer is, parts included; 1 fits any number."""
        parts = [m for m in self.children() if isinstance(m, Operator)]
        return [*(len(self.get_buffer(k)) for k in self.per_image), *(n for m in parts for n in m.batches())]

    def blank(self, batch: int) -> Image:
        """A batch of zero images with the dtype and device of the operator's buffers."""
        like = next((b for b in self.buffers() if b.is_floating_point()), torch.empty(0))
        return torch.zeros(batch, *self.shape, dtype=like.dtype, device=like.device)

    def take(self: O, index: Tensor) -> O:
        """The operator for the images `index`, which may repeat or leave out images of the batch."""
        new = copy.copy(self)
        new._modules = {k: m.take(index) if isinstance(m, Operator) else m for k, m in self._modules.items()}
        new._buffers = {
            k: b[index.to(b.device)] if k in self.per_image and b is not None and len(b) > 1 else b
            for k, b in self._buffers.items()
        }
        return new

    def double_copy(self: O) -> O:
        """The operator in double precision; this one stays as it is."""
        new = copy.copy(self)
        new._modules = {
            k: m.double_copy() if isinstance(m, Operator) else copy.deepcopy(m).double()
            for k, m in self._modules.items()
            if m is not None
        }
        new._buffers = {
            k: b.double() if b is not None and b.is_floating_point() else b for k, b in self._buffers.items()
        }
        return new

    def __matmul__(self, other: "Operator") -> "Operator":
        """`(A @ B)(x) = A(B(x))`. This sign and those below are given by `algebra.py`."""
        raise NotImplementedError

    def __add__(self, other: "Operator") -> "Operator":
        """`(A + B)(x) = A(x) + B(x)`."""
        raise NotImplementedError

    def __mul__(self, factor: float | int) -> "Operator":
        """`(A * c)(x) = c A(x)`."""
        raise NotImplementedError

    def __rmul__(self, factor: float | int) -> "Operator":
        """`(c * A)(x) = c A(x)`."""
        raise NotImplementedError


class PinvOperator(Operator):
    """An operator with a generalised inverse A⁺: A(A⁺(A(x))) = A(x)."""

    @abstractmethod
    def pinv(self, y: Data) -> Image:
        """A⁺(y), (b, *image): an image that A maps to y, if there is one."""


class ProxyOperator(PinvOperator):
    """An operator whose derivative is 0 almost everywhere; its `forward` carries the identity's gradient instead.

    The proxy of LMAPS, arXiv 2510.07343: ∇‖y − A(x)‖² ≈ 2 (A(x) − y). Data have the shape of the image.
    """

    @abstractmethod
    def code(self, x: Image) -> Data:
        """The map itself, without a gradient."""

    def pinv(self, y: Data) -> Image:
        """y itself, because coding a decoded image again changes nothing (real JPEG: little)."""
        return y

    def forward(self, x: Image) -> Data:
        return (x - x.detach()) + self.code(x.detach())  # the bracket is exactly 0 and carries the gradient


class CellOperator(PinvOperator):
    """An operator that rounds or clips numbers that depend linearly on the image: y says in which cell each one lies.

    Near a noise level it acts as a linear measurement of these numbers; without noise x can be moved into the cells.
    """

    def cells(self, y: Data, noisy: bool) -> Tensor:
        """What `posterior_mean` and `project` must know of y, batch first; y itself unless overridden."""
        return y

    @abstractmethod
    def posterior_mean(self, x: Image, var: PerImage, cells: Tensor, std: PerImage) -> Image:
        """The mean of x' ~ N(`x`, `var` I) given y = A(x') + `std` n, (b, *image); `var` > 0 and `std` ≥ 0 are (b,)."""

    @abstractmethod
    def project(self, x: Image, cells: Tensor) -> Image:
        """An image near `x` in the cells, so that A maps it to y: the nearest one where that is cheap."""


class LinearOperator(PinvOperator):
    """A linear `Operator`; override `adjoint`, `pinv` or `normal_solve` only where a faster form exists."""

    cg_steps: ClassVar[int] = 500
    cg_tol: ClassVar[float] = 1e-4
    floor: ClassVar[float] = 0.0  # where not 0, `pinv` is (AᵀA + floor² I)⁻¹ Aᵀ: it damps what A hardly sees

    def adjoint(self, y: Data) -> Image:
        """Aᵀ y for data `y` (b, *data): (b, *image)."""
        x = self.blank(len(y)).to(y.real.dtype)
        return vjp(self.forward, x)[1](y)

    @iterative
    def pinv(self, y: Data) -> Image:
        """A⁺ y, the least-squares solution of least norm, (b, *image).

        By conjugate gradient for A Aᵀ, as long as nothing faster overrides it. Where A is singular it needs data that A
        makes of an image: others, noisy ones for example, end in DivergedError.
        """
        A, b = in_double(self, y)
        return A.adjoint(cg(lambda v: A(A.adjoint(v)), b, self.cg_steps, self.cg_tol)).to(y.real.dtype)

    @iterative
    def normal_solve(self, b: Image, rho: Tensor | float) -> Image:
        """(AᵀA + ρ I)⁻¹ b for ρ > 0, a number or one per image, shape (b,)."""
        A, wide = in_double(self, b)
        return cg(lambda v: A.adjoint(A(v)) + bcast(rho, v) * v, wide, self.cg_steps, self.cg_tol).to(b.dtype)

    @property
    def H(self) -> "LinearOperator":
        """Aᵀ as an operator on data. This and `norm` are given by `algebra.py`."""
        raise NotImplementedError

    def norm(self, x: Image | None = None, steps: int = 20) -> PerImage:
        """‖A‖, the largest singular value, for each image, (b,), by `steps` of power iteration from `x`.

        Without `x` the result is (1,) unless A holds something for each image.
        """
        raise NotImplementedError

    @iterative
    def ridge(self, y: Data, rho: Tensor | float, close: Tensor | float = 0.0) -> Image:
        """(AᵀA + ρ I)⁻¹ Aᵀ y = Aᵀ (A Aᵀ + ρ I)⁻¹ y for ρ > 0.

        An iterative solver that can tell its error may stop where its root mean square is `close`, in units of x.
        """
        return self.normal_solve(self.adjoint(y), rho)


def in_double(A: L, b: Tensor) -> tuple[L, Tensor]:
    """A and the right-hand side `b` in double precision, for conjugate gradient.

    Its iterates amplify rounding without a bound: in single precision, the 1e-7 by which a batch of two differs from
    one image moved an image by 0.2. Both stay as they are on a device without double precision, and if a part of A is a
    user's function, which may be written for one precision.
    """
    if b.device.type == "mps" or any(isinstance(m, Operator) and m.one_precision for m in A.modules()):
        return A, b.contiguous()
    return A.double_copy(), b.contiguous().to(torch.promote_types(b.dtype, torch.float64))


class DampedOperator(LinearOperator):
    """An ill-conditioned linear operator: some singular values are tiny but not 0, so A⁺ would amplify noise and
    rounding.

    Linear systems are solved by preconditioned conjugate gradient, and `pinv` is (AᵀA + floor² I)⁻¹ Aᵀ.
    """

    floor: ClassVar[float] = 1e-2
    told_by_gains: ClassVar[bool] = (
        False  # whether the last steps say what the error is, not the preconditioned residual
    )

    @abstractmethod
    def precondition(self, r: Image, rho: Tensor | float) -> Image:
        """An approximation of (AᵀA + ρ I)⁻¹ r that is symmetric and cheap; of a residual r it estimates the error."""

    @iterative
    def pinv(self, y: Data) -> Image:
        """(AᵀA + floor² I)⁻¹ Aᵀ y."""
        return self.normal_solve(self.adjoint(y), self.floor**2)

    @iterative
    def normal_solve(self, b: Image, rho: Tensor | float) -> Image:
        return self.solve(b, rho, 0.0)

    @iterative
    def ridge(self, y: Data, rho: Tensor | float, close: Tensor | float = 0.0) -> Image:
        return self.solve(self.adjoint(y), rho, close)

    def solve(self, b: Image, rho: Tensor | float, close: Tensor | float) -> Image:
        """(AᵀA + ρ I)⁻¹ b to `cg_tol`, or until the error is at most `close`, as `told_by_gains` lets it be told."""
        A, wide = in_double(self, b)
        return cg(
            lambda v: A.adjoint(A(v)) + bcast(rho, v) * v,
            wide,
            self.cg_steps,
            self.cg_tol,
            precondition=lambda r: A.precondition(r, rho),
            close=close,
            least=rho if self.told_by_gains else None,
        ).to(b.dtype)


class AffineOperator(Operator):
    """A(x) = L (x − zero) with L linear: physics that is linear in a quantity which vanishes where x = `zero`.

    `likelihood` subtracts the `offset` L (−zero), the data of a grey image x = 0, from a measurement with Gaussian
    noise or none, and solvers see the linear operator L.
    """

    zero: ClassVar[float] = -1.0  # black
    linear: LinearOperator

    def forward(self, x: Image) -> Data:
        return self.linear.forward(x - self.zero)

    @property
    def support(self) -> Tensor | None:
        return self.linear.support

    @property
    def offset(self) -> Data:
        """A(0), (1, *data)."""
        return self.forward(self.linear.blank(1))


class SpectralOperator(LinearOperator):
    """A linear operator whose singular value decomposition A = U diag(s) Vᵀ is cheap to apply.

    Spectral coordinates are real and have a shape of their own. `s`, shape (1 or b, *spectral), is 0 wherever A sees
    nothing. V is orthogonal, so white noise stays white.
    """

    one_basis: ClassVar[bool] = False  # whether V is the same for all images, whatever of A differs between them

    s: Tensor  # the singular values on the spectral grid, ≥ 0: a buffer or a property

    @abstractmethod
    def Vt(self, x: Image) -> Tensor:
        """Vᵀ x, an orthogonal transform of the image."""

    @abstractmethod
    def V(self, z: Tensor) -> Image:
        """V z for coordinates `z` (b, …): images (b, *image). It is the inverse of `Vt`."""

    @abstractmethod
    def Ut(self, y: Data) -> Tensor:
        """Uᵀ y on the spectral grid, 0 where s = 0."""

    @abstractmethod
    def U(self, z: Tensor) -> Data:
        """U z, which ignores entries where s = 0."""

    def forward(self, x: Image) -> Data:
        return self.U(self.s * self.Vt(x))

    def adjoint(self, y: Data) -> Image:
        return self.V(self.s * self.Ut(y))

    def pinv(self, y: Data) -> Image:
        return self.V(self.inverse * self.Ut(y))

    def normal_solve(self, b: Image, rho: Tensor | float) -> Image:
        z = self.Vt(b)
        return self.V(z / (self.s**2 + bcast(rho, z)))

    def ridge(self, y: Data, rho: Tensor | float, close: Tensor | float = 0.0) -> Image:
        # what A cannot see stays exactly 0; `normal_solve` would divide its rounding errors by ρ
        z = self.Ut(y)
        return self.V(self.s / (self.s**2 + bcast(rho, z)) * z)

    @property
    def inverse(self) -> Tensor:
        """1/s, and 0 where s = 0."""
        sees = self.s > 0
        return sees / torch.where(sees, self.s, 1.0)
