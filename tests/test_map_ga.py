"""MAP-GA: its gradient against differences, its limits against closed forms, its tasks, what it refuses."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from oracles import NOISE, covariance, matrix, operator, problem, rbf_prior
from xhat.errors import MismatchError, SpecError
from xhat.likelihoods import Likelihood, likelihood
from xhat.loop import solve, trajectory
from xhat.noise import Gaussian, Noiseless, Poisson
from xhat.numerics.autodiff import vjp
from xhat.numerics.calls import counting
from xhat.operators import OPERATORS
from xhat.priors import ConsistencyModel, FlowPrior, GaussianPrior, MixturePrior
from xhat.rng import Rng
from xhat.schedule import EDM, Level
from xhat.solvers import SOLVERS
from xhat.solvers.map_ga import MAPGA
from xhat.spec import build

SHAPE, EPS = (1, 4, 4), 0.002
MAP_GA, GENERIC, PIGDM = (SOLVERS[name] for name in ("map_ga", "map_ga_generic", "map_ga_pigdm"))


@pytest.fixture(autouse=True)
def _double(float64):
    """Everything here is a matter of closed forms."""


def at(sigma: float) -> Level:
    return Level(0.5, 1.0, sigma)


def mixture() -> FlowPrior:
    """A prior that is not Gaussian, and its probability flow by Heun's method."""
    means = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(3))
    return FlowPrior(MixturePrior(means, torch.tensor([0.1, 0.3, 0.2])), steps=8)


def data(prior: FlowPrior, A: str, noise: Gaussian | Noiseless, n: int = 2) -> Likelihood:
    op = operator(A, SHAPE)
    return likelihood(op, noise, noise.sample(op(prior.denoiser.sample(Rng(range(n)))), Rng(range(100, 100 + n))))


def log_posterior(x: Tensor, prior: FlowPrior, like: Likelihood, eps: float = EPS) -> Tensor:
    """log N(y; A x, σ_y² I + ε² A Aᵀ) + log p_ε(x), written out with matrices."""
    A, var = matrix(like.A), float(like.var[0])
    cov = var * torch.eye(len(A)) + eps**2 * A @ A.T
    res = (like.y - like.A(x)).flatten(1)
    if var == 0:  # a mask has rows of zeros
        seen = A.abs().sum(1) > 0
        cov, res = cov[seen][:, seen], res[:, seen]
    return -(res * torch.linalg.solve(cov, res.T).T).sum(1) / 2 + prior.denoiser.log_density(x, at(eps))


def differences(f, x: Tensor, h: float = 1e-4) -> Tensor:
    """∇f by central differences of fourth order, all pixels."""
    out = torch.zeros_like(x)
    for i in range(x[0].numel()):
        e = torch.zeros_like(x).flatten(1)
        e[:, i] = h
        e = e.reshape(x.shape)
        out.flatten(1)[:, i] = (8 * (f(x + e) - f(x - e)) - f(x + 2 * e) + f(x - 2 * e)) / (12 * h)
    return out


def close(a: Tensor, b: Tensor, rtol: float) -> None:
    """‖a − b‖ ≤ rtol ‖b‖, image by image."""
    gap, size = ((a - b).flatten(1).norm(dim=1), b.flatten(1).norm(dim=1))
    assert (gap <= rtol * size).all(), (gap / size).tolist()


# The gradient of the MAP objective through the consistency model


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.2, 1.0, 5.0])
@pytest.mark.parametrize(
    ("A", "noise"),
    [("inpaint", NOISE), ("inpaint", Noiseless()), ("gaussian_blur:size=3,std=0.7", Gaussian(0.3)), ("denoise", NOISE)],
)
def test_gradient_against_numerical_differentiation(A, noise, sigma):
    """The paper's equation 16, with an f that is neither linear nor a gradient: 1e-6 relative."""
    prior, t = mixture(), at(sigma)
    like = data(prior, A, noise)
    z = prior.denoiser.sample(Rng([5, 6])) + sigma * Rng([7, 8]).randn_like(like.noise_image(Rng([0, 1])))
    solver = MAPGA(lam="paper", use_prior=True)
    x, pullback = vjp(lambda z: solver.f(z, t, prior), z)
    ours = pullback(solver.direction(x, t, prior, like)) / (like.var[0] + EPS**2)
    numerical = differences(lambda z: log_posterior(prior.jump(z, t), prior, like), z, h=2e-4 * min(1.0, sigma))
    close(ours, numerical, 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("A", "noise"), [("hdr", Poisson(50.0)), ("hdr", NOISE), ("phase_retrieval", NOISE), ("inpaint", Poisson(20.0))]
)
def test_gradient_of_the_generic_algorithm(A, noise):
    """Any noise, any operator: −∇ nll(f(z)) by differences. HDR clips, so the point stays inside."""
    prior, t = mixture(), at(0.5)
    op = operator(A, SHAPE)
    x = 0.2 * prior.denoiser.sample(Rng([0, 1])).clamp(-1, 1)
    like = likelihood(op, noise, noise.sample(op(x), Rng([2, 3])))
    solver, z = GENERIC(use_prior=False, lam="paper"), 0.2 * prior.denoiser.sample(Rng([5, 6])).clamp(-1, 1)
    x, pullback = vjp(lambda z: solver.f(z, t, prior), z)
    scale = (solver.variance(like) + EPS**2).reshape(-1, 1, 1, 1)
    ours = pullback(solver.direction(x, t, prior, like)) / scale
    close(ours, differences(lambda z: -like.nll(prior.jump(z, t)), z, h=1e-4), 1e-6)


@pytest.mark.parametrize("A", ["hdr", "phase_retrieval"])
def test_operators_that_are_not_linear_are_linearised(A):
    """Jᵀ (σ_y² I + ε² J Jᵀ)⁻¹ (y − A(x̂)) with the Jacobian written out; 8 steps of CG are exact enough."""
    op = operator(A, SHAPE)
    x = 0.3 * Rng([0]).randn_like(torch.zeros(1, *SHAPE))
    y = op(0.3 * Rng([1]).randn_like(x))
    like, eps = likelihood(op, Gaussian(0.05), y), 0.02
    J = torch.autograd.functional.jacobian(op, x).reshape(y.numel(), x.numel())
    cov = 0.05**2 * torch.eye(len(J)) + eps**2 * J @ J.T
    res = (y - op(x)).flatten()
    written = (J.T @ torch.linalg.solve(cov, res)).reshape(x.shape)
    close(MAPGA(use_prior=True).likelihood_score(x, Likelihood(op, like.noise, y), eps), written, 1e-4)


# The step lengths, on Gaussian priors


def gaussian(spec: str, sigma_y: float) -> tuple[FlowPrior, Likelihood]:
    smooth = rbf_prior(SHAPE, length=1.5)
    prior = GaussianPrior(SHAPE, covariance(smooth) + 0.05 * torch.eye(16))
    return FlowPrior(prior), problem(prior, [0, 1], spec, Gaussian(sigma_y))[1]


def best(prior: FlowPrior, like: Likelihood, weight: float = 1.0) -> Tensor:
    """The mode of p(x_ε|y) with the prior counted `weight` times."""
    A, n = matrix(like.A), 16
    P = torch.linalg.inv(covariance(prior.denoiser) + EPS**2 * torch.eye(n))
    W = torch.linalg.inv(float(like.var[0]) * torch.eye(len(A)) + EPS**2 * A @ A.T)
    return torch.linalg.solve(A.T @ W @ A + weight * P, A.T @ W @ like.y.flatten(1).T).T.reshape(-1, *SHAPE)


def single(sigma: float, prior: FlowPrior, like: Likelihood, **options) -> Tensor:
    """One level, as in equation 12."""
    solver = MAPGA(steps=1, **options, use_prior=True)
    return solve(solver, prior, like, Rng([3, 4]), EDM(EPS, sigma))


@pytest.mark.slow
@pytest.mark.parametrize("lam", ["level", "paper"])
def test_one_level_converges_to_the_closed_form_map(lam):
    """Above σ_y both step lengths are stable, and have the same fixed point."""
    prior, like = gaussian("inpaint:keep=0.5", 0.3)
    close(single(0.4, prior, like, lam=lam, inner_steps=450), best(prior, like), 1e-6)


@pytest.mark.slow
def test_below_the_noise_only_the_level_step_converges_and_the_papers_grows_as_calculus_says():
    """For A = I the steps are z ← z − λ κ (z − z*) in each eigendirection c of the prior,

    κ = 1/(c + σ²) + j²/(σ_y² + ε²), j² = (c + ε²)/(c + σ²): beyond λ κ = 2 an error grows by |1 − λ κ| a step.
    """
    prior, like = gaussian("denoise", 0.6)
    sigma, c = 0.1, prior.denoiser.lam
    target = best(prior, like)
    close(single(sigma, prior, like, lam="level", inner_steps=700), target, 1e-6)
    growth = (1 - (0.36 + EPS**2) * (1 / (c + 0.01) + (c + EPS**2) / (c + 0.01) / (0.36 + EPS**2))).abs().max()
    assert growth > 5
    off = [(single(sigma, prior, like, lam="paper", inner_steps=n) - target).norm() for n in (150, 151)]
    assert math.isclose(off[1] / off[0], growth, rel_tol=1e-3)


def test_the_unit_step_is_stable_but_nearly_forgets_the_prior():
    """Its fixed point is the mode under the prior to the power ε²/(σ_y² + ε²)."""
    prior, like = gaussian("denoise", 0.3)
    weight = EPS**2 / (0.09 + EPS**2)
    got = single(0.4, prior, like, lam="unit", inner_steps=200)
    close(got, best(prior, like, weight), 1e-6)
    close(got, like.y, 0.01)
    assert (best(prior, like) - like.y).norm() > 0.2 * like.y.norm()


@pytest.mark.slow
def test_all_levels_together_approach_the_map():
    prior, like = gaussian("inpaint:keep=0.5", 0.1)
    target = best(prior, like)
    off = [
        float(
            (
                solve(MAPGA(steps=10, inner_steps=n, use_prior=True), prior, like, Rng([0, 1]), EDM(EPS, 10.0)) - target
            ).norm()
        )
        for n in (3, 12, 48)
    ]
    assert off[2] < 0.1 * float(target.norm())
    assert off[2] < off[1] < off[0]


@pytest.mark.parametrize("sigma_y", [0.05, 0.5])
def test_on_a_mask_the_papers_likelihood_step_is_a_replacement(sigma_y):
    """H Hᵀ = I: λ ∇ log p(y|x̂) = Hᵀ(y − H x̂) whatever σ_y."""
    prior, like = gaussian("inpaint", sigma_y)
    x = Rng([0, 1]).randn_like(like.y)
    step = MAPGA(lam="paper", use_prior=False).direction(x, at(1.0), prior, like)
    torch.testing.assert_close(step, like.A.adjoint(like.y - like.A(x)))


# Algorithms as written


def test_algorithm_2_by_hand():
    """Two levels of two steps with everything written out."""
    prior = mixture()
    like = data(prior, "inpaint", NOISE)
    got = solve(MAPGA(steps=2, inner_steps=2, lam="paper", use_prior=True), prior, like, Rng([0, 1]), EDM(EPS, 3.0))
    rng = Rng([0, 1])
    z = 3.0 * rng.randn_like(like.y)
    s, levels = like.A.s, [v.sigma for v in EDM(EPS, 3.0).levels(3)]
    assert math.isclose(levels[2], EPS)
    for i in range(2):
        for _ in range(2):
            z = z.detach().requires_grad_()
            x = prior.jump(z, at(levels[i]))
            g = s * (like.y - s * x) / (0.01 + EPS**2) + (prior(x, at(EPS)) - x) / EPS**2
            z = z + (0.01 + EPS**2) * torch.autograd.grad(x, z, g.detach())[0]
        x = prior.jump(z.detach(), at(levels[i]))
        z = x + math.sqrt(max(levels[i + 1] ** 2 - EPS**2, 0)) * (rng.randn_like(x) if i == 0 else 0)
    torch.testing.assert_close(got, z)


def test_algorithm_1_ends_at_zero_and_renoises_in_full():
    prior, like = gaussian("inpaint", 0.1)
    solver = GENERIC(steps=3, inner_steps=0)
    rng = Rng([0, 1])
    first = next(iter(trajectory(solver, prior, like, rng, EDM(EPS, 3.0)))).state
    again = Rng([0, 1])
    again.randn_like(like.y)
    s = EDM(EPS, 3.0).levels(4)[1].sigma
    torch.testing.assert_close(first.x, first.x0 + s * again.randn_like(like.y))


def test_denoiser_as_stand_in():
    """A prior without a consistency model is its own stand-in; with one it is asked for."""
    prior, like = gaussian("inpaint", 0.1)
    runs = [
        solve(MAPGA(steps=3, inner_steps=2, model=model, use_prior=True), p, like, Rng([0, 1]), EDM(EPS, 3.0))
        for model, p in (("auto", prior.denoiser), ("denoiser", prior), ("auto", prior), ("consistency", prior))
    ]
    assert torch.equal(runs[0], runs[1])
    assert torch.equal(runs[2], runs[3])
    assert not torch.allclose(runs[0], runs[2])


def test_what_a_run_costs():
    prior, like = gaussian("inpaint", 0.1)
    for use_prior, forwards in ((True, 2 * 4 * (2 * 3 + 1)), (False, 2 * 4 * (3 + 1))):
        with counting() as calls:
            solve(MAPGA(steps=4, inner_steps=3, use_prior=use_prior), prior, like, Rng([0, 1]))
        assert (calls.forwards, calls.backwards) == (forwards, 2 * 4 * 3)


def test_algorithm_3_is_pigdm_below_the_noise():
    """At σ_y the state is x̂ itself; from there PiGDM's formula, written out, gives the rest."""
    prior = mixture()
    like = data(prior, "gaussian_blur:size=3,std=0.7", Gaussian(0.2))
    rng, solver = Rng([0, 1]), PIGDM(steps=8, inner_steps=3, pigdm_steps=6)
    steps = []
    for step in trajectory(solver, prior, like, rng):
        if math.isclose(step.s.sigma, 0.2):
            z, streams = step.state.x, rng.state_dict()
            assert torch.equal(z, step.state.x0)
        steps.append(step)
    assert [s.t.sigma > 0.2 * (1 + 1e-9) for s in steps] == [True] * (len(steps) - 6) + [False] * 6
    levels = EDM(EPS, 0.2).levels(7)[:-1]
    rng, A = Rng([0, 0]), matrix(like.A)
    rng.load_state_dict(streams)
    for t, s in itertools.pairwise(levels):
        z = z.detach().requires_grad_()
        x0 = prior.denoiser(z, t)
        r2 = t.sigma**2 / (1 + t.sigma**2)
        res = (like.y - like.A(x0)).flatten(1)
        v = (torch.linalg.solve(r2 * A @ A.T + 0.04 * torch.eye(len(A)), res.T).T @ A).reshape(z.shape)
        mu = (x0 + t.sigma**2 * torch.autograd.grad(x0, z, v.detach())[0]).detach()
        last = math.isclose(s.sigma, EPS)
        z = mu if last else mu + math.sqrt(s.sigma**2 - EPS**2) * rng.randn_like(mu)
    torch.testing.assert_close(steps[-1].state.estimate, z, rtol=1e-6, atol=1e-8)


def test_algorithm_3_without_noise_is_algorithm_2_without_prior():
    prior = mixture()
    like = data(prior, "inpaint", Noiseless())
    a = solve(PIGDM(steps=3, inner_steps=2), prior, like, Rng([0, 1]))
    b = solve(MAPGA(steps=3, inner_steps=2, use_prior=False, lam="paper"), prior, like, Rng([0, 1]))
    assert torch.equal(a, b)


# Types


def test_refusals_before_the_first_call():
    prior = rbf_prior(SHAPE)
    _, like = problem(prior, [0, 1])
    bare = ConsistencyModel(lambda u, s: u, SHAPE)
    poisson = likelihood(like.A, Poisson(), like.y)
    two = likelihood(like.A, Gaussian((0.1, 0.2)), like.y)
    cases = [
        (MAPGA(model="consistency"), prior, like, "consistency, the folder of a ConsistencyModelPipeline"),
        (
            SOLVERS["consistent_csgm"](),
            prior,
            like,
            r"needs a ConsistencyPrior, and .*xhat\.ConsistencyModel",
        ),
        (MAPGA(use_prior=True), bare, like, "such as map_ga or"),
        (PIGDM(), bare, like, "without a denoiser"),
        (PIGDM(), prior, poisson, "map_ga_generic"),
        (PIGDM(), prior, two, "one noise level"),
    ]
    for solver, p, problem_, message in cases:
        with counting() as calls, pytest.raises(MismatchError, match=message):
            solve(solver, p, problem_, Rng([0, 1]))
        assert calls.forwards == 0
    assert torch.isfinite(solve(MAPGA(steps=2, inner_steps=2), bare, like, Rng([0, 1]))).all()
    for spec in ("map_ga:lam=big", "map_ga:model=gan", "map_ga_pigdm:lam=1"):
        with pytest.raises(SpecError):
            solve(build(spec, SOLVERS), prior, like, Rng([0, 1]))


# Tasks


@pytest.mark.parametrize(
    ("mask", "kept"),
    [("box50", 3 / 4), ("box25", 15 / 16), ("half", 1 / 2), ("expand", 1 / 16), ("sr2x", 1 / 4), ("altlines", 1 / 2)],
)
def test_the_papers_masks(mask, kept):
    m = build(f"inpaint:mask={mask}", OPERATORS, (3, 64, 64)).s[0, 0]
    assert float(m.mean()) == kept
    symmetric = mask in ("box50", "box25", "expand")
    assert torch.equal(m.flip(0), m) == (symmetric or mask == "half")
    assert torch.equal(m.flip(1), m) == (symmetric or mask == "altlines")
    assert float(m[32, 32]) == (mask in ("half", "expand", "sr2x", "altlines")) - (mask == "half")
    assert float(m[0, 0]) == (mask != "expand")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["map_ga", "map_ga_generic", "map_ga_pigdm"])
@pytest.mark.parametrize(
    "task",
    ["inpaint:mask=box50", "gaussian_blur:size=3,std=0.7", "super_resolution:kind=average"],
)
@pytest.mark.parametrize("noise", [Noiseless(), Gaussian(0.05)])
def test_fits_the_data_on_the_papers_tasks(name, task, noise):
    """Down to the noise: a residual within a half of the expected one, or 1 % of the data without noise."""
    base = rbf_prior((1, 8, 8))
    _, like = problem(base, [0, 1], task, noise)
    x = solve(SOLVERS[name](steps=8, inner_steps=12), FlowPrior(base), like, Rng([0, 1]), EDM(EPS, 10.0))
    left = float(like.residual(x).square().mean().sqrt())
    assert left < 1.5 * 0.05 if isinstance(noise, Gaussian) else left < 0.01 * float(like.y.square().mean().sqrt())
