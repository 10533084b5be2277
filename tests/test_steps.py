"""A step knows its number: nobody reads it off a noise level, or off the state of one image."""

from dataclasses import fields, replace
from itertools import pairwise

import pytest
import torch

from oracles import problem, rbf_prior
from solver_cases import quick, setup
from xhat.baselines import BASELINES
from xhat.errors import MismatchError
from xhat.loop import trajectory
from xhat.noise import Gaussian
from xhat.numerics.calls import counting
from xhat.rng import Rng
from xhat.schedule import EDM, VP, Flow
from xhat.solvers import SOLVERS, State

LADDERS = {"edm": EDM(), "vp": VP(), "flow": Flow()}


def made(name: str, seeds: list[int]):
    """Solver or classical method, a prior and a problem that it takes."""
    if name in SOLVERS:
        return quick(name), *setup(name, seeds)
    prior = rbf_prior().double()
    _, like = problem(prior, seeds, "ct:angles=6" if name == "fbp" else "inpaint", Gaussian(0.1))
    return replace(BASELINES[name](), steps=8), prior, like


@pytest.mark.parametrize("ladder", LADDERS)
@pytest.mark.parametrize("name", [*SOLVERS, *BASELINES])
def test_freezing_one_image_moves_no_other_by_a_single_bit(name, ladder):
    """What belongs to the run, such as the number of the step, must not be read off the state of one image."""
    if name == "wavelet":
        pytest.importorskip("pywt")
    solver, prior, like = made(name, [0, 1])
    asked = []

    def from_step_3_on(state: State) -> torch.Tensor:
        asked.append(state)
        return torch.tensor([len(asked) > 1, False])

    def states(done=None) -> list[State]:
        return [step.state for step in trajectory(solver, prior, like, Rng([0, 1]), LADDERS[ladder], done=done)]

    try:
        free = states()
    except MismatchError as e:
        pytest.skip(str(e))
    held = states(from_step_3_on)
    for a, b in zip(free, held, strict=True):
        assert torch.equal(a.x[1], b.x[1])
        assert torch.equal(a.estimate[1], b.estimate[1])
    for b in held[2:]:
        assert torch.equal(held[1].x[0], b.x[0])
        assert torch.equal(held[1].estimate[0], b.estimate[0])


@pytest.mark.parametrize("ladder", LADDERS)
@pytest.mark.parametrize("name", [n for n, c in SOLVERS.items() if "every" in {f.name for f in fields(c)}])
def test_every_third_step_is_every_third_step_on_any_ladder(name, ladder):
    """What a solver does at every `every`-th step costs calls of the operator, so that they show when it happens."""
    prior, like = setup(name, [0])
    with counting() as calls:
        steps = trajectory(replace(quick(name, 24), every=3), prior, like, Rng([0]), LADDERS[ladder])
        total = [0, *(calls.operator for _ in steps)]
    cost = [b - a for a, b in pairwise(total)]
    seen = [i for i, n in enumerate(cost[:-1], 1) if n > min(cost)]  # the last step of a run may be one of its own
    assert len(seen) > 4
    assert {b - a for a, b in pairwise(seen)} == {3}
