"""Methods that optimise inside a consistency model: closed forms on linear layers, and a real U-Net."""

from pathlib import Path

import pytest
import torch

from conftest import untried
from oracles import LayeredGaussian, matrix, posterior, problem, rbf_prior
from xhat.errors import MismatchError
from xhat.loop import solve, trajectory
from xhat.noise import Gaussian, Noiseless
from xhat.numerics.autodiff import grad
from xhat.numerics.calls import counting
from xhat.numerics.linalg import dot, project_l1, sq
from xhat.priors import FlowPrior, Prior
from xhat.rng import Rng
from xhat.schedule import EDM, Level
from xhat.solvers import SOLVERS

SHAPE = (1, 3, 3)
CSGM, ILO, SCORE = (SOLVERS[name] for name in ("consistent_csgm", "ilo", "score_ilo"))


@pytest.fixture(autouse=True)
def _double(float64):
    """Closed forms in double precision."""


@pytest.fixture
def prior() -> LayeredGaussian:
    return LayeredGaussian(rbf_prior(SHAPE, length=1.5))


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Prior:
    from diffusers import CMStochasticIterativeScheduler, ConsistencyModelPipeline, UNet2DModel

    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    size = {"sample_size": 8, "block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
    net = UNet2DModel(in_channels=3, out_channels=3, **blocks, **size)
    root: Path = tmp_path_factory.mktemp("cm")
    ConsistencyModelPipeline(net, CMStochasticIterativeScheduler()).save_pretrained(root)
    return untried(str(root), "cpu").double()


@pytest.mark.slow
def test_consistent_csgm_finds_the_posterior_mean(prior):
    """With the exact consistency function the mode over z is that of the image, x_ε ~ N(μ, C + ε² I)."""
    _, like = problem(prior.denoiser, [0, 1], "inpaint:keep=0.5", Gaussian(0.2))
    base = prior.denoiser
    # z ~ N(0, I) is x_T ~ N(0, T² I), not N(μ, C + T² I): the flow takes it to covariance (C + ε²) T²/(C + T²)
    T2, lam = 80.0**2, base.lam
    cov = (base.Q * ((lam + 0.002**2) * T2 / (lam + T2))) @ base.Q.T
    mean, _ = posterior(base, like, cov=cov)
    torch.testing.assert_close(solve(CSGM(steps=300, lr=0.1), prior, like, Rng([0, 1])), mean, rtol=1e-3, atol=1e-3)


def test_ilo_without_room_is_consistent_csgm(prior):
    _, like = problem(prior.denoiser, [0, 1])
    a = solve(ILO(steps=8, stages=2, radius=0.0), prior, like, Rng([0, 1]))
    *_, b = trajectory(CSGM(steps=4), prior, like, Rng([0, 1]))
    torch.testing.assert_close(a, b.state.x0)


def test_stages_move_one_layer_at_a_time_inside_its_ball(prior):
    _, like = problem(prior.denoiser, [0, 1])
    solver = ILO(steps=9, stages=3, radius=0.01, lr=0.1)
    places = list(solver.places(prior).values())
    assert [p.stop - p.start for p in places] == [9, 18, 9]
    before = solver.init(EDM()(1.0), prior, like, Rng([0, 1])).latent
    for step in trajectory(solver, prior, like, Rng([0, 1])):
        now = step.state.latent
        moved = [bool((now != before)[:, p].any()) for p in places]
        assert moved == [k == (step.index - 1) // 3 for k in range(3)]
        assert (now[:, 9:27].abs().mean(1) <= 0.01 * (1 + 1e-9)).all()
        before = now
    torch.testing.assert_close(now[:, 9:27].abs().mean(1), torch.full((2,), 0.01), rtol=1e-6, atol=0)


@pytest.mark.slow
def test_more_room_fits_better_and_the_last_layer_fits_all(prior):
    _, like = problem(prior.denoiser, [0, 1], "inpaint:keep=0.5", Noiseless())
    left = [
        float(like.residual(solve(ILO(steps=240, stages=3, radius=r, lr=0.05), prior, like, Rng([0, 1]))).norm())
        for r in (0.0, 1e-3, 10.0)
    ]
    assert left[2] < 0.01
    assert left[2] < left[1] < left[0] or left[0] < 0.01


@pytest.mark.slow
def test_score_ilo_without_noise_finds_the_mode_under_its_gaussian(prior):
    """One layer, z held: min nll + τ ‖(h − μ)/sd‖²/2, quadratic with linear layers."""
    _, like = problem(prior.denoiser, [0, 1], "inpaint:keep=0.5", Gaussian(0.2))
    solver = SCORE(steps=800, stages=3, temperature=0.7, noise_temp=0.0, lr=0.02)
    states = [s.state for s in trajectory(solver, prior, like, Rng([0, 1]))]
    own = solver.places(prior)["second"]
    start, end = states[533], states[-1]
    base = start.x0  # the image before the last layer's shift
    h0 = base.flatten(1)
    A, mean, var = matrix(like.A), start.mean[:, own], start.var[:, own]
    left = A.T @ A / 0.04 + torch.diag(0.7 / var[0])
    best = torch.linalg.solve(left, (like.y.flatten(1) @ A / 0.04 + 0.7 * mean / var).T).T
    assert (best - h0).norm() > 0.01
    torch.testing.assert_close(end.x0.flatten(1), best, rtol=2e-3, atol=2e-3)


def test_score_ilo_knows_the_prior_it_was_shown(prior):
    _, like = problem(prior.denoiser, [0, 1])
    state = SCORE(stages=3, draws=4000).init(EDM()(1.0), prior, like, Rng([0, 1]))
    own = SCORE(stages=3).places(prior)["second"]
    lam, Q = prior.denoiser.lam, prior.denoiser.Q
    T2 = 80.0**2
    exact = ((Q * ((lam + 0.002**2) * T2 / (lam + T2))) @ Q.T).diag()
    torch.testing.assert_close(state.var[0, own], exact, rtol=0.1, atol=0)  # 4000 draws: 2.2 % each
    assert (state.mean[:, own].abs() < 5 * (exact / 4000).sqrt()).all()


def test_projection_on_the_l1_ball():
    x = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    p = project_l1(x, 2.0)
    torch.testing.assert_close(p.abs().sum((1, 2)), torch.full((5,), 2.0))
    assert torch.equal(project_l1(0.01 * x, 2.0), 0.01 * x)
    assert torch.equal(project_l1(x, 0.0), torch.zeros_like(x))
    rivals = torch.randn(500, 5, 4, 3, generator=torch.Generator().manual_seed(1))
    rivals = p + 0.1 * rivals
    rivals = 2.0 * rivals / rivals.abs().sum((2, 3), keepdim=True).clamp_min(2.0)
    assert (sq(x - p) <= (x - rivals).square().sum((2, 3)).min(0).values).all()


def test_a_real_network_is_entered_at_its_layers(unet):
    t, u = Level(1.0, 1.0, 80.0), 80.0 * torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert unet.layers == ("mid_block", "up_blocks.0", "up_blocks.1")
    with counting() as calls:
        plain, values = unet.jump_through(u, t, {})
    assert calls.forwards == 2
    assert torch.equal(plain, unet.jump(u, t))
    assert {k: tuple(v.shape[1:]) for k, v in values.items()} == unet.sizes
    for name in unet.layers:
        shift, w = torch.zeros_like(values[name]), torch.randn(values[name].shape)
        f = lambda shift, name=name: sq(unet.jump_through(u, t, {name: shift})[0])
        difference = (f(shift + 1e-5 * w) - f(shift - 1e-5 * w)) / 2e-5
        torch.testing.assert_close(dot(grad(f, shift), w), difference, rtol=1e-5, atol=1e-7)
        assert difference.abs().min() > 1e-6
    assert torch.equal(unet.jump(u, t), plain)  # nothing stays behind


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ilo", "score_ilo"])
def test_runs_on_a_real_network(unet, name):
    from oracles import operator
    from xhat.likelihoods import likelihood

    A = operator("inpaint", (3, 8, 8))
    like = likelihood(A, Noiseless(), A(torch.zeros(1, 3, 8, 8)))
    ball = {"radius": 1.0} if name == "ilo" else {}
    first, *_, last = trajectory(SOLVERS[name](steps=40, lr=0.1, **ball), unet, like, Rng([0]))
    assert like.residual(last.state.x0).norm() < 0.5 * like.residual(first.state.x0).norm()


def test_refused_without_layers(prior):
    _, like = problem(prior.denoiser, [0])
    for other in (prior.denoiser, FlowPrior(prior.denoiser)):
        with (
            counting() as calls,
            pytest.raises(MismatchError, match=r"needs a LayeredConsistency, and \w+ is not one; these are: .*consis"),
        ):
            solve(ILO(), other, like, Rng([0]))
        assert calls.forwards == 0
