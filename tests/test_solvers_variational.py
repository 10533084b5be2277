"""Flows fitted to a posterior: the flow's Jacobian, the prior's slope, and the posterior of a Gaussian prior."""

import pytest
import torch

from oracles import covariance, posterior, problem, rbf_prior
from xhat.loop import solve
from xhat.noise import Gaussian
from xhat.numerics.realnvp import RealNVP
from xhat.rng import Rng
from xhat.schedule import EDM
from xhat.solvers import SOLVERS


def test_flow_knows_its_jacobian_and_keeps_images_apart():
    flow, like = RealNVP(5, 3, 4), torch.zeros(2, dtype=torch.float64)
    weights = flow.start(like, Rng([0, 1]))
    z = Rng([2, 3]).randn_like(torch.zeros(2, 1, 5, dtype=torch.float64))
    assert torch.equal(flow.push(weights, z)[0], z), "starts as the identity"
    weights = weights + 0.3 * Rng([4, 5]).randn_like(weights)
    _, logdet = flow.push(weights, z)
    J = torch.autograd.functional.jacobian(lambda z: flow.push(weights, z)[0], z)[:, 0, :, :, 0]
    for i in (0, 1):
        torch.testing.assert_close(torch.linalg.slogdet(J[i, :, i])[1], logdet[i, 0])
    assert not J[0, :, 1].any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["score_prior", "efficient_score_prior"])
def test_slope_of_the_prior_is_that_of_its_density(name):
    """Averaged over the levels of a run and over ε, −∇ log p(x) = C⁻¹ x."""
    prior = rbf_prior((1, 2, 2), length=0.5).double()
    C = covariance(prior)
    solver = SOLVERS[name](steps=400)
    x, like = problem(prior, [0], "denoise")
    many, rng = x.expand(200, -1, -1, -1), Rng(range(200))
    slopes = [solver.prior_slope(many, t, prior, rng).mean(0) for t in solver.levels(EDM(), like)[:-1]]
    exact = torch.linalg.solve(C, x.flatten())
    got = torch.stack(slopes).mean(0).flatten()
    assert (got - exact).norm() < 0.06 * exact.norm()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [("score_prior", {"sigma_min": 0.1, "steps": 300}, 0.25), ("efficient_score_prior", {"steps": 600}, 0.35)],
)
def test_the_flow_becomes_the_posterior_of_a_gaussian_prior(name, options, tolerance):
    prior = rbf_prior((1, 2, 2), length=1.5).double()
    _, one = problem(prior, [3], "inpaint:keep=0.5", Gaussian(0.2))
    mean, cov = posterior(prior, one)
    like = one.take(torch.zeros(64, dtype=torch.long))
    solver = SOLVERS[name](layers=4, hidden=16, lr=0.02, draws=8, **options)
    z = (solve(solver, prior, like, Rng(range(64))) - mean).flatten(1) / cov.diagonal().sqrt()
    assert float(z.mean(0).square().mean().sqrt()) < 0.35  # one flow an image: 64 flows, one draw of each
    assert float(z.var(0).mean()) == pytest.approx(1, abs=tolerance)
