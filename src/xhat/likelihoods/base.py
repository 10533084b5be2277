"""The likelihood x ↦ p(y | x) of one batch of measurements. What a solver may ask of it is its type."""

from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property, singledispatch
from typing import ClassVar, TypeVar, get_type_hints

import torch
from torch import Tensor

from ..checks import instance
from ..errors import DataError, MismatchError, ShapeError
from ..noise import Gaussian, Noise, Noiseless, Whitened
from ..numerics.linalg import bcast, norm
from ..operators.base import AffineOperator, LinearOperator, Operator, PinvOperator, SpectralOperator
from ..rng import Rng
from ..schedule import Level
from ..spec import called
from ..types import Data, Image, PerImage

Some = TypeVar("Some", bound="Likelihood")
Again = TypeVar("Again", bound="Restated")


@dataclass(frozen=True)
class Likelihood:
    """Any differentiable A and any noise."""

    only_prox: ClassVar[bool] = False  # whether `prox` alone knows all of it, and A and `residual` do not

    A: Operator
    noise: Noise
    y: Data

    def __post_init__(self) -> None:
        # no solver, norm or record ever sees what no image can change
        object.__setattr__(self, "y", measured(self.A, self.y))

    def residual(self, x: Image) -> Data:
        """y − A(x), 0 outside the operator's `support`; or a residual that the noise model has of its own."""
        return self.noise.residual(self.y, self.A(x))

    @cached_property
    def count(self) -> PerImage:
        """How many independent numbers `residual` compares, (b,): those of y that an image can change."""
        return self.noise.count(self.y, self.A.support)

    @cached_property
    def explained(self) -> PerImage:
        """‖residual‖² that the noise model expects of a perfect fit, (b,): what a solver may stop at.

        In the units of `residual`: for Gaussian noise it is σ² `count`, for closure quantities, whose residual is
        whitened, `count` itself, and for noiseless data 0.
        """
        return self.noise.expected_residual(self.y, self.A.support) ** 2 * self.count

    def noisy(self, x: Image) -> PerImage:
        """The share of ‖residual(x)‖² that noise explains, from 0 to 1, (b,). It is 0 for noiseless data."""
        if not self.explained.any():
            return self.explained
        found = norm(self.residual(x)) ** 2
        return (self.explained / found.clamp_min(torch.finfo(found.dtype).tiny)).clamp_max(1)

    def misfit(self, x: Image) -> tuple[PerImage, PerImage]:
        """The root mean square of `residual` over its `count` numbers, and what the noise model expects of it, (b,).

        This is the pair that records, progress bars and `stop_at` compare.
        """
        clean = self.A(x)
        found = norm(self.noise.residual(self.y, clean)) / self.count.sqrt()
        return found, self.noise.expected_residual(clean, self.A.support)

    def nll(self, x: Image) -> PerImage:
        """−log p(y | x) of images `x` (b, *image), in nats: (b,)."""
        return self.noise.nll(self.y, self.A(x))

    @property
    def gain(self) -> PerImage:
        """How many times ‖A‖² of the measurement itself the largest curvature of σ_y² `nll` is, (1 or b,): 1, unless a
        problem has more than the measurement. A gradient method divides its step by it.
        """
        return self.y.new_ones(1, dtype=self.y.real.dtype)

    def evened(self, step: Image, rho: PerImage) -> Image:
        """A step (b, *image) of gradient descent on σ_y² `nll` + ρ‖x‖²/2, of a length for ‖A‖ ≤ 1, where a problem with
        more than the measurement has larger curvature: the step itself, unless it is one.

        `rho`, (b,), is at least 0. The result is (1 + ρ) ((1 + ρ) I + B)⁻¹ step, with B the curvature of what is more.
        """
        return step

    @property
    def level_of_images(self) -> bool:
        """Whether σ_y is a noise level of images, too: the noise is Gaussian, and A maps the white image to white where
        it sees it, as blur and masks do, or to white on average, as a light that flickers does, or its largest singular
        value is near 1, as with a sampled Fourier transform.
        """
        return isinstance(self.noise, Gaussian) and not self.y.is_complex() and self._unit

    @cached_property
    def _unit(self) -> bool:
        white = self.A(self.y.new_ones(1, *self.A.shape).expand(len(self.y), *self.A.shape))
        if (white.amax() - 1).abs() < 0.1:
            return True
        seen = white[white != 0]
        if seen.numel() and seen.amin() > 0.5 and seen.amax() < 2 and (seen.mean() - 1).abs() < 0.1:
            return True
        # six steps of power iteration find the norm from below; a random start has parts along all of MRI's directions
        return isinstance(self.A, LinearOperator) and bool(((self.A.norm(steps=6) - 1).abs() < 0.2).all())

    def noise_image(self, rng: Rng) -> Image:
        """N(0, I) in the shape of the images, (b, *image)."""
        return rng.randn_like(self.y.new_empty(len(self.y), *self.A.shape, dtype=self.y.real.dtype))

    def take(self: Some, index: Tensor) -> Some:
        """The likelihood of the images `index`, which may repeat or leave out images of the batch."""
        return replace(self, A=self.A.take(index), noise=self.noise.take(index), y=self.y[index.to(self.y.device)])

    def spread(self: Some, particles: int) -> Some:
        """The likelihood of `particles` flat particles for each image: its data are repeated that often."""
        return self.take(torch.arange(len(self.y)).repeat_interleave(particles))

    def to(self: Some, device: torch.device | str) -> Some:
        """The same likelihood with its operator and data on `device`."""
        return replace(self, A=self.A.to(device), y=self.y.to(device))


@dataclass(frozen=True)
class Restated(Likelihood):
    """The measurement `pixel` as a problem of another operator, or with more than it: its counts are that one's."""

    pixel: Likelihood

    @property
    def count(self) -> PerImage:
        return self.pixel.count

    @property
    def explained(self) -> PerImage:
        return self.pixel.explained

    def take(self: Again, index: Tensor) -> Again:
        return replace(super().take(index), pixel=self.pixel.take(index))

    def to(self: Again, device: torch.device | str) -> Again:
        return replace(super().to(device), pixel=self.pixel.to(device))


@dataclass(frozen=True)
class LeastSquares(Likelihood):
    """−log p(y | x) = ½‖r(x)‖², where the residual r, (b, numbers), is the noise model's own and has variance 1."""

    noise: Whitened


@dataclass(frozen=True)
class PinvGaussian(Likelihood):
    """y = A(x) + σ n, σ ≥ 0, with a generalised inverse of A at hand: linear operators, codes, clipping."""

    A: PinvOperator
    noise: Gaussian | Noiseless

    @property
    def var(self) -> PerImage:
        """σ_y² per image, 0 for noiseless data."""
        return self.noise.std(self.y) ** 2

    def prox(self, x: Image, rho: Tensor | float) -> Image:
        """x + (A⁺(y) − A⁺(A(x)))/(1 + ρ): the form that ΠGDM gives to operators that are not linear.

        It is the linear formula below where A Aᵀ = I. ρ ≥ 0 is a number or one per image.
        """
        return self.guided(x, rho)

    def guided(self, x: Image, rho: Tensor | float) -> Image:
        """`prox` by the formula of ΠGDM and DDNM, whatever A is; for linear operators the two are the same."""
        return x + (self.A.pinv(self.y) - self.A.pinv(self.A(x))) / (1 + bcast(rho, x))


@dataclass(frozen=True)
class LinearGaussian(PinvGaussian):
    """y = A x + σ n with A linear and σ ≥ 0: what closed forms need."""

    A: LinearOperator

    def prox(self, x: Image, rho: Tensor | float, close: float = 0.05) -> Image:
        """argmin ‖y − A x'‖² + ρ ‖x' − x‖², ρ ≥ 0 a number or one per image; ρ = 0 projects on A x' = y.

        x' = x + (AᵀA + ρ I)⁻¹ Aᵀ (y − A x) = x + Aᵀ (A Aᵀ + ρ I)⁻¹ (y − A x), the mode under x' ~ N(x, σ_y²/ρ I).
        Where it takes conjugate gradient, the error left is about `close` times that standard deviation σ_y/√ρ.
        """
        res = self.residual(x)
        if isinstance(rho, Tensor) and not (rho > 0).all():
            if (rho > 0).any():
                raise MismatchError("a batch mixes noiseless and noisy measurements")
            rho = 0.0
        if not isinstance(rho, Tensor) and rho == 0:
            return x + self.A.pinv(res)
        return x + self.A.ridge(res, rho, close * (self.var / rho).sqrt())

    def guided(self, x: Image, rho: Tensor | float) -> Image:
        return self.prox(x, rho)

    def draw(self, x: Image, r: float, rng: Rng) -> Image:
        """An exact draw from N(x₀; x, r² I) · p(y | x₀), by perturbing both and solving (Papandreou & Yuille, 2010)."""
        noisy = replace(self, y=self.y + bcast(self.noise.std(self.y), self.y) * rng.randn_like(self.y))
        return noisy.prox(x + r * rng.randn_like(x), self.var / r**2, close=0.01)


@dataclass(frozen=True)
class SpectralGaussian(LinearGaussian):
    """A linear-Gaussian likelihood whose operator has a cheap SVD."""

    A: SpectralOperator

    @cached_property
    def ybar(self) -> tuple[Tensor, Tensor]:
        """ȳ = Uᵀ y/s, the measured spectral coordinates of x, and their noise σ_y/s; 0 where A sees nothing."""
        return self.A.inverse * self.A.Ut(self.y), bcast(self.var.sqrt(), self.A.s) * self.A.inverse


@dataclass(frozen=True)
class NoiselessLinear(LinearGaussian):
    """y = A x exactly, A linear: what methods that overwrite a part of the state need."""

    noise: Noiseless

    def overwrite(self, x: Image, s: Level, rng: Rng, weight: float = 1.0) -> Image:
        """x_s with what A sees of it replaced by the measurement noised to level s.

        x_s + w A⁺ (α_s y + σ_s A ε − A x_s), which on a mask is (1 − m) ⊙ x_s + m ⊙ (α_s y + σ_s ε) for w = 1.
        """
        seen = s.alpha * self.y
        if s.sigma > 0:
            seen = seen + s.sigma * self.A(rng.randn_like(x))
        return x + weight * self.A.pinv(seen - self.A(x))


@dataclass(frozen=True)
class NoiselessSpectral(SpectralGaussian, NoiselessLinear):
    """y = A x exactly, with a cheap SVD of A."""

    A: SpectralOperator
    noise: Noiseless


def measured(A: Operator, y: Data) -> Data:
    """`y` with 0 where no image can change it: outside the operator's `support`."""
    return y if A.support is None else torch.where(A.support, y, 0)


def likelihood(A: Operator, noise: Noise, y: Data) -> Likelihood:
    """The most specific likelihood there is for `A` and `noise`.

    Example:

        A = xhat.operator(lambda x: x[..., ::2], shape=(1, 16, 16), linear=True)
        like = xhat.likelihood(A, xhat.Gaussian(0.1), y)  # y is (b, 1, 16, 8), in the units of the images

    What `y`, shape (b, *data), holds outside the operator's `support` is not looked at: the colour of a hole, say.

    Raises ShapeError if `y` is no measurement of `A`, and DataError if it is not finite.
    """
    instance("A", A, Operator, "an Operator")
    instance("noise", noise, Noise, "a Noise")
    instance("y", y, Tensor, "a tensor of measurements, (b, *data)")
    if tuple(y.shape[1:]) != A.data_shape or not len(y):
        raise ShapeError(
            f"{called(A)} on images of shape {A.shape} gives data of shape {A.data_shape}, "
            f"the measurement has {tuple(y.shape[1:])}"
        )
    if y.is_complex() != A.complex_data:
        given, found = ("complex", "real") if A.complex_data else ("real", "complex")
        raise MismatchError(f"{called(A)} gives {given} numbers, and the measurement is {found}")
    if bad := int((~torch.isfinite(measured(A, y).abs())).sum()):
        raise DataError(f"the measurement holds {bad} values that are NaN or infinite")
    y = y.contiguous()  # rounding may depend on the layout in memory
    noise = noise.bind(A.detector)
    return restated(A, noise, y) or most_specific(Likelihood, A=A, noise=noise)(A, noise, y)


@singledispatch
def restated(A: Operator, noise: Noise, y: Data) -> Likelihood | None:  # noqa: ARG001
    """The same measurement as a problem of another operator, which more solvers take; None if there is none.

    A rule is registered for a class of operators with `@restated.register`.
    """
    return None


@restated.register
def _(A: AffineOperator, noise: Noise, y: Data) -> Likelihood | None:
    return likelihood(A.linear, noise, y - A.offset) if isinstance(noise, Gaussian | Noiseless) else None


def most_specific(base: type[Some], **parts: object) -> type[Some]:
    """The most specific class, from `base` on, whose annotated fields take these `parts`.

    A likelihood class needs no registration: it says what it is for by the types of its fields, A and noise above
    all, and by the class that it derives from. One that needs more parts than `base` does is left out. MismatchError if
    two classes fit of which none derives from the other.
    """
    known = {f.name for f in fields(base)} | parts.keys()
    able = [c for c in family(base) if all(f.name in known or f.default is not MISSING for f in fields(c))]
    fit = [c for c in able if all(isinstance(part, get_type_hints(c)[name]) for name, part in parts.items())]
    best = [c for c in fit if all(issubclass(c, d) for d in fit)]
    if not best:
        names, given = ", ".join(c.__name__ for c in fit), ", ".join(type(p).__name__ for p in parts.values())
        raise MismatchError(f"of the likelihoods {names}, which all take {given}, none is derived from all others")
    return best[0]


def family(base: type[Some]) -> list[type[Some]]:
    """`base` and all classes derived from it, each once."""
    return list(dict.fromkeys([base, *(c for sub in base.__subclasses__() for c in family(sub))]))
