"""What to beat: classical reconstructions, with the interface of a solver but no use for a prior.

One line for each method here; those of the sciences join through `xhat.catalogue`.
"""

from typing import Any

from ..registry import Registry, concrete
from ..solvers.base import AnySolver, Solver
from .base import Baseline
from .descent import LBFGS, Adam
from .direct import Adjoint, BackProjection, PseudoInverse
from .fista import TV, Wavelet

BASELINES: Registry[type[AnySolver]] = Registry("baselines", Baseline, concrete(vars(), Solver))
"""`xhat restore --solver tv --prior none`"""
