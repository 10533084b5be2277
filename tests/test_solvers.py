"""Laws that every registered solver obeys."""

from dataclasses import replace

import pytest
import torch

from oracles import SHAPE, LayeredGaussian, problem, rbf_prior
from solver_cases import JUMPERS, noise_for, operator_for, prior_for, quick, setup
from xhat.errors import DivergedError, MismatchError
from xhat.likelihoods import Likelihood
from xhat.loop import solve, trajectory
from xhat.numerics.calls import counting
from xhat.priors import Denoiser
from xhat.rng import Rng
from xhat.solvers import SOLVERS
from xhat.spec import build, spec_of


@pytest.mark.parametrize("name", SOLVERS)
def test_images_never_mix(name):
    """In float64 a neighbour may change nothing but the rounding of a matrix product."""
    prior, both = setup(name, [0, 1])
    one = both.take(torch.tensor([1]))
    a = solve(quick(name), prior, both, Rng([7, 8]))
    b = solve(quick(name), prior, one, Rng([8]))
    torch.testing.assert_close(a[1:], b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", SOLVERS)
def test_resume_is_bitwise(name):
    prior, like = setup(name, [0, 1])
    rng, saved, last = Rng([3, 4]), None, None
    for step in trajectory(quick(name), prior, like, rng):
        last = step.state
        if step.index == 4:
            saved = (step.index, step.state, rng.state_dict())
    index, state, streams = saved
    rng = Rng([0, 0])
    rng.load_state_dict(streams)
    *_, end = trajectory(quick(name), prior, like, rng, resume=(index, state))
    assert torch.equal(end.state.x, last.x)
    assert torch.equal(end.state.estimate, last.estimate)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SOLVERS)
def test_keeps_dtype_shape_and_its_input(name, dtype):
    prior, like = setup(name, [0], dtype)
    y = like.y.clone()
    x = solve(quick(name, 3), prior, like, Rng([0]))
    assert x.dtype == dtype
    assert x.shape == (1, *SHAPE)
    assert torch.equal(like.y, y)
    assert not x.requires_grad


@pytest.mark.parametrize("name", SOLVERS)
def test_a_seed_decides_the_result(name):
    prior, like = setup(name, [0])
    a, b, c = (solve(quick(name), prior, like, Rng([s])) for s in (5, 5, 6))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("name", SOLVERS)
def test_nan_raises_and_names_the_solver(name):
    _, like = setup(name, [0])
    gaussian = rbf_prior().double()
    gaussian.mean = float("nan")
    nan = Denoiser(lambda x, sigma: x * float("nan"))
    broken = LayeredGaussian(gaussian) if name in JUMPERS else prior_for(name, nan)
    with pytest.raises(DivergedError, match=SOLVERS[name].__name__):
        solve(quick(name), broken, like, Rng([0]))


@pytest.mark.parametrize("name", SOLVERS)
def test_refuses_by_type_before_the_first_network_call(name):
    gaussian = rbf_prior()
    prior = prior_for(name, gaussian)
    _, like = problem(gaussian, [0], "hdr")
    plain = Likelihood(like.A, like.noise, like.y)
    with counting() as calls:
        if issubclass(Likelihood, SOLVERS[name].needs):
            next(iter(trajectory(quick(name), prior, plain, Rng([0]))))
            assert calls.forwards > 0
        else:
            with pytest.raises(MismatchError, match="dps"):  # the message lists what fits
                solve(quick(name), prior, plain, Rng([0]))
            assert calls.forwards == 0


@pytest.mark.parametrize("name", SOLVERS)
def test_spec_round_trip(name):
    solver = replace(SOLVERS[name](), steps=17)
    assert spec_of(solver, SOLVERS) == f"{name}:steps=17"
    assert build(spec_of(solver, SOLVERS), SOLVERS) == solver


@pytest.mark.parametrize("name", SOLVERS)
def test_uses_the_data(name):
    """Any solver worth its name beats the prior mean, which knows nothing of y."""
    prior = rbf_prior().double()
    x, like = problem(prior, [0, 1, 2, 3], operator_for(name, "inpaint:keep=0.6"), noise_for(name, 0.05))
    prior = prior_for(name, prior)
    out = prior.image(solve(replace(quick(name), steps=100), prior, prior.problem(like), Rng(range(4))))
    assert (out - x).square().mean() < 0.5 * x.square().mean()


def test_done_freezes_one_image_and_leaves_the_other_alone():
    prior, like = setup("dps", [0, 1])
    free = [s.state for s in trajectory(quick("dps"), prior, like, Rng([0, 1]))]
    stop = lambda state: torch.tensor([bool(torch.equal(state.x[0], free[3].x[0])), False])
    held = [s.state for s in trajectory(quick("dps"), prior, like, Rng([0, 1]), done=stop)]
    assert torch.equal(held[-1].x[0], free[3].x[0])
    assert torch.equal(held[-1].x[1], free[-1].x[1])


def test_calls_are_counted_where_they_happen():
    prior, like = setup("dps", [0, 1])
    with counting() as calls:
        solve(quick("dps", 5), prior, like, Rng([0, 1]))
    assert (calls.forwards, calls.backwards) == (10, 10)
    with counting() as calls:
        solve(quick("lmaps", 5), prior, like, Rng([0, 1]))
    assert (calls.forwards, calls.backwards) == (10, 0)
