"""Computed tomography: analytic sinograms, conventions, inverses, and the classical baselines."""

import math
from dataclasses import replace

import pytest
import torch

import xhat
from oracles import operator, posterior, problem, rbf_prior
from xhat.baselines import BASELINES
from xhat.baselines.fista import divergence, gradient
from xhat.cli.arguments import main
from xhat.errors import MismatchError, ShapeError, SpecError
from xhat.loop import solve
from xhat.noise import Gaussian
from xhat.numerics.linalg import dot, rms
from xhat.operators import OPERATORS
from xhat.priors import NoPrior
from xhat.rng import Rng
from xhat.science.ct.fbp import fbp
from xhat.solvers import SOLVERS

N = 64
AXES = {"parallel": {}, "fan": {"geometry": "fan"}}
both = pytest.mark.parametrize("geometry", AXES)


def ellipse(centre=(0.12, 0.07), axes=(0.25, 0.15), fine=8, n=N):
    """An ellipse averaged over pixels, in units of the image's width: x to the right, y upwards."""
    at = (torch.arange(n * fine, dtype=torch.float64) - (n * fine - 1) / 2) / (n * fine)
    inside = ((at - centre[0]) / axes[0]) ** 2 + ((-at[:, None] - centre[1]) / axes[1]) ** 2 < 1
    return torch.nn.functional.avg_pool2d(inside.double()[None, None], fine)


def chords(A, centre=(0.12, 0.07), axes=(0.25, 0.15)):
    """The exact length of each ray in the ellipse: a chord of the unit circle in stretched coordinates."""
    points, directions = A.rays()
    a = torch.tensor(axes, dtype=torch.float64)
    p, d = (points - torch.tensor(centre, dtype=torch.float64)) / a, directions / a
    middle = (p * d).sum(1) / d.square().sum(1)
    distance = (p - middle[:, None] * d).square().sum(1)
    return 2 * (1 - distance).clamp_min(0).sqrt() / d.norm(dim=1)


@both
@pytest.mark.usefixtures("float64")
def test_ellipse(geometry):
    """Pixels blur the edge by half their size δ: little in all, but a grazing ray sees up to 2 √(2 r δ) of it."""
    A = OPERATORS["ct"]((1, 96, 96), angles=40, **AXES[geometry])
    y, exact = A(ellipse(n=96)).flatten(), chords(A)
    assert (y - exact).norm() < 0.015 * exact.norm()
    assert (y - exact).abs().max() < 2 * math.sqrt(2 * 0.25 * 0.5 / 96)


@pytest.mark.usefixtures("float64")
def test_axes_and_directions():
    """View 0 sums columns, view 90 rows from the bottom up: pinned by one pixel."""
    A = OPERATORS["ct"]((1, 9, 9), angles=2, detectors=9, arc=180)
    pixel = torch.zeros(1, 1, 9, 9)
    pixel[0, 0, 2, 7] = 1  # x = 3/9, y = 2/9
    y, s = A(pixel)[0, 0], A.offsets()
    for view, place in ((0, 3 / 9), (1, 2 / 9)):
        assert float(s[y[view].argmax()]) == pytest.approx(place, abs=A.pitch / 2)
    exact = OPERATORS["ct"]((1, 9, 9), angles=2, detectors=2 * round(9 * math.sqrt(2) / 2) + 1)
    total = torch.rand(1, 1, 9, 9)
    image_sum = float(total.sum()) / 81  # the integral of the image, whatever the view
    assert float(exact(total)[0, 0, 0].sum() * exact.pitch) == pytest.approx(image_sum, rel=0.15)


@pytest.mark.usefixtures("float64")
def test_against_scikit_image():
    """Its `radon` rotates the image with bilinear interpolation about pixel n//2: 3 % apart on a smooth image."""
    radon = pytest.importorskip("skimage.transform").radon
    at = torch.arange(N) - N // 2
    body = torch.exp(-(((at[None] - 6) / 9.0) ** 2) - ((at[:, None] + 3) / 6.0) ** 2)
    body = body * (at[None] ** 2 + at[:, None] ** 2 < (N // 2) ** 2)
    theirs = torch.from_numpy(radon(body.numpy(), theta=[0, 30, 75, 120, 150], circle=True)).T / N
    A = OPERATORS["ct"]((1, N, N), angles=12)
    ours = A(body[None, None])[0, 0][[0, 2, 5, 8, 10]]
    shift = torch.stack([A.views()[[0, 2, 5, 8, 10]].cos(), A.views()[[0, 2, 5, 8, 10]].sin()], 1)
    # their centre, pixel n//2, is (½, −½) pixels from ours
    places = (at / N + (shift @ torch.tensor([0.5, -0.5]))[:, None] / N) / A.pitch + (A.count - 1) / 2
    low = places.floor().long()
    part = places - low
    resampled = ours.gather(1, low) * (1 - part) + ours.gather(1, low + 1) * part
    assert (resampled - theirs).norm() < 0.01 * theirs.norm()


@both
@pytest.mark.usefixtures("float64")
def test_filtered_back_projection(geometry):
    """The value inside and outside an ellipse, from its analytic sinogram."""
    A = OPERATORS["ct"]((1, N, N), angles=180, **AXES[geometry])
    x = fbp(A, chords(A).reshape(1, 1, 180, -1))
    truth = ellipse()
    inside = torch.nn.functional.avg_pool2d(truth, 5, 1, 2) > 0.999
    outside = torch.nn.functional.max_pool2d(truth, 5, 1, 2) == 0
    assert float(x[inside].mean()) == pytest.approx(1, abs=2e-3)
    assert float(x[inside].std()) < 0.02
    assert float(x[outside].abs().mean()) < 0.02


@pytest.mark.usefixtures("float64")
def test_solve_is_the_posterior_mean():
    """prox under N(x, s² I), by dense linear algebra, within the 5 % of s at which conjugate gradient may stop."""
    shape = (1, 16, 16)
    prior = rbf_prior(shape).double()
    _, like = problem(prior, [0, 1], operator("ct:angles=7", shape), Gaussian(0.01))
    mean, _ = posterior(prior, like, 0.25 * torch.eye(256), torch.zeros(2, *shape))
    got = like.prox(torch.zeros(2, *shape), 0.01**2 / 0.25)
    assert (got - mean).square().mean().sqrt() < 0.05 * 0.5


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["ct:angles=8", "ct:angles=8,arc=90", "ct:angles=8,geometry=fan"])
@pytest.mark.parametrize("name", ["lmaps", "dps", "mmps"])
def test_solvers_use_the_data(name, spec):
    prior = rbf_prior((1, 12, 12)).double()
    x, like = problem(prior, [0, 1], operator(spec, prior.shape), Gaussian(0.01))
    # DPS needs a hundred steps: after forty its error is anywhere between 0.3 and 0.7 of the prior's.
    out = solve(replace(SOLVERS[name](), steps=100 if name == "dps" else 20), prior, like, Rng([0, 1]))
    assert (out - x).square().mean() < 0.5 * x.square().mean()


def test_refusals():
    make = lambda **o: OPERATORS["ct"]((1, 16, 16), **o)
    with pytest.raises(SpecError, match="parallel, fan"):
        make(geometry="helical")
    with pytest.raises(SpecError, match="radius of the image"):
        make(geometry="fan", distance=0.6)
    with pytest.raises(SpecError, match="angles"):
        make(angles=0)
    with pytest.raises(ShapeError, match="give it"):
        OPERATORS["ct"].image_shape((60, 23))


# --- baselines --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scan():
    """A piecewise constant image on [−1, 1], 20 views of it: (truth, likelihood)."""
    x = 2 * ellipse().float() - 1 - 0.7 * ellipse((0.1, 0.1), (0.08, 0.05)).float()
    A = OPERATORS["ct"]((1, N, N), angles=20)
    return x, xhat.likelihood(A, Gaussian(0.005), Gaussian(0.005).sample(A(x), Rng([0])))


def run(name, like, **options):
    return solve(BASELINES[name](**options), NoPrior(), like, Rng(range(len(like.y))))


def test_total_variation_beats_filtered_back_projection(scan):
    x, like = scan
    error = {n: float((run(n, like, **o) - x).square().mean()) for n, o in {"fbp": {}, "tv": {"lam": 1e-4}}.items()}
    assert error["tv"] < 0.2 * error["fbp"]


@pytest.mark.usefixtures("float64")
def test_tv_prox_is_a_minimum():
    """No small change, in many directions, lowers ½‖x' − x‖² + w TV(x')."""
    g = torch.Generator().manual_seed(0)
    x, w = torch.randn(2, 2, 10, 12, generator=g), torch.tensor([0.1, 0.5])
    method = BASELINES["tv"]()
    object.__setattr__(method, "inner_steps", 2000)
    tv = lambda z: gradient(z).square().sum((1, -1)).sqrt().sum((-1, -2))
    energy = lambda z: (z - x).square().flatten(1).sum(1) / 2 + w * tv(z)
    best = method.prox(x, w)
    for seed in range(20):
        d = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
        for size in (1e-2, 1e-1):
            assert (energy(best + size * d) > energy(best) - 1e-6).all()
    p = torch.randn(2, 2, 10, 12, 2, generator=g)
    torch.testing.assert_close(dot(gradient(x), p), dot(x, divergence(p)))


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.005, 0.05, 0.5])
@pytest.mark.parametrize(("name", "operator"), [("tv", "denoise"), ("tv", "ct"), ("wavelet", "denoise")])
def test_lambda_follows_the_noise(name, operator, sigma):
    """The residual comes to what the noise explains: to 2 %, the steps left, where a wrong lambda is off by tens."""
    if name == "wavelet":
        pytest.importorskip("pywt")
    x = 2 * ellipse().float() - 1  # wavelets leave the coarsest scale alone, here one pixel of 64
    x = x if name == "wavelet" else x[..., ::4, ::4].contiguous()
    A = OPERATORS[operator](tuple(x.shape[1:]), **({"angles": 10} if operator == "ct" else {}))
    like = xhat.likelihood(A, Gaussian(sigma), Gaussian(sigma).sample(A(x), Rng([0])))
    ratio = lambda **options: float(like.misfit(run(name, like, **options))[0]) / sigma
    assert abs(ratio(steps=150) - 1) < 0.02
    assert abs(ratio(steps=150, lam=sigma / 100) - 1) > 0.02
    blank = replace(like, y=torch.zeros_like(like.y))
    assert run(name, blank, steps=150).abs().max() == 0


def test_classical_methods_record_no_prior():
    y = xhat.simulate(torch.zeros(1, 16, 16), "ct:angles=6", "gaussian:sigma=0.1")
    for given in ("photo", "none", "no/such/folder.pt"):  # none of which is opened
        assert xhat.restore(y, solver="tv:steps=2", prior=given).record["prior"] == "none"


def test_wavelet_shrinks_noise():
    pytest.importorskip("pywt")
    x = 2 * ellipse().float() - 1
    A = OPERATORS["denoise"]((1, N, N))
    like = xhat.likelihood(A, Gaussian(0.2), Gaussian(0.2).sample(A(x), Rng([0])))
    out = run("wavelet", like, lam=0.4, steps=5)
    assert (out - x).square().mean() < 0.3 * 0.2**2


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.usefixtures("float64")
def test_baselines_treat_images_alone(name, monkeypatch):
    monkeypatch.setattr(OPERATORS["ct"], "cg_tol", 1e-11)  # the tolerance of a solve is no mixing
    if name == "wavelet":
        pytest.importorskip("pywt")
    A = OPERATORS["ct"]((1, 16, 16), angles=6)
    y = torch.randn(3, 1, 6, A.count, generator=torch.Generator().manual_seed(0))
    both = xhat.likelihood(A, Gaussian(0.1), y)
    whole = solve(replace(BASELINES[name](), steps=3), NoPrior(), both, Rng([4, 5, 6]))
    alone = solve(replace(BASELINES[name](), steps=3), NoPrior(), both.take(torch.tensor([1])), Rng([5]))
    torch.testing.assert_close(whole[1:2], alone, rtol=1e-8, atol=1e-8)


def test_back_projection_fits_the_data_best(scan):
    """No other multiple of Aᵀ y explains y better."""
    _, like = scan
    x = run("backprojection", like)
    misfit = lambda c: float(rms(like.residual(c * x)))
    assert misfit(1.0) < min(misfit(0.99), misfit(1.01))


def test_fbp_is_for_line_integrals():
    like = xhat.likelihood(OPERATORS["denoise"]((1, 8, 8)), Gaussian(), torch.zeros(1, 1, 8, 8))
    with pytest.raises(MismatchError, match="ct"):
        run("fbp", like)
    with pytest.raises(MismatchError, match="prior is none"):
        solve(SOLVERS["lmaps"](steps=2), NoPrior(), like, Rng([0]))


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    xhat.save_image("x.png", (2 * ellipse().float() - 1)[0])
    assert (
        main(["simulate", "x.png", "--operator", "ct:angles=30", "--noise", "gaussian:sigma=0.005", "-o", "y.npz"]) == 0
    )
    command = ["restore", "y.npz", "--solver", "tv:lam=1e-4", "--prior", "none", "--steps", "30", "-o", "out"]
    assert main([*command, "--reference", "x.png"]) == 0
    assert "tv:steps=30" in capsys.readouterr().out
