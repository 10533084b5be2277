"""The classics of plug and play, against closed forms on a Gaussian prior."""

import pytest
import torch

from oracles import covariance, matrix, posterior, problem, rbf_prior
from xhat.errors import MismatchError, SpecError
from xhat.files.photographs import photographs
from xhat.likelihoods import likelihood
from xhat.loop import solve
from xhat.noise import Gaussian, Noiseless
from xhat.numerics.calls import counting
from xhat.operators import OPERATORS
from xhat.priors import PRIORS, Denoiser
from xhat.rng import Rng
from xhat.schedule import EDM, Level
from xhat.solvers import SOLVERS
from xhat.solvers.splitting import first
from xhat.spec import build

BLUR = "gaussian_blur:std=1,size=7,boundary=circular"


@pytest.fixture(scope="module")
def task():
    prior = rbf_prior().double()
    _, like = problem(prior, [0, 1], BLUR)
    return prior, like, posterior(prior, like)[0]


def gap(a, b) -> float:
    return float((a - b).norm() / b.norm())


def test_hqs_comes_to_the_map_with_the_length_of_its_ladder(task):
    """λ = 1; what is left at the last level ρ is the bias of splitting, the MAP under a prior widened by ρ²."""
    prior, like, mode = task
    far = [
        gap(solve(SOLVERS["hqs"](steps=n, lam=1.0, high=3.0, low=0.02), prior, like, Rng([0, 1])), mode)
        for n in (10, 40, 160)
    ]
    assert far[0] > far[1] > far[2]
    assert far[2] < 0.01


def test_hqs_at_one_level_is_the_papers_two_steps(task):
    prior, like, _ = task
    A, y, w = matrix(like.A), like.y.flatten(1), 0.23 * 0.1**2 / 0.4**2
    z = first(like).flatten(1)
    x = torch.linalg.solve(A.T @ A + w * torch.eye(64).double(), (y @ A + w * z).T).T
    C = covariance(prior)
    want = x @ torch.linalg.solve(C + 0.4**2 * torch.eye(64).double(), C)
    got = solve(SOLVERS["hqs"](steps=1, high=0.4, low=0.1), prior, like, Rng([0, 1]))
    torch.testing.assert_close(got.flatten(1), want, rtol=1e-6, atol=1e-6)


def test_admm_converges_to_the_map_at_a_level_that_is_held(task):
    """D is then the proximal map of the prior itself, so that the fixed point does not depend on ρ."""
    prior, like, mode = task
    for high, low in ((0.3, 0.299), (0.6, 0.599)):
        got = solve(SOLVERS["pnp_admm"](steps=150, lam=1.0, high=high, low=low), prior, like, Rng([0, 1]))
        assert gap(got, mode) < 1e-3


def test_red_ends_where_its_gradient_is_zero(task):
    prior, like, _ = task
    lam, rho = 30.0, 0.2
    got = solve(SOLVERS["red"](steps=600, lam=lam, level=rho), prior, like, Rng([0, 1]))
    A, C, eye = matrix(like.A), covariance(prior), torch.eye(64).double()
    D = torch.linalg.solve(C + rho**2 * eye, C)
    want = torch.linalg.solve(A.T @ A / 0.1**2 + lam * (eye - D), (like.y.flatten(1) @ A / 0.1**2).T).T
    torch.testing.assert_close(got.flatten(1), want, rtol=1e-4, atol=1e-4)


def test_a_ladder_that_does_not_fall_or_differs_from_image_to_image_is_refused(task):
    prior, like, _ = task
    with pytest.raises(SpecError, match="high must be larger"):
        solve(SOLVERS["hqs"](high=0.05), prior, like, Rng([0, 1]))
    mixed = likelihood(like.A, Gaussian((0.1, 0.2)), like.y)
    with pytest.raises(MismatchError, match="give low"):
        solve(SOLVERS["pnp_admm"](), prior, mixed, Rng([0, 1]))
    solve(SOLVERS["pnp_admm"](low=0.1, steps=2), prior, mixed, Rng([0, 1]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "operator", ["denoise", "super_resolution", "inpaint:keep=0.3", "gaussian_blur", "motion_blur:seed=1"]
)
@pytest.mark.parametrize("sigma", [0.02, 0.1])
def test_lmaps_is_no_worse_on_photographs_than_half_quadratic_steps_at_as_many_calls(operator, sigma):
    """0.2 dB is a tenth of what LMAPS lacked in motion blur before its noise took the data's own into account."""
    x, noise = photographs(96, ("astronaut", "coffee")), Gaussian(sigma)
    A = build(operator, OPERATORS, (3, 96, 96))
    like = likelihood(A, noise, noise.sample(A(x), Rng([7, 8])))
    prior = build("photo", PRIORS)
    got = {s: solve(build(f"{s}:steps=20", SOLVERS), prior, like, Rng([0, 1])) for s in ("lmaps", "hqs")}
    error = {s: (v.clamp(-1, 1) - x).square().flatten(1).mean(1).log10().mean() for s, v in got.items()}
    assert 10 * float(error["lmaps"] - error["hqs"]) < 0.2


def test_only_the_measurement_itself_is_taken_for_the_state():
    """A ladder that passes the noise's level has a state of its own there; and images with other noise have theirs."""
    prior = Denoiser(lambda x, s: x / (1 + s**2), schedule=EDM(0.002, 40.0), trial=False)
    A, solver = build("denoise", OPERATORS, (1, 8, 8)), SOLVERS["lmaps"](steps=4)
    y = Rng([3, 4]).randn_like(torch.empty(2, 1, 8, 8))
    like, t, s = likelihood(A, Gaussian(0.25), y), Level(0.5, 1.0, 0.25), Level(0.4, 1.0, 0.1)
    m, x0 = solver.estimates(y + 0.1, t, s, prior, like, Rng([0, 1]))
    assert not torch.equal(m, x0), "the data have their say"
    assert torch.equal(*solver.estimates(y, t, s, prior, like, Rng([0, 1])))
    mixed = likelihood(A, Gaussian((0.25, 0.5)), y)
    both = solve(solver, prior, mixed, Rng([0, 1]), EDM(0.01, 0.25))
    alone = [solve(solver, prior, mixed.take(torch.tensor([i])), Rng([i]), EDM(0.01, 0.25)) for i in (0, 1)]
    assert torch.equal(both, torch.cat(alone))


@pytest.mark.parametrize("sigma", [0.05, 0.3])
def test_lmaps_on_noise_alone_is_the_posterior_mean_in_one_call(sigma):
    """Of a Gaussian prior that is not said to be one; a ladder of twenty steps misses the mean by up to half of σ_y."""
    prior = Denoiser(lambda x, s: x / (1 + s**2), schedule=EDM(0.002, 40.0), trial=False)
    A = build("denoise", OPERATORS, (1, 8, 8))
    y = Rng([3, 4]).randn_like(torch.empty(2, 1, 8, 8))
    with counting() as calls:
        x = solve(SOLVERS["lmaps"](), prior, likelihood(A, Gaussian(sigma), y), Rng([0, 1]))
    torch.testing.assert_close(x, y / (1 + sigma**2))
    assert calls.forwards == 2  # one for each image


@pytest.mark.parametrize(
    ("operator", "noise", "first", "last"),
    [
        ("gaussian_blur", Gaussian(0.05), 3.0, 0.03),  # 0.6 σ_y
        ("denoise", Gaussian(0.05), 0.05, 0.05),  # the measurement is x_t at the one level of its noise
        ("denoise", Gaussian(0.001), 3.0, 0.002),  # which the prior does not know
        ("denoise", Noiseless(), 3.0, 0.002),
        ("mri:coils=2", Gaussian(0.05), 3.0, 0.03),  # a norm of 1: the noise has a level of images
        ("(mri:coils=2) * 0.1", Gaussian(0.05), 3.0, 0.002),  # it has not
        ("phase_retrieval", Gaussian(0.05), 40.0, 0.002),  # not linear: where modes are chosen stays
    ],
)
def test_lmaps_spends_no_steps_where_images_are_lost_in_noise_or_below_what_is_left_of_it(operator, noise, first, last):
    prior = Denoiser(lambda x, sigma: x / (1 + sigma**2), schedule=EDM(0.002, 40.0), trial=False)
    text, _, factor = operator.partition(" * ")
    A = build(text.strip("()"), OPERATORS, (2, 16, 16) if "mri" in operator else (1, 16, 16))
    A = float(factor) * A if factor else A
    like = likelihood(A, noise, A(torch.zeros(1, *A.shape)))
    levels = build("lmaps:steps=8", SOLVERS).levels_for(None, prior, like)
    assert [levels[0].ratio, levels[-2].ratio] == pytest.approx([first, last])
    closed = rbf_prior()
    linear = build("denoise", OPERATORS, closed.shape)
    like = likelihood(linear, Gaussian(0.05), torch.zeros(1, *closed.shape))
    assert build("lmaps:steps=8", SOLVERS).levels_for(None, closed, like)[0].ratio == closed.schedule(1.0).ratio
