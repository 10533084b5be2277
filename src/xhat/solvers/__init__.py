"""Posterior solvers. This import list is the registry: one line per solver."""

from ..likelihood import Likelihood
from ..registry import concrete
from .base import Estimator, Solver, State
from .daps import DAPS, DAPSExact
from .ddnm import DDNM
from .ddnm_plus import DDNMPlus
from .ddrm import DDRM
from .diffpir import DiffPIR
from .dps import DPS
from .lmaps import LMAPS
from .mmps import MMPS
from .pigdm import PiGDM
from .reddiff import REDDiff

SOLVERS = concrete(vars(), Solver)


def fitting(like: Likelihood) -> list[str]:
    """The names of the solvers that can take this problem."""
    return [name for name, cls in SOLVERS.items() if isinstance(like, cls.needs)]
