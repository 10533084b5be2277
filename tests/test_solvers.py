"""Laws that every registered solver obeys."""

from dataclasses import replace
from itertools import zip_longest
from typing import Any, get_args, get_origin

import pytest
from typing_extensions import TypeVar, get_original_bases

from oracles import problem, rbf_prior
from solver_cases import quick, setup
from xhat.errors import MismatchError
from xhat.loop import solve, trajectory
from xhat.noise import Gaussian
from xhat.numerics.calls import counting
from xhat.rng import Rng
from xhat.solvers import SOLVERS, Solver
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
    assert not {name for name in named if SOLVERS[name]().mismatch(prior, like)}


def test_a_refusal_of_the_prior_recommends_what_runs_on_it():
    """Another solver helps where this one wants another prior; none helps where the prior knows no such images."""
    prior = rbf_prior().double()
    _, like = problem(prior, [0], "inpaint", Gaussian(0.1))
    with pytest.raises(MismatchError, match=r"needs a LayeredConsistency.*Solvers that fit: .*dps"):
        next(trajectory(SOLVERS["ilo"](), prior, like, Rng([0])))
    small = rbf_prior((1, 4, 4)).double()
    with pytest.raises(MismatchError, match="this prior knows images of shape") as refused:
        next(trajectory(SOLVERS["dps"](), small, like, Rng([0])))
    assert "Solvers that fit" not in str(refused.value)


def written_for(cls: type) -> dict[TypeVar, Any]:
    """What the type variables of Solver stand for in a solver: its likelihood, its state, its prior."""
    for base in get_original_bases(cls):
        kind = get_origin(base) or base
        if isinstance(kind, type) and issubclass(kind, Solver):
            given = dict(zip_longest(kind.__parameters__, get_args(base)))
            given = {v: v.__default__ if found is None else found for v, found in given.items()}
            return given if kind is Solver else {v: given.get(w, w) for v, w in written_for(kind).items()}
    raise AssertionError(f"{cls.__name__} is no solver")


@pytest.mark.parametrize("name", SOLVERS)
def test_what_is_asked_when_it_runs_is_what_its_types_say(name):
    """mypy checks a step against the types of the class, and `mismatch` asks for `needs` and `needs_prior`."""
    cls = SOLVERS[name]
    like, _, prior = written_for(cls).values()
    assert (cls.needs, cls.needs_prior) == (like, prior)
