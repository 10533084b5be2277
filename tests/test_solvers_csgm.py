"""Solvers that optimise a generator's input: gradients, minimisers and flows against closed forms."""

from itertools import pairwise

import pytest
import torch

from oracles import matrix, posterior, problem, rbf_prior
from xhat.likelihoods import likelihood
from xhat.loop import solve, trajectory
from xhat.noise import Gaussian, Noiseless
from xhat.priors import GaussianPrior, MixturePrior
from xhat.rng import Rng
from xhat.schedule import EDM, VP
from xhat.solvers import SOLVERS
from xhat.solvers.latent import ddim

SHAPE = (1, 3, 3)
TOP = EDM()(1.0)


@pytest.fixture(scope="module")
def prior() -> GaussianPrior:
    return rbf_prior(SHAPE, length=1.5).double()


def flow(prior, ratio):
    """The exact probability flow of a Gaussian prior from level `ratio` to 0, a symmetric matrix."""
    return (prior.Q * (prior.lam / (prior.lam + ratio**2)).sqrt()) @ prior.Q.T


@pytest.mark.parametrize("schedule", [EDM(), VP()], ids=["edm", "vp"])
def test_the_gradient_is_that_of_the_written_out_chain(schedule):
    """Three steps of DDIM by hand, differentiated by autograd, for a denoiser that is not linear."""
    means = torch.tensor([[-1.0, 0.5], [1.0, 1.0]], dtype=torch.float64).reshape(2, 1, 1, 2)
    prior = MixturePrior(means, 0.2, schedule=schedule)
    _, like = problem(rbf_prior((1, 1, 2)).double(), [0, 1], "denoise")
    solver = SOLVERS["dmplug"](steps=2)
    state = next(iter(trajectory(solver, prior, like, Rng([3, 4])))).state
    z = Rng([3, 4]).randn_like(like.y).requires_grad_()
    x = schedule(1.0).sigma * z
    for t, s in pairwise(schedule.levels(3)):
        x0 = prior(x, t)
        x = s.alpha * x0 + s.sigma * (x - t.alpha * x0) / t.sigma
    g = torch.autograd.grad(((like.y - x) ** 2).sum() / 2, z)[0]  # two data an image
    torch.testing.assert_close(state.adam.m, 0.1 * g, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_csgm_finds_the_minimiser_and_with_a_fine_flow_the_posterior_mean(prior):
    _, like = problem(prior, [0, 1], "inpaint:keep=0.5", Gaussian(0.2))
    mean, _ = posterior(prior, like)
    off = []
    for ode_steps in (5, 15):
        G = ddim(torch.eye(9, dtype=torch.float64).reshape(9, *SHAPE), TOP, prior, ode_steps).flatten(1).T
        AG = matrix(like.A) @ G
        z = torch.linalg.solve(AG.T @ AG / 0.2**2 + torch.eye(9, dtype=AG.dtype), AG.T @ like.y.flatten(1).T / 0.2**2)
        best = (G @ z).T.reshape(2, *SHAPE)
        got = solve(SOLVERS["csgm"](steps=200, ode_steps=ode_steps, lr=0.1), prior, like, Rng([0, 1]))
        torch.testing.assert_close(got, best, rtol=2e-3, atol=2e-3)
        off.append(float((got - mean).norm()))
    assert off[1] < 0.5 * off[0]


@pytest.mark.slow
def test_dmplug_fits_noiseless_data(prior):
    _, like = problem(prior, [0, 1], "inpaint:keep=0.25", Noiseless())
    x = solve(SOLVERS["dmplug"](steps=300, lr=0.2), prior, like, Rng([0, 1]))
    assert float(like.residual(x).abs().max()) < 1e-3


def test_shred_stays_on_the_sphere(prior):
    _, like = problem(prior, [0, 1])
    for step in trajectory(SOLVERS["shred"](steps=4, ode_steps=2), prior, like, Rng([0, 1])):
        torch.testing.assert_close(step.state.x.square().mean((1, 2, 3)), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("name", ["csgm", "dflow", "dmplug", "shred"])
def test_the_answer_is_the_image_of_the_last_latent(prior, name):
    _, like = problem(prior, [0, 1])
    *_, last = trajectory(SOLVERS[name](steps=3, ode_steps=2), prior, like, Rng([0, 1]))
    assert torch.equal(last.state.estimate, SOLVERS[name](ode_steps=2).generate(last.state.x, TOP, prior))


def test_dflow_integrates_at_second_order_both_ways(prior):
    z = prior.sample(Rng(range(5)))
    exact = (TOP.ratio * z).flatten(1) @ flow(prior, TOP.ratio)
    off = [
        float((SOLVERS["dflow"](ode_steps=n).generate(z, TOP, prior).flatten(1) - exact).norm()) for n in (20, 40, 80)
    ]
    assert off[1] < 0.35 * off[0]
    assert off[2] < 0.35 * off[1]
    start = SOLVERS["dflow"](ode_steps=80, a=1.0)
    like = likelihood(problem(prior, [0], "denoise")[1].A, Gaussian(0.1), z)
    back = start.generate(start.start(TOP, prior, like, Rng(range(5))), TOP, prior)
    torch.testing.assert_close(back, z, rtol=0.02, atol=0.02)


def test_dflow_penalty_pulls_the_norm_to_that_of_noise(prior):
    """½‖z‖² − (d−1) log‖z‖ is least at ‖z‖ = √(d−1)."""
    solver, z = SOLVERS["dflow"](lam=1.0), prior.sample(Rng([0]))
    at = lambda r: float(solver.penalty(r * z / z.norm()))
    assert at(8**0.5) < min(at(2.6), at(3.1))
