"""What was x, given y = A(x) + noise? Diffusion priors, every solver of the field, one interface.

The short way: `restore(y, operator="gaussian_blur", noise="gaussian:sigma=0.05")`. The explicit one:
`trajectory(solver, prior, likelihood(A, noise, y), Rng(seeds))` yields every step, `solve` the last.
"""

from importlib import import_module as _import_module
from importlib.util import find_spec as _find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from .errors import DataError, Declined, DivergedError, MismatchError, ShapeError, SpecError, XhatError
    from .files.measurement import Measurement
    from .files.pictures import load_image, save_image
    from .likelihoods import Likelihood, LinearGaussian, SpectralGaussian, likelihood
    from .loop import Step, solve, trajectory
    from .noise import Gaussian, Noise, Noiseless, Poisson
    from .operators.algebra import stack
    from .operators.base import LinearOperator, Operator, SpectralOperator
    from .operators.foreign import from_deepinv, from_linop, from_sigpy
    from .priors import ConsistencyModel, ConsistencyPrior, Denoiser, FixedShape, Prior, build_prior
    from .registry import Plugin, builds
    from .rng import Rng
    from .schedule import EDM, VP, Cosine, Discrete, Flow, Level, Schedule
    from .solvers.base import Estimator, Solver, State
    from .spec import Spec, build
    from .task.calibrate import calibrate
    from .task.parts import operator
    from .task.restoration import Restoration
    from .task.restore import restore
    from .task.simulate import simulate

__all__ = [
    "EDM",
    "VP",
    "ConsistencyModel",
    "ConsistencyPrior",
    "Cosine",
    "DataError",
    "Declined",
    "Denoiser",
    "Discrete",
    "DivergedError",
    "Estimator",
    "FixedShape",
    "Flow",
    "Gaussian",
    "Level",
    "Likelihood",
    "LinearGaussian",
    "LinearOperator",
    "Measurement",
    "MismatchError",
    "Noise",
    "Noiseless",
    "Operator",
    "Plugin",
    "Poisson",
    "Prior",
    "Restoration",
    "Rng",
    "Schedule",
    "ShapeError",
    "Solver",
    "Spec",
    "SpecError",
    "SpectralGaussian",
    "SpectralOperator",
    "State",
    "Step",
    "XhatError",
    "__version__",
    "build",
    "build_prior",
    "builds",
    "calibrate",
    "from_deepinv",
    "from_linop",
    "from_sigpy",
    "likelihood",
    "load_image",
    "operator",
    "restore",
    "save_image",
    "simulate",
    "solve",
    "stack",
    "trajectory",
]

_HOME = {
    "ConsistencyModel": "priors",
    "ConsistencyPrior": "priors",
    "Cosine": "schedule",
    "DataError": "errors",
    "Declined": "errors",
    "Denoiser": "priors",
    "Discrete": "schedule",
    "DivergedError": "errors",
    "EDM": "schedule",
    "Estimator": "solvers.base",
    "FixedShape": "priors",
    "Flow": "schedule",
    "Gaussian": "noise",
    "Level": "schedule",
    "Likelihood": "likelihoods",
    "LinearGaussian": "likelihoods",
    "LinearOperator": "operators.base",
    "Measurement": "files.measurement",
    "MismatchError": "errors",
    "Noise": "noise",
    "Noiseless": "noise",
    "Operator": "operators.base",
    "Plugin": "registry",
    "Poisson": "noise",
    "Prior": "priors",
    "Restoration": "task.restoration",
    "Rng": "rng",
    "Schedule": "schedule",
    "ShapeError": "errors",
    "Solver": "solvers.base",
    "Spec": "spec",
    "SpecError": "errors",
    "SpectralGaussian": "likelihoods",
    "SpectralOperator": "operators.base",
    "State": "solvers.base",
    "Step": "loop",
    "VP": "schedule",
    "XhatError": "errors",
    "build": "spec",
    "build_prior": "priors",
    "builds": "registry",
    "calibrate": "task.calibrate",
    "from_deepinv": "operators.foreign",
    "from_linop": "operators.foreign",
    "from_sigpy": "operators.foreign",
    "likelihood": "likelihoods",
    "load_image": "files.pictures",
    "operator": "task.parts",
    "restore": "task.restore",
    "save_image": "files.pictures",
    "simulate": "task.simulate",
    "solve": "loop",
    "stack": "operators.algebra",
    "trajectory": "loop",
}
"""The module of each public name; it is imported when the name is first asked for, and torch with it."""


def __getattr__(name: str) -> Any:
    """The public `name`, or the module of that name."""
    if name == "__version__":  # read when asked for: it imports so much that Ctrl-C would often find it at that
        globals()[name] = _import_module("importlib.metadata").version("xhat")
        return globals()[name]
    if name in _HOME:
        found = getattr(_import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = found
        return found
    if not name.startswith("_") and _find_spec(f"{__name__}.{name}") is not None:
        return _import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, without the folders that they come from."""
    return __all__
