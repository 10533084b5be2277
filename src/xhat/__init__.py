"""What was x, given y = A(x) + noise? Diffusion priors, every solver of the field, one interface.

The short way: `restore(y, operator="gaussian_blur", noise="gaussian:sigma=0.05")`. The explicit one:
`trajectory(solver, prior, likelihood(A, noise, y), Rng(seeds))` yields every step, `solve` the last.
"""

from importlib.metadata import version as _version

from .errors import DataError, DivergedError, MismatchError, ShapeError, SpecError, XhatError
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
from .task.parts import operator
from .task.restoration import Restoration
from .task.restore import restore
from .task.simulate import simulate

__version__ = _version("xhat")

__all__ = [
    "EDM",
    "VP",
    "ConsistencyModel",
    "ConsistencyPrior",
    "Cosine",
    "DataError",
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


def __dir__() -> list[str]:
    """The public names, without the folders that they come from."""
    return __all__
