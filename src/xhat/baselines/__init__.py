"""What to beat: classical reconstructions, with the interface of a solver but no use for a prior.

This import list is the registry: one line per method.
"""

from ..registry import concrete
from ..solvers.base import Solver
from .direct import FBP, Adjoint, BackProjection, PseudoInverse
from .fista import TV, Wavelet

BASELINES = concrete(vars(), Solver)
"""`xhat restore --solver tv --prior none`"""
