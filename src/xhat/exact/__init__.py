"""A scorecard of solvers on problems whose posterior is known: does a solver sample, or maximise, what it claims to?"""

from .cell import Cell, evaluate
from .grid import grid
from .problems import PROBLEMS, Problem
from .run import Results, run

__all__ = ["PROBLEMS", "Cell", "Problem", "Results", "evaluate", "grid", "run"]
