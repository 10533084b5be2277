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
from .fps import FPS, FPSSMC
from .lmaps import LMAPS
from .mcgdiff import MCGDiff
from .mmps import MMPS
from .pigdm import PiGDM
from .pmc import PMCRED, PMCPnP
from .pnpdm import PnPDM
from .reddiff import REDDiff
from .tds import TDS

SOLVERS = concrete(vars(), Solver)


def fitting(like: Likelihood) -> list[str]:
    """The names of the solvers that can take this problem."""
    return [name for name, cls in SOLVERS.items() if isinstance(like, cls.needs)]
