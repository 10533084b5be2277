"""Frames coupled along the third axis, against dense algebra and convex optimisation."""

import pytest
import torch

from operator_cases import double
from xhat.errors import MismatchError
from xhat.likelihoods import CoupledGaussian, couple, likelihood
from xhat.loop import solve
from xhat.noise import Gaussian, Noiseless
from xhat.numerics.tridiagonal import tridiagonal
from xhat.operators import OPERATORS
from xhat.operators.coupled import Coupled, CoupledFrames, CoupledTime, MovingChain, StillChain, coupled
from xhat.operators.flow import moving_chain
from xhat.operators.lifted import frames
from xhat.priors import GaussianPrior
from xhat.priors.lifted import frames as frames_of
from xhat.rng import Rng
from xhat.schedule import EDM
from xhat.solvers import SOLVERS
from xhat.spec import build
from xhat.testing import check_operator
from xhat.testing.linear import matrix

SHAPE = (1, 5, 4, 6)
FRAME = (1, 4, 6)
N, T = 24, 5


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def chains():
    weight = randn(1, 1, T - 1, 4, 6, seed=5).abs().clamp(0, 1)
    flow = randn(1, T - 1, 4, 6, 2, seed=6)
    return {
        "still": StillChain(SHAPE),
        "weighted": StillChain(SHAPE, weight),
        "moving": MovingChain(SHAPE, flow, weight),
    }


def spatial():
    root = randn(N, N, seed=3) / N**0.5
    return root @ root.T / 4 + 0.05 * torch.eye(N, dtype=torch.float64)


# --- the operators ----------------------------------------------------------------------------


def test_tridiagonal_systems_are_solved():
    b = randn(3, 7, 2)
    diagonal, off = 2.5 + randn(3, 7, 2).abs(), randn(1, 6, 2).clamp(-1, 1)
    x = tridiagonal(diagonal, off, b)
    for i in range(3):
        for j in range(2):
            M = torch.diag(diagonal[i, :, j]) + torch.diag(off[0, :, j], 1) + torch.diag(off[0, :, j], -1)
            assert torch.allclose(M @ x[i, :, j], b[i, :, j], atol=1e-12)


@pytest.mark.parametrize("name", ["still", "weighted", "moving"])
@double
def test_a_chain_obeys_the_laws(name):
    check_operator(chains()[name])


@pytest.mark.parametrize("operator", ["denoise", "(gaussian_blur:std=0.5)", "(inpaint:seed=[1,2,3,4,5])"])
@pytest.mark.parametrize("name", ["still", "weighted", "moving"])
@double
def test_a_coupled_operator_obeys_the_laws(name, operator, monkeypatch):
    monkeypatch.setattr("xhat.operators.coupled.MOVING_STEPS", 400)  # truncated by design; the formula is tested
    A = coupled(frames(SHAPE, operator), chains()[name], torch.tensor([0.7], dtype=torch.float64))
    assert isinstance(A, CoupledFrames) == (name == "still")
    check_operator(A)


@pytest.mark.parametrize("name", ["thick_slices:factor=2", "drop_frames", "temporal_average:window=3,stride=1"])
@double
def test_a_coupled_operator_along_the_frames_obeys_the_laws(name):
    A = coupled(build(name, OPERATORS, SHAPE), StillChain(SHAPE), torch.tensor([0.7], dtype=torch.float64))
    assert isinstance(A, CoupledTime)
    check_operator(A)


def test_a_constant_video_under_a_temporal_average_is_the_picture():
    x = randn(1, 3, 1, 8, 8).float()
    y = build("temporal_average:window=4,stride=2", OPERATORS, (3, 8, 8, 8))(x.expand(-1, -1, 8, -1, -1))
    assert torch.allclose(y, x.expand(-1, -1, 3, -1, -1), atol=1e-6)


@double
def test_a_coupling_of_each_video_and_of_a_stack():
    inner = frames(SHAPE, ["denoise", "(gaussian_blur:std=0.5)", "denoise", "denoise", "(gaussian_blur:std=0.5)"])
    A = coupled(inner, StillChain(SHAPE), torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64))
    assert type(A) is Coupled
    check_operator(A)


# --- the likelihood and the prior -------------------------------------------------------------


def posterior(A, y, sigma, sigma_c):
    """Mode of N(y; A x, σ² I) Π_f N(x_f; 0, C) N(D x; 0, σ_c² I), by dense algebra."""
    M, D = matrix(A), matrix(StillChain(SHAPE).double())
    # images are (c, t, h, w) with one channel, so that frames are blocks of N numbers
    precision = torch.block_diag(*[torch.linalg.inv(spatial())] * T) + D.T @ D / sigma_c**2
    return torch.linalg.solve(M.T @ M / sigma**2 + precision, M.T @ y.flatten() / sigma**2).reshape(1, *SHAPE)


@pytest.mark.parametrize("operator", ["(gaussian_blur:std=0.5)", "(inpaint:keep=0.5,seed=[1,2,3,4,5])"])
@double
def test_lmaps_comes_to_the_mode_under_a_known_covariance_of_space_and_time(operator):
    A, sigma, sigma_c = frames(SHAPE, operator), 0.1, 0.3
    y = Gaussian(sigma).sample(A(randn(1, *SHAPE, seed=8) / 4), Rng([1]))
    prior = frames_of(GaussianPrior(FRAME, spatial(), schedule=EDM(0.002, 20.0)), couple=sigma_c)
    like = prior.problem(likelihood(A, Gaussian(sigma), y))
    found = solve(build("lmaps:steps=200", SOLVERS), prior, like, Rng([0]))
    expected = posterior(A, y, sigma, sigma_c)
    # what the data hardly see comes last: after 60, 200 and 600 steps the largest error is 0.037, 0.0031 and 0.0021
    assert (found - expected).abs().max() < 5e-3
    assert (posterior(A, y, sigma, 1e6) - expected).abs().max() > 0.05


def couples(name, sigma_c, steps=20):
    """How much frames differ with the coupling and without, and how far the mode's do; None if it is refused."""
    A, sigma = frames(SHAPE, "(gaussian_blur:std=0.5)"), 0.1
    y = Gaussian(sigma).sample(A(randn(1, *SHAPE, seed=8) / 4), Rng([1]))
    like, solver = likelihood(A, Gaussian(sigma), y), SOLVERS[name](steps=min(SOLVERS[name]().steps, steps))
    found = []
    for width in (sigma_c, None):
        prior = frames_of(GaussianPrior(FRAME, spatial(), schedule=EDM(0.002, 20.0)), couple=width)
        problem = prior.problem(like)
        if solver.mismatch(prior, problem):
            return None
        x = solve(solver, prior, problem, prior.streams(SHAPE)([0]))
        found.append(float(x.diff(dim=2).square().mean().sqrt()))
    return tuple(found)


# What takes a linear operator but not the coupled one: it asks for a cheap singular value decomposition.
SPECTRAL = {"ddnm+", "ddrm", "fps_smc", "mcgdiff", "snips"}
SHORT = {"pmc_pnp", "pmc_red"}  # twenty of their gradient steps bring frames nearer by a hundredth


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SOLVERS))
@double
def test_every_solver_of_linear_problems_joins_the_frames(name):
    """Twenty steps at σ_c = 0.2 bring neighbours nearer to each other; methods that need another problem are named."""
    linear = likelihood(frames(SHAPE, "(gaussian_blur:std=0.5)"), Gaussian(0.1), randn(1, *SHAPE))
    solver = SOLVERS[name]()
    plain = frames_of(GaussianPrior(FRAME, spatial(), schedule=EDM(0.002, 20.0)))
    takes = solver.mismatch(plain, linear) is None
    found = couples(name, 0.2)
    assert (found is None) == (not takes or name in SPECTRAL or solver.unit_norm)
    if found is not None:
        assert found[0] < (1 if name in SHORT else 0.95) * found[1]


@pytest.mark.parametrize("spec", ["tmpd_rowsum", "daps:absolute=true", "diffstategrad:inner=(daps),at=estimate"])
@double
def test_a_steep_coupling_is_refused_by_steps_made_for_norm_one(spec):
    """At σ_c = σ_y/2 these run to 1e19 and 1e35, or diverge."""
    like = likelihood(frames(SHAPE, "denoise"), Gaussian(0.1), randn(1, *SHAPE))
    prior = frames_of(GaussianPrior(FRAME, spatial(), schedule=EDM(0.002, 20.0)), couple=0.05)
    assert "larger couple" in str(build(spec, SOLVERS).mismatch(prior, prior.problem(like)))


STEEP = ["daps", "dcdp", "dps", "lgd", "map_ga", "map_ga_generic", "map_ga_pigdm", "mpgd", "score_ald", "tds"]


@pytest.mark.parametrize("name", STEEP)
@double
def test_steps_keep_to_the_length_that_a_steep_coupling_allows(name):
    """At σ_c = σ_y/2 and σ_y/10 frames come nearer than without, to 0.06 and 0.003 of it in the mode; none runs away.

    What draws samples has 0.1 and 0.02 at best. The steps of dps and lgd have one length for all that is wrong, so that
    a strong coupling takes more than 200.
    """
    far = name in ("dps", "lgd")
    for sigma_c, most in ((0.05, 0.3), (0.01, 0.7 if far else 0.2)):
        near, free = couples(name, sigma_c, 200 if far else 20)
        assert near < most * free, sigma_c


@pytest.mark.parametrize("chain", ["still", "moving"])
@double
def test_a_step_is_shorter_where_the_coupling_is_steep_and_nowhere_else(chain):
    """(I + c²/(1 + ρ) DᵀD)⁻¹ by dense algebra; a step along which frames do not differ stays; one frame's is itself."""
    shape, c, rho = (1, 4, 5, 6), 3.0, 0.7
    D = StillChain(shape) if chain == "still" else MovingChain(shape, randn(1, 3, 5, 6, 2, seed=1))
    like = likelihood(frames(shape, "denoise"), Gaussian(0.3), randn(1, *shape))
    joined = couple(like, D, 0.1)
    assert float(joined.A.strength) == pytest.approx(c)
    eye = torch.eye(120).reshape(120, *shape)
    dense = torch.eye(120) + c**2 / (1 + rho) * (D(eye).flatten(1) @ D(eye).flatten(1).T)
    step = randn(1, *shape, seed=3)
    found = joined.evened(step, torch.tensor([rho]))
    expected = torch.linalg.solve(dense, step.flatten()).reshape(step.shape)
    # along motion thirty steps of conjugate gradient are made, of a condition number of about 1 + 4 c²/(1 + ρ) = 22
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9 if chain == "still" else 1e-4)
    same = torch.ones(1, *shape)
    torch.testing.assert_close(joined.evened(same, torch.tensor([rho])), same, rtol=0, atol=1e-4)
    assert like.evened(step, torch.tensor([rho])) is step


@double
def test_gradient_ascent_comes_to_the_mode_of_a_steep_coupling():
    """c = σ_y/σ_c = 2 and 10: within 0.06 of the mode after 150 steps, where the coupling moves it by up to 0.95.

    Steps of one length that is short enough for the coupling are off by 0.26 and 0.38.
    """
    A, sigma = frames(SHAPE, "(gaussian_blur:std=0.5)"), 0.1
    y = Gaussian(sigma).sample(A(randn(1, *SHAPE, seed=8) / 4), Rng([1]))
    for sigma_c in (0.05, 0.01):
        prior = frames_of(GaussianPrior(FRAME, spatial(), schedule=EDM(0.002, 20.0)), couple=sigma_c)
        like = prior.problem(likelihood(A, Gaussian(sigma), y))
        assert torch.allclose(like.gain, 1 + 4 * torch.tensor([(sigma / sigma_c) ** 2]))
        found = solve(build("map_ga:steps=30,inner_steps=5,use_prior=true", SOLVERS), prior, like, Rng([0]))
        expected = posterior(A, y, sigma, sigma_c)
        assert (found - expected).abs().max() < 0.08
        assert (posterior(A, y, sigma, 1e6) - expected).abs().max() > 0.5


def test_the_frames_of_a_moving_picture_are_found_and_moved():
    """A smooth picture that moves by (1.5, −0.5) pixels a frame: half a per cent of its contrast is left, not 20."""
    pytest.importorskip("cv2")
    down, across = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    frame = lambda t: torch.sin((across - 1.5 * t) / 3) * torch.cos((down + 0.5 * t) / 4) * 0.8
    x = torch.stack([frame(t) for t in range(4)])[None, None]
    chain = moving_chain(x, 0.05)
    inner = (..., slice(8, -8), slice(8, -8))
    assert chain(x)[inner].square().mean().sqrt() < 0.02
    assert StillChain(tuple(x.shape[1:]))(x)[inner].square().mean().sqrt() > 0.15
    assert chain.weight[inner].median() > 0.9
    cut = x.clone()
    cut[:, :, 2:] = 0.8 * randn(48, 64, seed=4).to(cut).clamp(-1, 1)  # the scene changes to one that is no shift of it
    assert moving_chain(cut, 0.05).weight[:, :, 1][inner].median() < 0.2


def test_a_strong_coupling_along_motion_is_a_truncated_solve_and_no_failure():
    """c = 10: thirty steps do not converge, and what they give is finite and nearer to the solution than the start."""
    shape = (1, 6, 24, 24)
    flow, m = randn(1, 5, 24, 24, 2, seed=1).float(), randn(1, *shape, seed=2).float()
    A = coupled(frames(shape, "denoise"), MovingChain(shape, flow), torch.tensor([10.0]))
    found = A.normal_solve(m, 0.01)
    left = A.adjoint(A(found)) + 0.01 * found - m
    assert 1e-4 < left.norm() / m.norm() < 0.5


@pytest.mark.parametrize("name", ["still", "weighted", "moving"])
@double
def test_the_data_step_is_that_of_dense_algebra(name):
    """argmin ‖y − A x‖²/σ² + ‖x − m‖²/v + ‖D x‖²/σ_c²."""
    A, chain, sigma, v, sigma_c = frames(SHAPE, "(gaussian_blur:std=0.5)"), chains()[name].double(), 0.1, 0.02, 0.3
    y, m = randn(1, *SHAPE, seed=8), randn(1, *SHAPE, seed=9)
    like = couple(likelihood(A, Gaussian(sigma), y), chain, sigma_c)
    M, D = matrix(A), matrix(chain)
    left = M.T @ M / sigma**2 + torch.eye(len(M.T)) / v + D.T @ D / sigma_c**2
    expected = torch.linalg.solve(left, M.T @ y.flatten() / sigma**2 + m.flatten() / v)
    found = like.prox(m, sigma**2 / v, close=0.0).flatten()
    assert torch.allclose(found, expected, atol=1e-9 if name == "still" else 1e-3)  # conjugate gradient: 1e-4 of b


@double
def test_prox_of_total_variation_is_the_minimiser():
    """Against torch's minimiser of a smoothed objective, to a fiftieth of the scale."""
    A, sigma, sigma_c, rho = frames(SHAPE, "(gaussian_blur:std=0.5)"), 0.1, 0.05, 0.04
    y, m = A(randn(1, *SHAPE, seed=8) / 4), randn(1, *SHAPE, seed=9) / 4
    prior = frames_of(GaussianPrior(FRAME, spatial()), couple=sigma_c, penalty="tv")
    like = prior.problem(likelihood(A, Gaussian(sigma), y))
    D = StillChain(SHAPE).double()

    def objective(x):
        fit = (y - A(x)).square().sum() + rho * (x - m).square().sum()
        return fit + 2 * 2**0.5 * sigma**2 / sigma_c * D(x).abs().sum()

    found = like.prox(m, rho)
    best = m.clone().requires_grad_()
    for eps in (1e-2, 1e-3, 1e-4):
        lbfgs = torch.optim.LBFGS([best], max_iter=400, tolerance_change=1e-14, line_search_fn="strong_wolfe")

        def closure(eps=eps, lbfgs=lbfgs):
            lbfgs.zero_grad()
            smooth = (D(best).square() + eps**2).sqrt().sum() - D(best).abs().sum()
            value = objective(best) + 2 * 2**0.5 * sigma**2 / sigma_c * smooth
            value.backward()
            return value

        lbfgs.step(closure)
    off = (found - best.detach()).square().mean().sqrt()
    assert off < 0.02 * sigma_c


def test_coupling_leaves_one_frame_and_the_residual_alone():
    one = frames((1, 1, 4, 6), "denoise")
    like = likelihood(one, Gaussian(0.1), randn(2, 1, 1, 4, 6).float())
    assert frames_of(GaussianPrior(FRAME, spatial()), couple=0.1).problem(like) is like
    A = frames(SHAPE, "denoise")
    of_five = likelihood(A, Gaussian(0.1), randn(2, *SHAPE).float())
    joined = frames_of(GaussianPrior(FRAME, spatial()), couple=0.1).problem(of_five)
    x = randn(2, *SHAPE, seed=4).float()
    assert isinstance(joined, CoupledGaussian)
    assert all(torch.equal(a, b) for a, b in zip(joined.misfit(x), of_five.misfit(x), strict=True))
    assert torch.equal(joined.explained, of_five.explained)


@pytest.mark.parametrize("solver", ["lmaps", "hqs", "dds", "diffpir", "mmps", "pigdm"])
@pytest.mark.parametrize("noise", [Gaussian(0.1), Noiseless()], ids=["noisy", "noiseless"])
def test_reversed_frames_reverse_the_result(solver, noise):
    """With shared noise, coupled or not: time has no direction."""
    if solver == "hqs" and isinstance(noise, Noiseless):
        pytest.skip("hqs is for noise")
    A = frames(SHAPE, "(gaussian_blur:std=0.5)")
    prior = frames_of(GaussianPrior(FRAME, spatial()), noise="shared", couple=0.1)
    y = A(randn(1, *SHAPE, seed=8).float() / 4)
    run = lambda y: solve(
        build(f"{solver}:steps=4", SOLVERS), prior, prior.problem(likelihood(A, noise, y)), prior.streams(SHAPE)([3])
    )
    assert torch.allclose(run(y.flip(2)), run(y).flip(2), atol=1e-3)  # rounding of single precision in a linear solve


def test_total_variation_is_for_solvers_that_meet_the_data_by_prox():
    A = frames(SHAPE, "denoise")
    prior = frames_of(GaussianPrior(FRAME, spatial()), couple=0.1, penalty="tv")
    like = prior.problem(likelihood(A, Gaussian(0.1), randn(1, *SHAPE).float()))
    takes = {name for name, cls in SOLVERS.items() if cls().mismatch(prior, like) is None}
    assert {"lmaps", "hqs", "diffpir"} <= takes
    assert not takes & {"dds", "dps", "mmps", "ddnm"}
    assert build("lmaps:inner=adam", SOLVERS).mismatch(prior, like)


def test_frames_that_cannot_be_coupled_are_refused():
    jpeg = frames((3, 5, 16, 16), "jpeg")
    prior = frames_of(GaussianPrior(FRAME, spatial()), couple=0.1)
    with pytest.raises(MismatchError, match="linear measurement"):
        prior.problem(likelihood(jpeg, Noiseless(), torch.zeros(1, 3, 5, 16, 16)))
    plain = likelihood(frames(SHAPE, "denoise"), Gaussian(0.1), randn(1, *SHAPE).float())
    assert "prior.problem" in str(prior.mismatch(plain))


@double
def test_the_first_look_for_motion_sees_each_video_alone():
    """The level of the network's call is that of each video's own noise, whatever is beside it."""
    prior = frames_of(GaussianPrior(FRAME, spatial(), schedule=EDM(0.002, 20.0)), couple=0.3, motion="dis")
    A = frames(SHAPE, "denoise")
    both = likelihood(A, Gaussian((0.1, 0.6)), randn(2, *SHAPE, seed=8))
    found = prior.glimpse(both)
    for i in range(2):
        assert torch.allclose(found[i], prior.glimpse(both.take(torch.tensor([i])))[0], atol=1e-12)
