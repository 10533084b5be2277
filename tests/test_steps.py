"""Classical methods, too, do not read the number of a step off the state of one image; solvers are in test_solvers."""

from dataclasses import replace

import pytest
import torch

from oracles import problem, rbf_prior
from xhat.baselines import BASELINES
from xhat.errors import MismatchError
from xhat.loop import trajectory
from xhat.noise import Gaussian
from xhat.operators import OPERATORS
from xhat.rng import Rng
from xhat.schedule import EDM, VP, Flow
from xhat.science.vlbi.noise import VLBI
from xhat.solvers import State
from xhat.spec import build

LADDERS = {"edm": EDM(), "vp": VP(), "flow": Flow()}


def made(name: str, seeds: list[int]):
    """A classical method and a problem that it takes."""
    prior = rbf_prior().double()
    if name == "rml":
        sees = "black_hole_array:fov=128,white=0.05,interval=7200"
        noise = VLBI().bind(build(sees, OPERATORS, prior.shape).detector)
        _, like = problem(prior, seeds, sees, noise)
        return replace(BASELINES[name](), steps=8, inner_steps=3), prior, like
    _, like = problem(prior, seeds, "ct:angles=6" if name == "fbp" else "inpaint", Gaussian(0.1))
    return replace(BASELINES[name](), steps=8), prior, like


@pytest.mark.parametrize("ladder", LADDERS)
@pytest.mark.parametrize("name", BASELINES)
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
