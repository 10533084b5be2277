"""Laws that every registered solver obeys."""

from dataclasses import replace

import pytest

from oracles import problem, rbf_prior
from solver_cases import quick, setup
from xhat.errors import MismatchError
from xhat.loop import solve, trajectory
from xhat.noise import Gaussian
from xhat.numerics.calls import counting
from xhat.rng import Rng
from xhat.solvers import SOLVERS
from xhat.spec import build, spec_of
from xhat.testing import SOLVER_LAWS
from xhat.testing.solvers import uses_prior_and_data


@pytest.mark.parametrize("law", SOLVER_LAWS)
@pytest.mark.parametrize("name", SOLVERS)
def test_law(name, law):
    law(quick(name, 100 if law is uses_prior_and_data else 8))


@pytest.mark.parametrize("name", SOLVERS)
def test_spec_round_trip(name):
    solver = replace(SOLVERS[name](), steps=17)
    assert spec_of(solver, SOLVERS) == f"{name}:steps=17"
    assert build(spec_of(solver, SOLVERS), SOLVERS) == solver


def test_calls_are_counted_where_they_happen():
    prior, like = setup("dps", [0, 1])
    with counting() as calls:
        solve(quick("dps", 5), prior, like, Rng([0, 1]))
    assert (calls.forwards, calls.backwards) == (10, 10)
    with counting() as calls:
        solve(quick("lmaps", 5), prior, like, Rng([0, 1]))
    assert (calls.forwards, calls.backwards) == (10, 0)


def test_a_refusal_recommends_nothing_that_needs_another_prior():
    prior = rbf_prior().double()
    _, like = problem(prior, [0], "inpaint", Gaussian(0.1))
    with pytest.raises(MismatchError, match="Solvers that fit: ") as refused:
        next(trajectory(SOLVERS["blind_dps"](), prior, like, Rng([0])))
    named = str(refused.value).split("Solvers that fit: ")[1].split(", ")
    assert "dps" in named
    assert not {"ilo", "score_ilo", "consistent_csgm"} & set(named)
