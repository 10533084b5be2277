"""Solvers against posteriors known in closed form, and against each other where two methods coincide."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from oracles import LEVELS, ONLY, SHAPE, covariance, exact_mean, matrix, noised, operator, posterior, problem, rbf_prior
from xhat.errors import DivergedError
from xhat.likelihoods import likelihood
from xhat.loop import solve, trajectory
from xhat.noise import Gaussian, Noiseless
from xhat.numerics.inner import gauss_newton
from xhat.priors import GaussianPrior
from xhat.rng import Rng
from xhat.schedule import CLEAN, EDM, VP, Level
from xhat.solvers import SOLVERS, State
from xhat.transition import ddpm, noise_in, renoise


@pytest.fixture(scope="module")
def prior() -> GaussianPrior:
    return rbf_prior().double()


@pytest.mark.parametrize("t", LEVELS, ids=lambda t: f"rho={t.ratio:.2g}")
@pytest.mark.parametrize("op", ["inpaint", "gaussian_blur:std=1,size=9", "super_resolution:factor=2,kind=average"])
def test_mmps_with_converged_cg_is_exact(prior, op, t):
    x, like = problem(prior, [0, 1], op)
    xt = noised(x, t)
    got = SOLVERS["mmps"](cg_steps=200).estimate(xt, t, prior, like, Rng([0, 0]))
    torch.testing.assert_close(got, exact_mean(prior, like, xt, t), rtol=1e-7, atol=1e-7)


@pytest.mark.slow
def test_mmps_run_converges_to_the_posterior_at_first_order(prior):
    """The mean is right within Monte Carlo error; the variance deficit is discretisation and halves with the step."""
    _, one = problem(prior, [0])
    mean, cov = posterior(prior, one)
    n = 256
    many, deficit = one.take(torch.zeros(n, dtype=torch.long)), []
    for steps in (40, 80):
        x = solve(SOLVERS["mmps"](steps=steps, cg_steps=30, eta=0.0), prior, many, Rng(range(n)), VP())
        sd = cov.diagonal().reshape(SHAPE).sqrt()
        assert ((x.mean(0) - mean[0]) / (sd / n**0.5)).abs().mean() < 1.2  # 0.8 is expected of a standard normal
        deficit.append(1 - float((x.var(0) / sd**2).mean()))
    assert abs(deficit[1]) < 0.7 * abs(deficit[0]), deficit


@pytest.mark.parametrize("t", LEVELS, ids=lambda t: f"rho={t.ratio:.2g}")
@pytest.mark.parametrize("op", ["inpaint", "gaussian_blur:std=1,size=9"])
def test_lmaps_step_is_the_closed_form_mode(prior, op, t):
    """Under N(E[x₀|x_t], k ρ² I), by dense linear algebra."""
    x, like = problem(prior, [0, 1], op)
    xt, k = noised(x, t), 0.3
    cov = k * t.ratio**2 * torch.eye(len(prior.lam), dtype=torch.float64)
    mode, _ = posterior(prior, like, cov, prior(xt, t))
    got = SOLVERS["lmaps"](k=k).estimate(xt, t, prior, like, Rng([0, 0]))
    torch.testing.assert_close(got, mode, rtol=1e-6, atol=1e-6)


def test_lmaps_parametrisations_are_linked_by_2k2_over_k1_squared(prior):
    """2 k₂/k₁² = k/(α_t² σ_y²)."""
    x, like = problem(prior, [0])
    t, k1, k = VP()(0.5), 0.7, 0.3
    k2 = k * k1**2 / (2 * t.alpha**2 * 0.1**2)
    xt, rng = noised(x, t), Rng([0])
    a = SOLVERS["lmaps"](k=k).estimate(xt, t, prior, like, rng)
    b = SOLVERS["lmaps"](k1=k1, k2=k2).estimate(xt, t, prior, like, rng)
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_lmaps_adam_agrees_with_the_exact_solve(prior):
    """The paper's inner loop, run long, finds the minimiser that the exact solve gives at once."""
    x, like = problem(prior, [0, 1])
    t = EDM()(0.5)
    xt, rng = noised(x, t), Rng([0, 0])
    exact = SOLVERS["lmaps"]().estimate(xt, t, prior, like, rng)
    m = prior(xt, t)
    loop = SOLVERS["lmaps"](inner="adam", inner_steps=2000, lr=0.01).estimate(xt, t, prior, like, rng)
    assert (loop - exact).norm() < 1e-3 * (exact - m).norm()


def test_gauss_newton_never_raises_the_objective_and_is_exact_on_linear_problems(prior):
    x, like = problem(prior, [0, 1])
    m, w = torch.zeros_like(x), torch.tensor([0.1, 2.0], dtype=x.dtype)
    got = gauss_newton(like.A, like.y, w, m, steps=2, cg_steps=100)
    torch.testing.assert_close(got, like.prox(m, w), rtol=1e-6, atol=1e-6)


def test_gauss_newton_takes_no_step_out_of_the_domain():
    """−√x from 4 towards −3: the first step lands at −4, where there is no root. The other image is not held back."""

    def f(x):
        if (bad := (x <= 0).flatten(1).any(1)).any():
            raise DivergedError("a root of what is not positive", bad.nonzero().flatten().tolist())
        return x.sqrt()

    m = torch.tensor([[4.0], [4.0]], dtype=torch.float64)
    y, w = torch.tensor([[0.0], [3.0]], dtype=torch.float64), torch.full((2,), 1e-6, dtype=torch.float64)
    found = [gauss_newton(f, y, w, m, steps=n) for n in (1, 60)]
    assert found[0][0] == 4
    assert found[1][0] < 0.1
    torch.testing.assert_close(found[1][1:], torch.full((1, 1), 9.0, dtype=torch.float64), atol=1e-3, rtol=0)
    for i in (0, 1):
        alone = gauss_newton(f, y[i : i + 1], w[i : i + 1], m[i : i + 1], steps=60)
        torch.testing.assert_close(alone, found[1][i : i + 1])
    with pytest.raises(DivergedError):
        gauss_newton(f, y, w, -m)


def test_diffpir_at_lambda_1_is_lmaps_at_k_1(prior):
    _, like = problem(prior, [0, 1])
    a = solve(SOLVERS["diffpir"](lam=1.0, zeta=0.4, steps=15), prior, like, Rng([1, 2]))
    b = solve(SOLVERS["lmaps"](k=1.0, zeta=0.4, renoise="full", steps=15), prior, like, Rng([1, 2]))
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("sigma", [0.02, 0.3])
@pytest.mark.parametrize("s", [VP()(0.6), VP()(0.1), CLEAN], ids=["high", "low", "clean"])
def test_ddnm_plus_is_ddrm_at_eta_b_1(prior, s, sigma):
    """One step from the same state with the same noise, in all three spectral cases (section 6 of the identities)."""
    x, like = problem(prior, [0, 1], "gaussian_blur:std=1,size=7,boundary=circular", Gaussian(sigma))
    t = VP()(0.7)
    state = State(noised(x, t), x)
    a = SOLVERS["ddrm"](eta_b=1.0).step(state, ONLY, t, s, prior, like, Rng([5, 6]))
    b = SOLVERS["ddnm+"]().step(state, ONLY, t, s, prior, like, Rng([5, 6]))
    torch.testing.assert_close(a.x, b.x, rtol=1e-9, atol=1e-9)


def test_ddnm_plus_without_noise_and_eta_1_is_ddnm(prior):
    x, like = problem(prior, [0, 1], noise=Noiseless())
    t, s = VP()(0.7), VP()(0.5)
    state = State(noised(x, t), x)
    a = SOLVERS["ddnm+"](eta=0.85).step(state, ONLY, t, CLEAN, prior, like, Rng([5, 6]))
    b = SOLVERS["ddnm"](eta=0.85).step(state, ONLY, t, CLEAN, prior, like, Rng([5, 6]))
    torch.testing.assert_close(a.x, b.x, rtol=1e-9, atol=1e-9)
    assert float(like.residual(b.x).abs().max()) < 1e-9
    assert SOLVERS["ddnm"]().step(state, ONLY, t, s, prior, like, Rng([5, 6])).x.shape == x.shape


def test_ddrm_transition_keeps_the_noise_level(prior):
    """With the true x₀ as its estimate and y from the model, x_s/α_s − x₀ has standard deviation ρ_s in every case."""
    A = operator("gaussian_blur:std=1,size=7,boundary=circular")
    n, sigma = 4000, 0.2
    x = prior.sample(Rng([0])).double().expand(n, *SHAPE)
    y = A(x) + sigma * Rng(range(n)).randn_like(x)
    like = likelihood(A, Gaussian(sigma), y)
    truth = type("Truth", (type(prior),), {"forward": lambda self, xt, t: x})(SHAPE, torch.eye(64))
    t = VP()(0.7)
    for s in (VP()(0.5), VP()(0.2)):
        state = State(noised(x, t, 10**5), x)
        out = SOLVERS["ddrm"]().step(state, ONLY, t, s, truth, like, Rng(range(10**6, 10**6 + n)))
        sd = A.Vt(out.x / s.alpha - x).std(0)
        torch.testing.assert_close(sd, torch.full_like(sd, s.ratio), rtol=0.06, atol=0)  # 5 standard errors at n = 4000


def test_the_exact_draw_has_the_mean_and_covariance_of_its_gaussian(prior):
    _, one = problem(prior, [0], noise=Gaussian(0.3))
    n, r = 4000, 0.5
    many = one.take(torch.zeros(n, dtype=torch.long))
    centre = prior.sample(Rng([4])).double()
    draws = many.draw(centre.expand(n, *SHAPE), r, Rng(range(n)))
    mean, cov = posterior(prior, one, r**2 * torch.eye(64, dtype=torch.float64), centre)
    sd = cov.diagonal().sqrt().reshape(SHAPE)
    assert ((draws.mean(0) - mean[0]) / (sd / n**0.5)).abs().max() < 4.5
    torch.testing.assert_close(draws.std(0), sd, rtol=0.06, atol=0)  # 5 standard errors
    whitened = draws.sub(mean).flatten(1) @ torch.linalg.inv(torch.linalg.cholesky(cov)).T
    assert (whitened.T @ whitened / n - torch.eye(64)).abs().max() < 6 / n**0.5


@pytest.mark.slow
def test_daps_langevin_tends_to_the_exact_draw(prior):
    """Long chains: the same mean and spread as the exact inner draw, within Monte Carlo error and the O(lr) bias."""
    x, one = problem(prior, [0], noise=Gaussian(0.3))
    n, t = 400, Level(0.5, 1.0, 0.4)
    many = one.take(torch.zeros(n, dtype=torch.long))
    xt = noised(x, t).expand(n, *SHAPE)
    chain = SOLVERS["daps"](mcmc_steps=400, lr=0.05).estimate(xt, t, prior, many, Rng(range(n)))
    exact = SOLVERS["daps_exact"]().estimate(xt, t, prior, many, Rng(range(n)))
    error = (chain.mean(0) - exact.mean(0)) / (exact.std(0) / (n / 2) ** 0.5)
    assert error.abs().mean() < 1.0
    assert abs(float((chain.std(0) / exact.std(0)).mean()) - 1) < 0.05


def test_daps_mode_is_the_mean_of_its_draws(prior):
    """The inner posterior is Gaussian: 2000 draws average to its mode, and the mode takes no randomness."""
    x, one = problem(prior, [0], noise=Gaussian(0.3))
    n, t = 2000, Level(0.5, 1.0, 0.4)
    many, xt = one.take(torch.zeros(n, dtype=torch.long)), noised(x, t)
    draws = SOLVERS["daps_exact"]().estimate(xt.expand(n, *SHAPE), t, prior, many, Rng(range(n)))
    mode = SOLVERS["daps_exact"](mode=True).estimate(xt, t, prior, one, Rng([]))
    assert ((draws.mean(0) - mode[0]) / (draws.std(0) / n**0.5)).abs().max() < 4.5


@pytest.mark.parametrize("steps", [10, 50])
def test_daps_has_twice_the_variance_of_the_prior_where_nothing_is_measured(steps):
    """By the recursion of its variance: the flow is told ρ and meets √2 ρ, the noise of the draw and of the level."""
    var, n = 0.25, 500
    white = GaussianPrior((1, 4, 4), var * torch.eye(16), schedule=EDM(0.01, 20.0)).double()
    like = likelihood(operator("denoise", (1, 4, 4)), Gaussian(1e3), torch.zeros(n, 1, 4, 4).double())
    x = solve(SOLVERS["daps_exact"](steps=steps), white, like, Rng(range(n)))
    ratios = [level.ratio for level in white.schedule.levels(steps)]
    state = var + ratios[0] ** 2
    for r, after in pairwise(ratios):
        factor = 1.0
        for u, v in pairwise(EDM(min(0.01, r / 2), r).levels(5)):
            factor *= (var + u.ratio * v.ratio) / (var + u.ratio**2)  # Euler's step for this prior
        drawn = state * factor**2 + r**2
        state = drawn + after**2
    assert float(x.var()) == pytest.approx(drawn, rel=0.07)  # 4 standard errors
    assert 1.5 * var < drawn


def test_pigdm_is_exact_for_a_standard_normal_prior_only(prior):
    """Its increment is r²/ρ² of the exact correction for N(0, I) and clearly is not for a correlated prior."""
    white = GaussianPrior(SHAPE, torch.eye(64)).double()
    t, s = VP()(0.5), VP()(0.4)
    errors = []
    for p in (white, prior):
        x, like = problem(p, [0, 1])
        xt = noised(x, t)
        x0 = p(xt, t)
        out = SOLVERS["pigdm"](eta=0.0).step(State(xt, x), ONLY, t, s, p, like, Rng([0, 0])).x
        increment = (out - renoise(xt, x0, t, s, 0.0, Rng([0, 0]), old=noise_in(xt, x0, t))) / s.alpha
        exact = (exact_mean(p, like, xt, t) - x0) / (1 + t.ratio**2)
        errors.append(float((increment - exact).norm() / exact.norm()))
    assert errors[0] < 1e-10
    assert errors[1] > 0.05


def test_dps_increment_is_the_gradient_it_states(prior):
    """−c n_t n_s Jᵀ Aᵀ res/(α_t ‖res‖) with the Gaussian prior's own Jacobian; far from the exact correction."""
    x, like = problem(prior, [0])
    t, s, c = EDM()(0.5), EDM()(0.45), 0.3
    xt = noised(x, t)
    x0 = prior(xt, t)
    J = covariance(prior) @ torch.linalg.inv(covariance(prior) + t.ratio**2 * torch.eye(64, dtype=torch.float64))
    res = like.residual(x0).flatten(1)
    want = c * t.norm * s.norm * (res @ matrix(like.A) @ J / t.alpha / res.norm()).reshape(x.shape)
    got = SOLVERS["dps"](c=c).step(State(xt, x), ONLY, t, s, prior, like, Rng([3])).x
    plain = renoise(xt, x0, t, s, ddpm(t, s), Rng([3]))
    torch.testing.assert_close(got - plain, want, rtol=1e-8, atol=1e-10)


def test_reddiff_gradient_is_that_of_its_stated_loss(prior):
    """Adam sees only the gradient: compare it with autograd of the loss as the paper writes it."""
    x, like = problem(prior, [0])
    t, solver = VP()(0.5), SOLVERS["reddiff"]()
    state = solver.init(t, prior, like, Rng([0]))
    new = solver.step(state, ONLY, t, CLEAN, prior, like, Rng([9]))
    mu = state.x.clone().requires_grad_()
    eps = Rng([9]).randn_like(mu)
    xt = (t.alpha * mu + t.sigma * eps).detach()
    e = noise_in(xt, prior(xt, t), t)
    data = like.residual(mu).square().sum() / like.count / 2  # the mean over what was measured
    loss = data + solver.lam * t.ratio * ((e - eps) * mu).mean()
    loss.sum().backward()
    torch.testing.assert_close(new.adam.m, 0.1 * mu.grad, rtol=1e-9, atol=1e-12)  # Adam's first moment is (1 − β₁) g


def test_ratio_schedule_does_not_matter(prior):
    """A solver that sees x/α and ρ only gives the same answer on VP and on the VE schedule of the same ratios."""
    _, like = problem(prior, [0, 1])
    vp = VP().levels(12)
    ve = [Level(t.t, 1.0, t.ratio) for t in vp]
    for name in ("lmaps", "ddrm", "ddnm+", "mmps", "dps", "pigdm", "daps_exact"):
        solver = replace(SOLVERS[name](), steps=12)
        runs = []
        for levels in (vp, ve):
            schedule = type("Fixed", (VP,), {"levels": lambda self, steps, start=1.0, levels=levels: levels})()
            *_, end = trajectory(solver, prior, like, Rng([1, 2]), schedule)
            runs.append(end.state.estimate)
        torch.testing.assert_close(runs[0], runs[1], rtol=1e-7, atol=1e-7)
