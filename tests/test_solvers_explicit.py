"""Projections, corrections and per-step optimisation, against closed forms and against each other."""

from dataclasses import replace

import pytest
import torch

from oracles import LEVELS, ONLY, SHAPE, covariance, exact_mean, matrix, noised, posterior, problem, rbf_prior
from xhat.errors import MismatchError, ShapeError, SpecError
from xhat.likelihoods import NoiselessLinear, NoiselessSpectral, likelihood
from xhat.loop import solve, trajectory
from xhat.noise import Gaussian, Noiseless
from xhat.numerics.calls import counting
from xhat.numerics.linalg import bcast, gmres, norm, sq
from xhat.operators.dense import Dense
from xhat.priors import Denoiser, GaussianPrior
from xhat.rng import Rng
from xhat.schedule import CLEAN, EDM, VP, Level
from xhat.solvers import SOLVERS, State
from xhat.solvers.base import Count
from xhat.solvers.daps import flow
from xhat.solvers.diffstategrad import project
from xhat.spec import build, spec_of
from xhat.transition import ddpm, noise_in, renoise

BLUR = "gaussian_blur:std=1,size=7,boundary=circular"
SMALL = "super_resolution:factor=4,kind=average"  # four numbers of data


@pytest.fixture(scope="module")
def prior() -> GaussianPrior:
    torch.set_default_dtype(torch.float64)
    built = rbf_prior()
    torch.set_default_dtype(torch.float32)
    return built


def jacobian(prior, t):
    """J = ∂x̂₀/∂u of a Gaussian prior."""
    C = covariance(prior)
    return C @ torch.linalg.inv(C + t.ratio**2 * torch.eye(len(C), dtype=C.dtype))


class Quiet(Rng):
    """Streams that draw zeros: what a step does on average."""

    def each(self, draw, x):
        return torch.zeros_like(x)


# the likelihoods of noiseless problems


def test_noiseless_problems_have_a_type_of_their_own(prior):
    spectral, linear = (
        problem(prior, [0], op, Noiseless())[1] for op in ("inpaint", "super_resolution:factor=2,kind=average")
    )
    assert type(spectral) is NoiselessSpectral
    assert isinstance(linear, NoiselessLinear)
    assert not isinstance(problem(prior, [0])[1], NoiselessLinear)


@pytest.mark.parametrize("name", ["score_sde", "repaint", "ilvr", "mcg", "implicit_prior"])
def test_noisy_data_are_refused_by_methods_that_take_them_as_exact(prior, name):
    _, like = problem(prior, [0])
    with counting() as calls, pytest.raises(MismatchError, match="NoiselessLinear"):
        solve(SOLVERS[name](), prior, like, Rng([0]))
    assert calls.forwards == 0


@pytest.mark.parametrize("op", ["inpaint", SMALL, BLUR])
def test_overwriting_sets_what_the_operator_sees_and_nothing_else(prior, op):
    x, like = problem(prior, [0, 1], op, Noiseless())
    s = VP()(0.3)
    xs = noised(x, s, 5)
    out = like.overwrite(xs, s, Rng([8, 9]))
    seen = s.alpha * like.y + s.sigma * like.A(Rng([8, 9]).randn_like(x))
    torch.testing.assert_close(like.A(out), seen, rtol=1e-8, atol=1e-8)
    unseen = lambda v: v - like.A.pinv(like.A(v))
    torch.testing.assert_close(unseen(out), unseen(xs), rtol=1e-8, atol=1e-8)


# projections


@pytest.mark.parametrize("name", ["score_sde", "repaint", "ilvr", "mcg", "implicit_prior", "ddnm"])
def test_projections_end_on_the_data(prior, name):
    _, like = problem(prior, [0, 1], SMALL, Noiseless())
    x = solve(SOLVERS[name](steps=12), prior, like, Rng([0, 1]), VP())
    assert float(like.residual(x).abs().max()) < 1e-9


def test_ilvr_keeps_the_low_pass_of_its_reference_and_the_rest_of_the_proposal(prior):
    """Φ x_s = Φ(α_s r + σ_s ε), (I − Φ) x_s = (I − Φ) x', with Φ = down then up."""
    x, like = problem(prior, [0, 1], SMALL, Noiseless())
    t, s, phi = VP()(0.6), VP()(0.5), lambda v: like.A.pinv(like.A(v))
    xt = noised(x, t)
    out = SOLVERS["ilvr"]().step(State(xt, x), ONLY, t, s, prior, like, Rng([3, 4])).x
    rng = Rng([3, 4])
    proposal = renoise(xt, prior(xt, t), t, s, ddpm(t, s), rng)
    reference = s.alpha * like.A.pinv(like.y) + s.sigma * rng.randn_like(x)
    torch.testing.assert_close(phi(out), phi(reference), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(out - phi(out), proposal - phi(proposal), rtol=1e-9, atol=1e-9)
    free = SOLVERS["ilvr"](until=VP()(0.7).ratio).step(State(xt, x), ONLY, t, s, prior, like, Rng([3, 4])).x
    torch.testing.assert_close(free, proposal)


def test_repaint_on_a_mask_is_the_papers_gluing(prior):
    x, like = problem(prior, [0, 1], noise=Noiseless())
    t, s, m = VP()(0.6), VP()(0.5), like.A.s
    xt = noised(x, t)
    out = SOLVERS["repaint"]().step(State(xt, x), ONLY, t, s, prior, like, Rng([3, 4])).x
    rng = Rng([3, 4])
    unknown = renoise(xt, prior(xt, t), t, s, ddpm(t, s), rng)
    known = s.alpha * like.y + s.sigma * rng.randn_like(x)
    torch.testing.assert_close(out, m * known + (1 - m) * unknown, rtol=1e-12, atol=1e-12)


def test_repaint_walks_down_with_jumps_and_noises_up_in_law(prior):
    x, like = problem(prior, [0], noise=Noiseless())
    solver = SOLVERS["repaint"](steps=5, jump=2, resample=3)
    walk = [round(level.t * 5) for level in solver.levels(VP(), like)]
    assert walk == [5, 4, 3, 5, 4, 3, 5, 4, 3, 2, 1, 3, 2, 1, 3, 2, 1, 0]
    n, t, s = 4000, VP()(0.2), VP()(0.5)
    many = x.expand(n, *SHAPE)
    up = solver.step(State(noised(many, t), many), ONLY, t, s, prior, like, Rng(range(n)))
    noise = noise_in(up.x, many, s)
    assert abs(float(noise.std()) - 1) < 0.01
    assert abs(float(noise.mean())) < 0.01


def test_repaint_without_jumps_is_ilvr_and_score_sde_without_corrector(prior):
    """They overwrite at the same levels; Score-SDE does so before a step, the others after it."""
    _, like = problem(prior, [0, 1], noise=Noiseless())
    repaint, ilvr = (
        solve(solver, prior, like, Rng([5, 6]), VP())
        for solver in (SOLVERS["repaint"](steps=9, resample=1), SOLVERS["ilvr"](steps=9))
    )
    assert torch.equal(repaint, ilvr)
    rng = Rng([5, 6])
    first = VP().levels(9)[0]
    start = like.noise_image(rng) * first.sigma
    sde = SOLVERS["score_sde"](steps=9, corrections=0)
    streams = rng.state_dict()
    *_, a = trajectory(sde, prior, like, rng, VP(), resume=(0, State(start, start)))
    rng.load_state_dict(streams)
    glued = like.overwrite(start, first, rng)
    *_, b = trajectory(SOLVERS["ilvr"](steps=9), prior, like, rng, VP(), resume=(0, State(glued, glued)))
    torch.testing.assert_close(a.state.x, b.state.x, rtol=1e-9, atol=1e-9)


def test_score_sde_corrector_has_each_images_own_signal_to_noise_ratio(prior):
    """With no drawn noise the Langevin move is step·score, and ‖step·score‖‖score‖ = 2 snr² ‖z‖²."""
    x, _ = problem(prior, [0, 1], noise=Noiseless())
    t, solver = VP()(0.5), SOLVERS["score_sde"](snr=0.3)
    xt = noised(x, t) * bcast(torch.tensor([1.0, 3.0], dtype=x.dtype), x)
    score = (t.alpha * prior(xt, t) - xt) / t.sigma**2
    z = Rng([1, 2]).randn_like(x)
    step = 2 * 0.3**2 * sq(z) / sq(score)
    want = xt + bcast(step, x) * score + bcast((2 * step).sqrt(), x) * z
    torch.testing.assert_close(solver.correct(xt, t, prior, Rng([1, 2])), want, rtol=1e-10, atol=1e-10)


def test_mcg_is_dps_plus_replacement(prior):
    x, like = problem(prior, [0, 1], noise=Noiseless())
    t, s, m = VP()(0.6), VP()(0.5), like.A.s
    state = State(noised(x, t), x)
    mcg = SOLVERS["mcg"](c=0.7).step(state, ONLY, t, s, prior, like, Rng([3, 4])).x
    rng = Rng([3, 4])
    dps = SOLVERS["dps"](c=0.7).step(state, ONLY, t, s, prior, like, rng).x
    known = s.alpha * like.y + s.sigma * rng.randn_like(x)
    torch.testing.assert_close(mcg, m * known + (1 - m) * dps, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("beta", [0.05, 1.0])
def test_implicit_prior_step_is_the_papers_update(prior, beta):
    """u − h d + γ z with the paper's d and γ, where M Mᵀ = A⁺A."""
    x, like = problem(prior, [0, 1], SMALL, Noiseless())
    t, s = Level(0.5, 1.0, 0.5), Level(0.49, 1.0, 0.485)
    xt = noised(x, t)
    out = SOLVERS["implicit_prior"](beta=beta).step(State(xt, x), ONLY, t, s, prior, like, Rng([3, 4])).x
    h = (1 - s.ratio / t.ratio) / beta
    see = lambda v: like.A.pinv(like.A(v))
    f = xt - prior(xt, t)
    d = f - see(f) + see(xt) - like.A.pinv(like.y)
    gamma = (((1 - beta * h) ** 2 - (1 - h) ** 2) * t.ratio**2) ** 0.5
    want = xt - h * d + gamma * Rng([3, 4]).randn_like(x)
    torch.testing.assert_close(out, want, rtol=1e-9, atol=1e-9)


# corrections of the denoiser


@pytest.mark.parametrize("t", LEVELS, ids=lambda t: f"rho={t.ratio:.2g}")
@pytest.mark.parametrize("op", ["inpaint", SMALL, BLUR])
def test_tmpd_is_exact_on_a_gaussian_prior_and_what_mmps_converges_to(prior, op, t):
    x, like = problem(prior, [0, 1], op)
    xt = noised(x, t)
    got = SOLVERS["tmpd"]().estimate(xt, t, prior, like, Rng([0, 0]))
    torch.testing.assert_close(got, exact_mean(prior, like, xt, t), rtol=1e-8, atol=1e-8)
    mmps = SOLVERS["mmps"](cg_steps=200).estimate(xt, t, prior, like, Rng([0, 0]))
    torch.testing.assert_close(got, mmps, rtol=1e-7, atol=1e-7)


def test_diagonal_tmpds_are_tmpd_where_the_matrix_is_diagonal_and_only_there(prior):
    """Independent pixels of different variance under a mask; a correlated prior tells all three apart."""
    lam = torch.linspace(0.1, 2, 64)
    t, rng = EDM()(0.5), Rng([0, 0])
    for p, same in ((GaussianPrior(SHAPE, torch.diag(lam)).double(), True), (prior, False)):
        x, like = problem(p, [0, 1])
        xt = noised(x, t)
        full, diag, rows = (SOLVERS[n]().estimate(xt, t, p, like, rng) for n in ("tmpd", "tmpd_diag", "tmpd_rowsum"))
        for a, b in ((full, diag), (full, rows), (diag, rows)):
            assert torch.allclose(a, b, rtol=1e-8, atol=1e-8) == same


def test_tmpd_diag_and_rowsum_take_the_diagonal_and_the_row_sums(prior):
    x, like = problem(prior, [0, 1], SMALL)
    t, A = EDM()(0.5), matrix(like.A)
    xt = noised(x, t)
    V = t.ratio**2 * jacobian(prior, t)
    C = A @ V @ A.T
    res = like.residual(prior(xt, t)).flatten(1)
    for name, c in (("tmpd_diag", C.diagonal()), ("tmpd_rowsum", C.sum(1))):
        want = prior(xt, t) + ((res / (c + 0.1**2)) @ A @ V).reshape(x.shape)
        got = SOLVERS[name]().estimate(xt, t, prior, like, Rng([0, 0]))
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)


def test_tmpd_takes_noiseless_data_with_unseen_pixels(prior):
    x, like = problem(prior, [0, 1], noise=Noiseless())
    t = EDM()(0.5)
    for name in ("tmpd", "tmpd_diag", "tmpd_rowsum"):
        got = SOLVERS[name]().estimate(noised(x, t), t, prior, like, Rng([0, 0]))
        assert torch.isfinite(got).all()
        assert (float(like.residual(got).abs().max()) < 1e-6) == (name == "tmpd")


def test_pigdm_score_is_exact_for_a_standard_normal_prior_only(prior):
    t, errors = VP()(0.5), []
    for p in (GaussianPrior(SHAPE, torch.eye(64)).double(), prior):
        x, like = problem(p, [0, 1])
        xt = noised(x, t)
        exact = exact_mean(p, like, xt, t)
        got = SOLVERS["pigdm_score"]().estimate(xt, t, p, like, Rng([0, 0]))
        errors.append(float((got - exact).norm() / (exact - p(xt, t)).norm()))
    assert errors[0] < 1e-10
    assert errors[1] > 0.05


def test_pigdm_score_increment_vanishes_with_the_step_and_pigdms_does_not(prior):
    x, like = problem(prior, [0])
    t = VP()(0.5)
    state = State(noised(x, t), x)
    still = renoise(state.x, prior(state.x, t), t, t, 0.0, Rng([0]))
    moved = [
        SOLVERS[n](eta=0.0).step(state, ONLY, t, t, prior, like, Rng([0])).x - still for n in ("pigdm", "pigdm_score")
    ]
    assert float(moved[1].abs().max()) < 1e-12 < float(moved[0].abs().max())


@pytest.mark.parametrize("op", ["inpaint", SMALL])
def test_dmps_is_diffpir_with_the_state_for_the_estimate_in_the_residual(prior, op):
    """λ = 1: x̂₀ + ρ² Aᵀ(σ_y² I + ρ² AAᵀ)⁻¹(y − A u), by dense algebra; equal where the prior is flat (x̂₀ = u)."""
    x, like = problem(prior, [0, 1], op)
    t, A, rng = VP()(0.5), matrix(like.A), Rng([0, 0])
    xt = noised(x, t)
    r2, u = t.ratio**2, xt / t.alpha
    inverse = torch.linalg.inv(0.01 * torch.eye(len(A), dtype=A.dtype) + r2 * A @ A.T)
    shift = r2 * (like.residual(u).flatten(1) @ inverse @ A).reshape(x.shape)
    got = SOLVERS["dmps"](lam=1.75).estimate(xt, t, prior, like, rng)
    torch.testing.assert_close(got, prior(xt, t) + 1.75 * shift, rtol=1e-8, atol=1e-8)
    flat = Denoiser(lambda x, _: x)
    a, b = (SOLVERS[n](lam=1.0).estimate(xt, t, flat, like, rng) for n in ("dmps", "diffpir"))
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("op", ["inpaint", SMALL, BLUR])
def test_dds_with_an_exact_solve_is_diffpir_at_lambda_1(prior, op):
    """γ = ρ_t²/σ_y²."""
    x, like = problem(prior, [0, 1], op)
    t = VP()(0.5)
    state = State(noised(x, t), x)
    dds = SOLVERS["dds"](gamma=t.ratio**2 / 0.1**2, cg_steps=200).step(state, ONLY, t, CLEAN, prior, like, Rng([0, 0]))
    want = SOLVERS["diffpir"](lam=1.0).estimate(state.x, t, prior, like, Rng([0, 0]))
    torch.testing.assert_close(dds.x, want, rtol=1e-7, atol=1e-7)


def test_dds_without_noise_is_ddnm_and_keeps_the_old_noise(prior):
    x, like = problem(prior, [0, 1], SMALL, Noiseless())
    t, s = VP()(0.5), VP()(0.4)
    state = State(noised(x, t), x)
    a, b = (SOLVERS[n](eta=0.85).step(state, ONLY, t, s, prior, like, Rng([1, 2])).x for n in ("dds", "ddnm"))
    torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def test_ddpg_moves_from_back_projection_to_a_gradient_step(prior):
    x, like = problem(prior, [0, 1], BLUR)
    solver, rng, A = SOLVERS["ddpg"](zeta=0.0), Rng([0, 1]), like.A
    for t, s, weight in ((EDM()(0.9), EDM()(0.85), 0.0), (EDM()(0.1), Level(0.01, 1.0, 1e-4), 1.0)):
        start = solver.init(t, prior, like, Rng([0, 1]))
        torch.testing.assert_close(start.c, torch.ones(2, dtype=x.dtype), rtol=1e-2, atol=0)  # ‖A‖ = 1
        new = solver.step(replace(start, x=noised(x, t), c=torch.ones_like(start.c)), ONLY, t, s, prior, like, rng)
        x0 = prior(noised(x, t), t)
        res = like.residual(x0)
        want = x0 + (1 - weight) * A.ridge(res, 0.7 * 0.1**2) + weight * A.adjoint(res)
        torch.testing.assert_close(new.x0, want, rtol=1e-6, atol=1e-6)
        # far from the clean level nothing is left of the old noise either
        left = 1e-6 if weight == 0 else 10 * s.sigma  # close to it, the old noise is as small as its level
        torch.testing.assert_close(new.x, s.alpha * want, rtol=1e-6, atol=left)


def test_ddpg_without_noise_is_ddnm_with_recomputed_noise(prior):
    x, like = problem(prior, [0, 1], noise=Noiseless())
    t, s, solver = VP()(0.5), VP()(0.4), SOLVERS["ddpg"](zeta=0.3)
    start = replace(solver.init(t, prior, like, Rng([0, 1])), x=noised(x, t))
    new = solver.step(start, ONLY, t, s, prior, like, Rng([3, 4]))
    projected = like.prox(prior(start.x, t), 0.0)
    want = renoise(start.x, projected, t, s, 0.3, Rng([3, 4]))
    torch.testing.assert_close(new.x, want, rtol=2e-4, atol=2e-4)  # η = 1e-4 is a ridge, not a projection


def test_mpgd_moves_the_estimate_along_the_gradient_and_keeps_the_old_noise(prior):
    x, like = problem(prior, [0, 1], BLUR)
    t, s = VP()(0.5), VP()(0.4)
    xt = noised(x, t)
    with counting() as calls:
        got = SOLVERS["mpgd"](kappa=0.4, eta=0.0).step(State(xt, x), ONLY, t, s, prior, like, Rng([0, 1]))
    assert calls.backwards == 0
    x0 = prior(xt, t)
    res = like.residual(x0)
    new = x0 + 0.4 / t.alpha * like.A.adjoint(res) / bcast(norm(res), x)  # n = 1 on VP
    torch.testing.assert_close(got.x0, new, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(got.x, s.alpha * new + s.sigma * noise_in(xt, x0, t), rtol=1e-9, atol=1e-9)


def test_lgd_loss_is_a_log_mean_exp_and_its_step_follows_it(prior):
    x, like = problem(prior, [0, 1], BLUR)
    t, s, c, n = VP()(0.5), VP()(0.4), 0.3, 4
    solver, xt, rng = SOLVERS["lgd"](c=c, n=n), noised(x, t), Rng([3, 4])
    got = solver.step(State(xt, x), ONLY, t, s, prior, like, rng).x
    rng = Rng([3, 4])
    offsets = [t.sigma * rng.randn_like(x) for _ in range(n)]  # r_t = σ_t on VP
    v = xt.clone().requires_grad_()
    losses = torch.stack([like.residual(prior(v, t) + o).flatten(1).norm(dim=1) for o in offsets])
    total = torch.exp(-losses).mean(0).log()
    torch.testing.assert_close(-total.detach(), solver.loss(prior(xt, t), offsets, like), rtol=1e-10, atol=1e-10)
    g = torch.autograd.grad(total.sum(), v)[0]
    want = renoise(xt, prior(xt, t), t, s, ddpm(t, s), rng) + c * g
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_lgd_is_dps_where_its_draws_have_no_spread(prior):
    x, like = problem(prior, [0, 1], BLUR)
    t, s = VP()(0.5), VP()(0.4)
    state = State(noised(x, t), x)
    a, b = (SOLVERS[k](c=0.4).step(state, ONLY, t, s, prior, like, Quiet([0, 0])).x for k in ("lgd", "dps"))
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


# annealed Langevin dynamics


def test_score_ald_update_is_the_papers(prior):
    """Two inner steps without noise: score + Aᵀ(y − A u)/(σ_y² + γ²) with γ = ρ."""
    x, like = problem(prior, [0, 1], BLUR)
    t, s, lr = VP()(0.5), VP()(0.4), 0.3
    xt = noised(x, t)
    got = SOLVERS["score_ald"](inner_steps=2, lr=lr).step(State(xt, x), ONLY, t, s, prior, like, Quiet([0, 0])).x
    u, tau, A = xt / t.alpha, lr * t.ratio**2, matrix(like.A)
    for _ in range(2):
        score = t.alpha * (t.alpha * prior(t.alpha * u, t) - t.alpha * u) / t.sigma**2
        data = (like.residual(u).flatten(1) @ A).reshape(x.shape) / (0.1**2 + t.ratio**2)
        u = u + tau * (score + data)
    torch.testing.assert_close(got, s.alpha * u, rtol=1e-9, atol=1e-9)


def moments(name, like, prior, n, schedule, **options):
    many = like.take(torch.zeros(n, dtype=torch.long))
    x = solve(SOLVERS[name](**options), prior, many, Rng(range(n)), schedule)
    return x.mean(0), x.flatten(1).T.cov()


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.1, 0.6])
def test_snips_with_a_full_rank_operator_samples_the_gaussian_posterior(prior, sigma):
    """Mean within Monte Carlo error; standard deviations within that and the bias of Langevin steps."""
    _, one = problem(prior, [0], "gaussian_blur:std=0.6,size=5,boundary=circular", Gaussian(sigma))
    assert float(one.A.s.min()) > 0.1
    mean, cov = posterior(prior, one)
    n = 200
    got, spread = moments("snips", one, prior, n, EDM(0.02, 10.0), steps=200, inner_steps=6, lr=0.2)
    sd = cov.diagonal().sqrt()
    error = (got - mean[0]).flatten() / (sd / n**0.5)
    assert error.abs().mean() < 1.2  # 0.8 is expected of a standard normal
    assert abs(float((spread.diagonal().sqrt() / sd).mean()) - 1) < 0.1


def test_snips_coordinates_the_prior_alone_decides_ignore_the_data_and_the_clear_ones_the_score(prior):
    """Where s ρ > σ_y the move is τ (ȳ/s − x̄); where s = 0 it is τ ρ² score."""
    x, like = problem(prior, [0, 1], noise=Gaussian(0.1))
    t, lr = Level(0.5, 1.0, 0.5), 0.1
    xt, m = noised(x, t), like.A.s
    solver = SOLVERS["snips"](inner_steps=1, lr=lr)
    got = solver.step(State(xt, x), ONLY, t, t, prior, like, Quiet([0, 0])).x
    want = xt + lr * torch.where(m > 0, like.y - xt, prior(xt, t) - xt)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
    t = Level(0.1, 1.0, 0.05)  # below the noise of the data: a = τρ²(1 − ρ²/σ_y²)
    xt = noised(x, t)
    got = solver.step(State(xt, x), ONLY, t, t, prior, like, Quiet([0, 0])).x
    score, rest = (prior(xt, t) - xt) / t.ratio**2, 0.1**2 - t.ratio**2
    seen = (1 - t.ratio**2 / 0.1**2) * ((like.y - xt) / rest + score)
    want = xt + lr * t.ratio**2 * torch.where(m > 0, seen, score)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


# optimisation at every step


def test_dcdp_fits_the_data_by_momentum_and_then_purifies(prior):
    x, like = problem(prior, [0, 1], SMALL)
    solver = SOLVERS["dcdp"](inner_steps=3, lr=0.5, ode_steps=1, steps=4)
    levels = solver.levels(VP(), like)
    assert levels[0].ratio == pytest.approx(2.03)
    assert [level.t / levels[0].t for level in levels] == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    A, z, m = matrix(like.A), torch.zeros(2, 64, dtype=x.dtype), torch.zeros(2, 64, dtype=x.dtype)
    for _ in range(3):
        m = 0.9 * m + (z @ A.T - like.y.flatten(1)) @ A
        z = z - 0.5 * m
    torch.testing.assert_close(solver.fit(torch.zeros_like(x), like).flatten(1), z, rtol=1e-9, atol=1e-9)
    t, state = levels[0], State(x, x)
    new = solver.step(state, ONLY, t, levels[1], prior, like, Rng([0, 1]))
    purified = prior(t.alpha * x + t.sigma * Rng([0, 1]).randn_like(x), t)
    torch.testing.assert_close(new.x, solver.fit(purified, like), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_sitcom_minimises_its_stated_loss_over_the_state(prior):
    """Run long, on noiseless data: consistent through the denoiser; with λ large the state stays."""
    x, like = problem(prior, [0, 1], SMALL, Noiseless())
    t = VP()(0.3)
    xt = noised(x, t)
    far = SOLVERS["sitcom"](inner_steps=600, lr=0.02).estimate(xt, t, prior, like, Rng([0, 0]))
    assert float(norm(like.residual(far)).max()) < 0.02 * float(norm(like.residual(prior(xt, t))).min())
    near = SOLVERS["sitcom"](inner_steps=300, lr=1e-3, lam=1e6).estimate(xt, t, prior, like, Rng([0, 0]))
    torch.testing.assert_close(near, prior(xt, t), rtol=0, atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sitcom", "resample"])
def test_optimisation_stops_at_the_noise_image_by_image(prior, name):
    """An image whose residual the noise explains is left alone; its neighbour is not."""
    x, like = problem(prior, [0, 1], BLUR)
    t, solver = VP()(0.05), SOLVERS[name]()
    xt = noised(x, t)
    y = like.A(prior(xt, t)) + torch.tensor([0.05, 0.5], dtype=x.dtype).reshape(-1, 1, 1, 1)
    like = replace(like, y=y)
    x0 = prior(xt, t)
    got = solver.estimate(xt, t, prior, like, Rng([0, 0])) if name == "sitcom" else solver.fit(x0, like)
    assert torch.equal(got[0], x0[0])
    assert float(norm(like.residual(got))[1]) < 0.8 * float(norm(like.residual(x0))[1])


@pytest.mark.slow
def test_resample_draws_from_the_product_of_its_two_gaussians(prior):
    n, t, s = 20000, VP()(0.5), VP()(0.48)
    solver = SOLVERS["resample"]()
    z, x = torch.full((n, 1, 1, 1), 0.7, dtype=torch.float64), torch.full((n, 1, 1, 1), -0.2, dtype=torch.float64)
    out = solver.resample(x, z, t, s, prior, Rng(range(n)))
    g = 40 * (s.sigma / t.sigma) ** 2 * (1 - (t.alpha / s.alpha) ** 2)
    precision = 1 / g + 1 / s.sigma**2
    mean = (0.7 * s.alpha / s.sigma**2 - 0.2 / g) / precision  # x' is known to g, α_s z to σ_s²
    assert abs(float(out.mean()) - mean) < 5 * precision**-0.5 / n**0.5
    assert abs(float(out.std()) * precision**0.5 - 1) < 0.03
    ve = [Level(level.t, 1.0, level.ratio) for level in (t, s)]  # another schedule of the same ratios
    there = solver.resample(x / s.alpha, z, *ve, prior, Rng(range(n)))
    torch.testing.assert_close(there * s.alpha, out, rtol=1e-9, atol=1e-9)


def test_resample_is_dps_on_ddim_except_where_it_fits(prior):
    x, like = problem(prior, [0, 1], BLUR)
    solver = SOLVERS["resample"](steps=100, every=10)
    for t, s, fits in ((VP()(0.9), VP()(0.89), False), (VP()(0.45), VP()(0.44), False), (VP()(0.4), VP()(0.39), True)):
        state = State(noised(x, t), x)
        out = solver.step(state, Count(round(100 * (1 - t.t)) + 1, 100), t, s, prior, like, Quiet([0, 0]))
        x0 = prior(state.x, t)
        plain = SOLVERS["dps"](c=0.5 * t.alpha**2).step(state, ONLY, t, s, prior, like, Quiet([0, 0])).x
        ddim = plain + renoise(state.x, x0, t, s, 0.0, Rng([0, 0]))
        ddim = ddim - renoise(state.x, x0, t, s, ddpm(t, s), Quiet([0, 0]))
        assert torch.allclose(out.x, ddim, rtol=1e-9, atol=1e-9) != fits
        assert torch.equal(out.x0, x0) != fits


# DiffStateGrad


def test_diffstategrad_projects_the_guidance_on_the_states_leading_singular_vectors(prior):
    x, like = problem(prior, [0, 1], BLUR)
    t, s = VP()(0.5), VP()(0.4)
    state = State(noised(x, t), x)
    plain, guided, projected = (
        solver.step(state, ONLY, t, s, prior, like, Rng([3, 4])).x
        for solver in (
            SOLVERS["dps"](c=0.0),
            SOLVERS["dps"](c=0.4),
            SOLVERS["diffstategrad"](inner=build("dps:c=0.4", SOLVERS), variance=0.7),
        )
    )
    g, got = guided - plain, projected - plain
    torch.testing.assert_close(got, project(g, state.x, 0.7), rtol=1e-9, atol=1e-12)
    assert float(got.norm()) < 0.95 * float(g.norm())
    for i in range(2):
        U, S, Vt = torch.linalg.svd(state.x[i, 0])
        rank = int(((S**2).cumsum(0) / (S**2).sum() < 0.7).sum()) + 1
        want = U[:, :rank] @ U[:, :rank].T @ g[i, 0] @ Vt[:rank].T @ Vt[:rank]
        torch.testing.assert_close(got[i, 0], want, rtol=1e-9, atol=1e-12)


def test_diffstategrad_that_keeps_everything_is_the_inner_solver(prior):
    _, like = problem(prior, [0, 1], BLUR)
    for inner, at in (("dps", "state"), ("pigdm", "state"), ("mpgd:kappa=0.3", "estimate")):
        wrapped = SOLVERS["diffstategrad"](inner=build(inner, SOLVERS), at=at, variance=1.0, steps=6)
        runs = [solve(solver, prior, like, Rng([1, 2])) for solver in (wrapped, wrapped.solver)]
        torch.testing.assert_close(runs[0], runs[1], rtol=1e-9, atol=1e-9)


def test_diffstategrad_projects_the_gradient_in_the_clean_image_too(prior):
    x, like = problem(prior, [0, 1], BLUR)
    t, inner = VP()(0.5), "mpgd:kappa=0.4"
    state = State(noised(x, t), x)
    wrapped = SOLVERS["diffstategrad"](inner=build(inner, SOLVERS), at="estimate", variance=0.7)
    x0 = prior(state.x, t)
    g = wrapped.solver.step(state, ONLY, t, CLEAN, prior, like, Rng([3, 4])).x0 - x0
    got = wrapped.step(state, ONLY, t, CLEAN, prior, like, Rng([3, 4])).x0 - x0
    torch.testing.assert_close(got, project(g, x0, 0.7), rtol=1e-9, atol=1e-12)


def test_diffstategrad_inherits_the_needs_of_its_inner_solver_and_refuses_what_it_cannot_project(prior):
    _, like = problem(prior, [0])
    with counting() as calls, pytest.raises(MismatchError, match="NoiselessLinear"):
        solve(SOLVERS["diffstategrad"](inner=build("mcg", SOLVERS)), prior, like, Rng([0]))
    assert calls.forwards == 0
    with pytest.raises(SpecError, match="no gradient of A"):
        SOLVERS["diffstategrad"](inner=build("ddrm", SOLVERS), at="estimate")
    with pytest.raises(MismatchError, match="at=estimate"):
        solve(SOLVERS["diffstategrad"](inner=build("ddrm", SOLVERS)), prior, like, Rng([0]))


def test_diffstategrad_refuses_signals_that_have_no_singular_vectors():
    prior = GaussianPrior((6,), torch.eye(6))
    like = likelihood(Dense((6,), torch.eye(6)), Gaussian(0.1), torch.zeros(1, 6))
    with counting() as calls, pytest.raises(ShapeError, match="height, width"):
        solve(SOLVERS["diffstategrad"](), prior, like, Rng([0]))
    assert calls.forwards == 0


def fixed(levels: list[Level]) -> VP:
    class Fixed(VP):
        def levels(self, steps: int, start: float = 1.0) -> list[Level]:
            return levels

    return Fixed()


EXPLICIT = ["score_ald", "score_sde", "repaint", "ilvr", "implicit_prior", "mcg", "tmpd", "tmpd_diag", "tmpd_rowsum"]
EXPLICIT += ["dmps", "lgd", "mpgd", "snips", "dds", "ddpg", "pigdm_score", "dcdp", "sitcom", "resample"]
SMALLER: dict[str, dict[str, object]] = {"dcdp": {"inner_steps": 5, "ode_steps": 2}, "mpgd": {"kappa": 0.3}}
SMALLER |= {"repaint": {"jump": 2}, "resample": {"every": 2, "inner_steps": 5}, "sitcom": {"inner_steps": 3}}


@pytest.mark.parametrize("name", EXPLICIT)
def test_solver_sees_ratios_only(prior, name):
    """The same answer on VP and on the VE schedule of the same ratios."""
    vp = VP().levels(6)
    noise = Noiseless() if issubclass(SOLVERS[name].needs, NoiselessLinear) else Gaussian(0.1)
    _, like = problem(prior, [0, 1], BLUR if name == "snips" else SMALL, noise)
    solver, runs = SOLVERS[name](**{"steps": 6, **SMALLER.get(name, {})}), []
    for levels in (vp, [Level(t.t, 1.0, t.ratio) for t in vp]):
        *_, end = trajectory(solver, prior, like, Rng([1, 2]), fixed(levels))
        runs.append(end.state.estimate)
    torch.testing.assert_close(runs[0], runs[1], rtol=1e-6, atol=1e-6)


def test_diffstategrad_is_named_and_counted_as_its_inner_solver():
    solver = build("diffstategrad:inner=(reddiff:lam=0.5),at=estimate,steps=7", SOLVERS)
    assert (solver.returns, solver.inner.lam, solver.solver.steps) == ("point", 0.5, 7)
    assert build(spec_of(solver, SOLVERS), SOLVERS) == solver
    assert build("diffstategrad", SOLVERS).returns == "sample"


def test_ddpg_does_not_put_the_noise_of_the_data_back(prior):
    """Denoising: its last step would otherwise be a plain gradient step on the data, which ends on y itself."""
    x, like = problem(prior, [0, 1], "denoise", Gaussian(0.5))
    got = solve(SOLVERS["ddpg"](steps=20), prior, like, Rng([0, 1]), EDM(0.5, 10.0))
    assert (norm(got - x) < 0.8 * norm(like.y - x)).all()  # 1 is y itself


def test_a_start_or_an_end_is_a_noise_level_and_means_the_same_on_any_schedule(prior):
    _, like = problem(prior, [0, 1], BLUR)
    for schedule in (VP(), EDM(), EDM(0.03, 3.0)):
        assert SOLVERS["dcdp"]().levels(schedule, like)[0].ratio == pytest.approx(2.03)
    assert SOLVERS["dcdp"]().levels(EDM(0.03, 1.0), like)[0].ratio == pytest.approx(1.0)
    quick = {"steps": 100, "every": 1, "inner_steps": 1}
    for ratio, fits in ((9.5, False), (9.3, True)):
        state, t = State(torch.zeros_like(like.y), torch.zeros_like(like.y)), Level(0.9, 1.0, ratio)
        out = SOLVERS["resample"](**quick).step(state, Count(2, 100), t, Level(0.8, 1.0, 9.0), prior, like, Rng([0, 1]))
        assert torch.equal(out.x0, prior(state.x, t)) != fits


def test_daps_can_be_told_the_papers_tau_and_decay(prior):
    """τ² = 2σ_y² is the noise model's own likelihood; a step size that falls to 0 moves nothing at the end."""
    x, like = problem(prior, [0, 1], BLUR)
    t, s = VP()(0.3), VP()(0.2)
    state = State(noised(x, t), x)
    own, told = (SOLVERS["daps"](mcmc_steps=5, **o) for o in ({}, {"tau": 0.1 * 2**0.5}))
    a, b = (solver.step(state, Count(1, 9), t, s, prior, like, Rng([3, 4])).x for solver in (own, told))
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    still = SOLVERS["daps"](mcmc_steps=5, lr=1e-3, absolute=True, decay=0.0)
    last = still.step(state, Count(9, 9), t, s, prior, like, Rng([3, 4])).x0
    torch.testing.assert_close(last, flow(state.x, t, prior, 5))


@pytest.mark.parametrize("size", [3, 6])
def test_gmres_solves_what_is_not_symmetric_and_mixes_no_images(size):
    """In as many steps as there are dimensions, and in fewer with the least residual that the Krylov space allows."""
    g = torch.Generator().manual_seed(size)
    M = torch.randn(2, size, size, generator=g, dtype=torch.float64)
    b = torch.randn(2, size, generator=g, dtype=torch.float64)
    A = lambda x: (M @ x[..., None])[..., 0]
    torch.testing.assert_close(gmres(A, b, size), torch.linalg.solve(M, b))
    space = torch.stack([b, A(b)], -1)  # of two steps
    best = torch.linalg.lstsq(M @ space, b[..., None]).solution
    torch.testing.assert_close(gmres(A, b, 2), (space @ best)[..., 0])
    torch.testing.assert_close(gmres(A, 1e-3 * b, 2), 1e-3 * gmres(A, b, 2))
    assert not gmres(A, 0 * b, 2).any()
    identity = gmres(lambda x: 2 * x, b, 2)  # a Krylov space of one dimension
    torch.testing.assert_close(identity, b / 2)
    alone = gmres(lambda x: (M[1:] @ x[..., None])[..., 0], b[1:], 2)
    torch.testing.assert_close(alone, gmres(A, b, 2)[1:], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("op", ["gaussian_blur:std=0.6,size=3,boundary=circular", "inpaint:keep=0.5"])
def test_mmps_by_gmres_is_that_by_conjugate_gradient_where_the_jacobian_is_symmetric(op):
    prior = rbf_prior().double()
    x, like = problem(prior, [0, 1], op, Gaussian(0.1))
    t = VP()(0.4)
    got = [SOLVERS["mmps"](cg_steps=64, krylov=k).estimate(x, t, prior, like, Rng([0, 0])) for k in ("cg", "gmres")]
    torch.testing.assert_close(got[0], got[1], rtol=1e-6, atol=1e-6)


def test_sitcom_stops_at_the_noise_and_its_slack():
    prior = rbf_prior().double()
    x, like = problem(prior, [0, 1], "inpaint:keep=0.5", Gaussian(0.1))
    left = {}
    for slack in (0.05, 0.2):
        solver = SOLVERS["sitcom"](inner_steps=500, lr=0.005, slack=slack)
        x0 = solver.estimates(x, VP()(0.3), CLEAN, prior, like, Rng([0, 0]))[1]
        left[slack] = norm(like.residual(x0)) / like.count.sqrt()
        assert (left[slack] < 1.02 * (0.1 + slack)).all()
    assert (left[0.2] > left[0.05]).all(), "it does not go on where the noise explains the rest"


def test_ddnm_on_noisy_data_divides_by_no_small_singular_value():
    """A blur whose smallest singular value is 1e-3: the projection of noise of 0.05 was 50 times as large as white."""
    prior = rbf_prior().double()
    x, like = problem(prior, [0, 1], "gaussian_blur:std=1,size=5,boundary=circular", Gaussian(0.05))
    got = solve(SOLVERS["ddnm"](steps=50), prior, like, Rng([0, 1]))
    assert (got - x).abs().max() < 1
