"""The laws that every operator, prior, solver and noise model of xhat obeys, to point at one of your own.

    from xhat.testing import check_operator
    check_operator(MyOperator((3, 16, 16)))

tries all laws that the type allows and raises `LawBroken`, an AssertionError, at the first that does not hold: the
message says which law, by how much, and what usually causes it. Each law is also a function of its own:
`operator_laws(A)`, `PRIOR_LAWS`, `SOLVER_LAWS` and `NOISE_LAWS` list them. No test runner is needed, and any will do.
`xhat.testing.exact` has priors whose posterior is known.
"""

from .checks import (
    NOISE_LAWS,
    PRIOR_LAWS,
    SOLVER_LAWS,
    check_noise,
    check_operator,
    check_prior,
    check_solver,
    operator_laws,
)
from .law import Law, LawBroken

__all__ = [
    "NOISE_LAWS",
    "PRIOR_LAWS",
    "SOLVER_LAWS",
    "Law",
    "LawBroken",
    "check_noise",
    "check_operator",
    "check_prior",
    "check_solver",
    "operator_laws",
]
