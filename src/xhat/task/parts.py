"""From what a user gives (spec strings, objects, plain functions) to the four parts of a problem."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..baselines import BASELINES
from ..baselines.base import Baseline
from ..checks import instance, result, shown
from ..errors import DataError, MismatchError, ShapeError, SpecError, named
from ..files.noted import noting
from ..files.room import text_of
from ..noise import NOISES, Gaussian, Noise, Noiseless
from ..operators.base import LinearOperator, Operator
from ..operators.building import build_operator, kind, operator_spec
from ..operators.foreign import ForeignLinear, ForeignOperator, Lit, Matrix, foreign
from ..operators.modality import PLAIN, Modality
from ..priors import PRIORS, NoPrior, Prior, build_prior
from ..schedule import SCHEDULES, Schedule
from ..solvers import SOLVERS
from ..solvers.base import AnySolver, Solver
from ..solvers.diffstategrad import DiffStateGrad
from ..spec import build, spec_of, without_code, written
from ..types import Data, Image

Shape = tuple[int, ...]
Function = Callable[[Tensor], Tensor]
METHODS = SOLVERS | BASELINES
# What users give as a part. Whatever else it is, `as_noise`, `as_solver` and so on take it or say what to give instead.
OperatorLike = str | Operator | Function | Any
NoiseLike = str | float | Noise | type[Noise] | Any
PriorLike = str | Path | Prior | Callable[[Tensor, float], Tensor] | Any
SolverLike = str | Path | AnySolver | type[AnySolver] | Any


class FunctionOperator(Operator):
    """Your own x ↦ y on batches, (b, *image) to (b, *data)."""

    def __init__(self, shape: Shape, f: Function) -> None:
        super().__init__(shape)
        self.f = f

    def forward(self, x: Image) -> Data:
        return result(f"the operator {name_of(self.f)}", lambda: self.f(x), x)


class LinearFunctionOperator(LinearOperator):
    """Your own linear x ↦ y; its adjoint comes from automatic differentiation."""

    one_precision: ClassVar[bool] = True

    def __init__(self, shape: Shape, f: Function) -> None:
        super().__init__(shape)
        self.f = f

    def forward(self, x: Image) -> Data:
        return result(f"the operator {name_of(self.f)}", lambda: self.f(x), x)


def operator(f: Function, shape: Shape, linear: bool = False, modality: Modality | None = None) -> Operator:
    """A function on batches of images of `shape` as an operator; closed-form solvers take it if it is `linear`.

    Example:

        A = xhat.operator(lambda x: x[..., ::2], shape=(1, 16, 16), linear=True)  # every second column

    `modality` says what the images are: how they are scored, shown and written. By default their shape tells it
    (`operators.modality.by_shape`), which takes no image for a complex one. Raises ShapeError if the modality does not
    fit, and MismatchError if the function is said to be linear and is not.
    """
    if not callable(f) or isinstance(f, type):
        raise SpecError(f"an operator is made of a function on batches of images, not of {shown(f)}")
    instance("modality", modality, Modality | None, "a Modality or None")
    A = (LinearFunctionOperator if linear else FunctionOperator)(shape, f)
    if modality is not None and not modality.fits(A.shape):
        raise ShapeError(f"an image of shape {A.shape} is no {modality.name}")
    A.modality = modality or A.modality
    if not linear:
        return A
    g = torch.Generator().manual_seed(0)
    u, v = torch.randn(2, 1, *A.shape, generator=g)
    whole, parts = A(u - 2 * v), A(u) - 2 * A(v)
    if not (whole - parts).abs().max() <= 1e-3 * parts.abs().max():  # NaN is not linear either
        raise MismatchError("this operator is not linear: A(u - 2v) differs from A(u) - 2 A(v)")
    return A


def as_operator(
    given: OperatorLike,
    shape: Shape | None = None,
    data_shape: Shape | None = None,
    physics: Mapping[str, Any] | None = None,
) -> Operator:
    """An operator from a spec string, an `Operator`, a function, or a matrix or thing that `adopted` takes.

    `shape` is that of one image; without it, a spec string infers it from `data_shape`. `physics` are options that the
    measurement brings along; those of the spec string win. Raises ShapeError or SpecError if the parts do not fit.
    """
    given = adopted(given, shape)
    if isinstance(given, Operator):
        if shape is not None and tuple(shape) != given.shape:
            raise ShapeError(f"{type(given).__name__} was built for images of shape {given.shape}, not {tuple(shape)}")
        return given
    if not isinstance(given, str):
        if shape is None:
            raise ShapeError("a plain function as operator needs shape=, the shape of one image")
        return operator(given, shape)
    return build_operator(given, shape, data_shape, physics or {})


def adopted(given: OperatorLike, shape: Shape | None = None) -> str | Operator | Function:
    """What a user gives as an operator, as a spec string, an `Operator` or a function.

    A matrix (data, pixels) and operators of SciPy, PyLops, SigPy and DeepInverse become an `Operator` on images of
    `shape`. Raises SpecError for what is no operator, and ShapeError if the shape is needed and not known.
    """
    if isinstance(given, str | Operator):
        return given
    known = foreign(given, shape)
    if known is not None:
        return known
    if callable(given) and not isinstance(given, type):
        function: Function = given
        return function
    if isinstance(given, type) and issubclass(given, Operator):
        if shape is None:
            raise ShapeError(f"{named(given)} as operator needs shape=, the shape of one image")
        if given.forward is Operator.forward:
            raise SpecError(f"{named(given)} is the base of operators, and says nothing of y itself")
        return given(tuple(shape))
    raise SpecError(
        f"an operator is a spec string (xhat list operators), an Operator, a function of batches, a matrix or a "
        f"LinearOperator of SciPy, not {named(given)}"
    )


def modality_for(given: str | Operator | Function) -> Modality:
    """What the images of an operator are, as far as it is known before their shape is."""
    if isinstance(given, str):
        return kind(given).modality
    return given.modality if isinstance(given, Operator) else PLAIN


def image_for(given: str | Operator | Function, x: Tensor) -> Tensor:
    """A picture or array `x` from a file, (*image) or (h, w), as an image of the operator, (*image).

    A grey picture may for example become a complex image.
    """
    image = modality_for(given).as_image(x)
    if image.is_complex():
        raise DataError(f"an image of {name_of(given)} holds real numbers, and this one is complex")
    return image


def as_noise(given: NoiseLike) -> Noise:
    """A noise from a spec string, the σ of Gaussian noise in the units of y (0 is none), a `Noise` or its class.

    Raises SpecError for an unknown name or option, and for anything else.
    """
    given = given() if isinstance(given, type) and issubclass(given, Noise) else given
    if isinstance(given, str):
        return build(given, NOISES)
    if isinstance(given, Noise):
        return given
    if (sigma := number(given)) is not None:
        return Noiseless() if sigma == 0 else Gaussian(sigma)
    raise SpecError(
        f"a noise is a number (0.05, the sigma of Gaussian noise in the units of y), a spec string "
        f"(xhat list noises) or a Noise, not {named(given)}"
    )


def number(given: object) -> float | None:
    """A real number of any library, a 0-dimensional array included, as a float; None if it is none."""
    if isinstance(given, bool) or not (isinstance(given, Real) or getattr(given, "shape", None) == ()):
        return None
    return float(given)  # type: ignore[arg-type]


def as_solver(given: SolverLike) -> AnySolver:
    """A solver from a spec string, a TOML file with one solver, a `Solver`, or its class, which has its defaults.

    Raises SpecError or DataError if it is none.
    """
    given = given() if isinstance(given, type) and issubclass(given, Solver) else given
    solver = build(spec_in(str(given)), METHODS) if isinstance(given, str | Path) else given
    if not isinstance(solver, Solver):
        raise SpecError(f"a solver is a spec string (xhat list solvers), a Solver or its class, not {named(given)}")
    if (solver.solver if isinstance(solver, DiffStateGrad) else solver).steps < 1:
        raise SpecError(f"{name_of(solver)}: steps must be at least 1, not {solver.steps}")
    return solver


def spec_in(given: str) -> str:
    """The spec of the one solver in a TOML file that `xhat tune` wrote; a spec string is returned as it is.

    Raises DataError if the file does not hold one solver.
    """
    if not given.endswith(".toml"):
        return given
    try:
        (solver,) = tomllib.loads(text_of(Path(given)))["solvers"]
        spec = instance("solver", solver if isinstance(solver, str) else solver["spec"], str, "text")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as e:
        raise DataError(f"{given}: is no TOML file with one solver ({type(e).__name__})") from e
    if spec.endswith(".toml"):
        raise DataError(f"{given}: names another file, {spec}; it must hold the spec itself")
    return str(without_code(spec, given))


def as_schedule(given: str | Schedule | None) -> Schedule | None:
    """A schedule from a spec string or a `Schedule`; None stays None."""
    if isinstance(given, str):
        return build(given, SCHEDULES)
    return instance("a schedule", given, Schedule | None, "a spec string (xhat list schedules) or a Schedule")


def prior_for(solver: AnySolver, given: PriorLike, device: str | torch.device) -> Prior:
    """The prior on which `solver` runs, of anything that `build_prior` takes; a classical method has none."""
    with noting(None):  # its weights have a fingerprint of their own in records
        return NoPrior().to(device) if isinstance(solver, Baseline) else build_prior(given, device)


def name_of(given: object, registry: Mapping[str, Any] | None = None) -> str:
    """What a record says about a part: its spec string with defaults, or else the name of its class or function."""
    if isinstance(given, str | Path):
        return str(given)
    if isinstance(given, FunctionOperator | LinearFunctionOperator):
        return name_of(given.f)  # as for the function itself
    if isinstance(given, ForeignLinear | ForeignOperator | Lit | Matrix):
        return given.title
    if isinstance(given, Operator):
        return operator_spec(given)
    if isinstance(given, Prior):  # one that holds a network or a function goes by its class, and by its weights
        return given.spec or (spec_of(given, PRIORS) if written(given) else type(given).__name__)
    if is_dataclass(given) and not isinstance(given, type):
        spec = spec_of(given, registry or {}, full=True)
        return spec if len(spec) < 500 else type(given).__name__.lower()  # nobody can read a table of 1000 betas
    return getattr(given, "__name__", type(given).__name__)
