"""How much fresh noise a method adds that looks for one best image, and that it then finds it."""

import math
from dataclasses import replace
from functools import lru_cache, partial
from itertools import pairwise

import pytest
import torch

from oracles import noised, posterior, problem
from xhat.errors import SpecError
from xhat.likelihoods import likelihood
from xhat.loop import solve, trajectory
from xhat.noise import Gaussian, Noiseless
from xhat.operators import Denoise
from xhat.operators.dense import Dense
from xhat.priors import GaussianPrior, MixturePrior
from xhat.rng import Rng
from xhat.schedule import CLEAN, EDM, Level
from xhat.solvers import SOLVERS
from xhat.solvers.base import Count, PointEstimator, brought
from xhat.spec import build
from xhat.transition import fresh, renoise

LADDER = EDM(0.03, 3.0)  # that of priors of photographs
POINTS = ["lmaps", "sitcom", "diffpir:zeta=1.0", "dcdp", "resample"]
TASKS = [
    "inpaint:keep=0.3",
    "super_resolution:factor=4,kind=average",
    "gaussian_blur:std=1.5,size=9,boundary=circular",
]


@lru_cache
def power_law(side: int = 16) -> GaussianPrior:
    """A Gaussian prior with the spectrum of photographs, f^−2.5, whose pixels have the variance 0.25."""
    f = torch.fft.fftfreq(side, 1 / side, dtype=torch.float64)
    spectrum = (1 + f[:, None] ** 2 + f**2) ** -1.25
    spectrum = 0.25 * spectrum / spectrum.mean()
    one = torch.fft.ifft2(spectrum * torch.fft.fft2(torch.eye(side**2, dtype=torch.float64).reshape(-1, side, side)))
    cov = one.real.reshape(side**2, -1)
    return GaussianPrior((1, side, side), (cov + cov.T) / 2).double()


def at(ratio: float) -> Level:
    return Level(0.5, 1.0, ratio)


def test_noise_is_full_while_the_prior_knows_much_less_than_the_noise_hides_and_none_at_the_end():
    unasked = lambda t: pytest.fail("what a prior's error is takes work, and this rule does not need it")
    assert [fresh(rule, at(1.0), at(0.8), unasked) for rule in ("full", "none")] == [(1, 0), (0, 0)]
    assert fresh("calibrated", at(1.0), at(0.8), lambda t: 0.0) == (1, 0)
    assert fresh("calibrated", at(1.0), at(0.8), lambda t: 0.04) == pytest.approx((math.sqrt(1 - 5 * 0.04 / 0.64), 0))
    assert fresh("calibrated", at(1.0), at(0.8), lambda t: 0.32) == pytest.approx((0, 0.6))
    assert fresh("calibrated", at(1.0), CLEAN, unasked) == (0, 0)
    gamma, beta = fresh("calibrated", at(1.0), at(0.8), lambda t: 0.04, moved=lambda: torch.tensor([0.0, 0.16, 1.08]))
    torch.testing.assert_close(gamma**2, torch.tensor([1 - 0.2 / 0.64, 1 - 0.36 / 0.64, 0]))
    torch.testing.assert_close(beta, torch.tensor([0, 0, 0.5]))
    with pytest.raises(SpecError, match="renoise"):
        build("lmaps:renoise=half", SOLVERS)


def test_a_prior_that_does_not_state_its_error_gets_no_more_noise_than_one_that_does():
    """The bound is the error of white images, the hardest of their variance."""
    white = GaussianPrior((1, 8, 8), 0.25 * torch.eye(64))
    for ratio in (0.05, 0.3, 1.0, 3.0, 80.0):
        t, s = at(ratio), at(0.8 * ratio)
        bound, _ = fresh("calibrated", t, s, lambda t: None)
        assert bound == pytest.approx(fresh("calibrated", t, s, white.mse)[0], abs=1e-3)
        assert bound <= fresh("calibrated", t, s, power_law().mse)[0]


@pytest.mark.parametrize("spec", POINTS)
def test_full_is_the_papers_reading_and_the_rule_decides_the_noise(spec):
    """The last step but one adds σ_s γ of what it adds at γ = 1."""
    solver = build(spec, SOLVERS)
    quick = {k: v for k, v in {"inner_steps": 3, "ode_steps": 2, "every": 1}.items() if hasattr(solver, k)}
    prior = power_law()
    x, like = problem(prior, [0, 1])
    t, s = at(1.5), at(1.3)
    made = {}
    for rule in ("full", "calibrated", "none"):
        tried = replace(solver, renoise=rule, steps=4, **quick)
        start = replace(tried.init(t, prior, like, Rng([0, 1])), x=noised(x, t))
        made[rule] = tried.step(start, Count(3, 4), t, s, prior, like, Rng([5, 6])).x
    moved = None
    if isinstance(solver, PointEstimator):
        m, x0 = tried.estimates(noised(x, t), t, s, prior, like, Rng([0, 1]))
        moved = partial(brought, m, x0, like)
    gamma, _ = fresh("calibrated", t, t if spec == "dcdp" else s, prior.mse, moved)  # DCDP adds its noise on the way in
    gamma = torch.as_tensor(gamma).view(-1, 1, 1, 1)
    assert ((gamma > 0) & (gamma < 1)).all()
    torch.testing.assert_close(made["calibrated"] - made["none"], gamma * (made["full"] - made["none"]))
    if spec.startswith(("lmaps", "diffpir")):
        x0 = solver.estimate(noised(x, t), t, prior, like, Rng([0, 1]))
        torch.testing.assert_close(made["full"], renoise(x, x0, t, s, 1.0, Rng([5, 6])))


@pytest.mark.parametrize("sigma", [0.0, 0.05, 0.5])
def test_only_noise_counts_of_what_the_data_move(sigma):
    """Without noise nothing that the data bring is noise; where the residual is noise, all of it may be."""
    prior = power_law()
    x = prior.sample(Rng([0, 1]))
    A = Denoise(tuple(x.shape[1:]))
    y = x + sigma * Rng([2, 3]).randn_like(x)
    like = likelihood(A, Gaussian(sigma) if sigma else Noiseless(), y)
    far, near = torch.zeros_like(x), x
    found = [like.noisy(far), like.noisy(near)]
    expected = [sigma**2 / (y - far).square().flatten(1).mean(1), torch.full((2,), float(sigma > 0))]
    torch.testing.assert_close(found[0], expected[0].clamp_max(1).to(found[0]))
    torch.testing.assert_close(found[1], expected[1].to(found[1]), atol=0.2, rtol=0)  # χ² of 256 numbers: 9 %
    if not sigma:
        assert not brought(far, y, like).any()


def distance(spec: str, task: str, steps: int) -> float:
    """How far the solver ends from the mode, relative to its size, in the mean over two images."""
    prior = power_law()
    _, like = problem(prior, [0, 1], task, Gaussian(0.05))
    mode, _ = posterior(prior, like)
    got = solve(build(f"{spec},steps={steps}", SOLVERS), prior, like, Rng([10, 11]), LADDER)
    return float(((got - mode).flatten(1).norm(dim=1) / mode.flatten(1).norm(dim=1)).mean())


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_lmaps_comes_to_the_mode_and_never_farther_from_it_with_more_calls(task):
    """On a Gaussian prior, where the mode is known. 0.2 % is what the data step's own covariance k ρ² leaves over."""
    far = [distance("lmaps:renoise=calibrated", task, steps) for steps in (10, 20, 50)]
    assert far[1] <= 0.10
    assert far[2] <= 0.02
    assert all(later <= max(before, 0.002) for before, later in pairwise(far)), far


def test_with_full_noise_it_does_not_however_long_it_runs():
    """The reading of the paper: what the fresh noise of the last levels leaves behind does not fall with the calls."""
    assert min(distance("lmaps:renoise=full", TASKS[0], steps) for steps in (20, 50)) > 0.25


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_right_mode_of_a_mixture_is_found_at_least_as_often_as_with_full_noise(seed):
    """Eight modes in sixteen dimensions, of which the data see four; the right one is that of the largest mass."""
    n, g = 200, torch.Generator().manual_seed(seed)
    means = torch.randn(8, 16, generator=g, dtype=torch.float64)
    A = torch.randn(4, 16, generator=g, dtype=torch.float64) / 4
    prior = MixturePrior(means, 0.01, schedule=EDM(0.02, 5.0))
    x, noise = prior.sample(Rng(range(n))), Gaussian(0.3)
    like = likelihood(Dense((16,), A).double(), noise, noise.sample(x @ A.T, Rng(range(1000, 1000 + n))))
    cov = 0.01 * A @ A.T + 0.09 * torch.eye(4, dtype=torch.float64)
    gap = like.y[:, None] - means @ A.T
    mass = -torch.einsum("bki,ij,bkj->bk", gap, torch.linalg.inv(cov), gap)
    found = {}
    for rule in ("full", "calibrated", "none"):
        got = solve(SOLVERS["lmaps"](steps=20, renoise=rule), prior, like, Rng(range(n)))
        found[rule] = int((torch.cdist(got, means).argmin(1) == mass.argmax(1)).sum())
    assert found["full"] <= min(found["calibrated"], found["none"]), found


def test_two_seeds_of_a_point_estimator_end_at_one_point():
    prior = power_law()
    _, like = problem(prior, [0], TASKS[1], Gaussian(0.05))
    a, b = (solve(SOLVERS["lmaps"](steps=50), prior, like, Rng([seed]), LADDER) for seed in (1, 2))
    assert float((a - b).norm() / a.norm()) < 0.01


def test_the_answer_is_the_last_estimate_itself():
    prior = power_law()
    _, like = problem(prior, [0], TASKS[0], Gaussian(0.05))
    *_, end = trajectory(SOLVERS["lmaps"](steps=6, renoise="none"), prior, like, Rng([0]), LADDER)
    assert torch.equal(end.state.x, end.state.x0)
