"""Posterior solvers. This import list is the registry: one line per solver."""

from ..likelihood import Likelihood
from ..registry import concrete
from .base import Estimator, Solver, State
from .diffpir import DiffPIR
from .lmaps import LMAPS

SOLVERS = concrete(vars(), Solver)


def fitting(like: Likelihood) -> list[str]:
    """The names of the solvers that can take this problem."""
    return [name for name, cls in SOLVERS.items() if isinstance(like, cls.needs)]
