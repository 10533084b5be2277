"""Computed tomography: analytic sinograms, conventions, inverses, and the classical baselines."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
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
from xhat.numerics.calls import counting
from xhat.numerics.linalg import dot, rms
from xhat.operators import OPERATORS
from xhat.operators.building import build_operator
from xhat.priors import NoPrior
from xhat.rng import Rng
from xhat.science.ct.fbp import fbp
from xhat.science.ct.operator import CT
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
    points, directions = A.geometry.rays()
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
    y, s = A(pixel)[0, 0], A.geometry.cells()
    for view, place in ((0, 3 / 9), (1, 2 / 9)):
        assert float(s[y[view].argmax()]) == pytest.approx(place, abs=A.geometry.pitch / 2)
    exact = OPERATORS["ct"]((1, 9, 9), angles=2, detectors=2 * round(9 * math.sqrt(2) / 2) + 1)
    total = torch.rand(1, 1, 9, 9)
    image_sum = float(total.sum()) / 81  # the integral of the image, whatever the view
    assert float(exact(total)[0, 0, 0].sum() * exact.geometry.pitch) == pytest.approx(image_sum, rel=0.15)


def smooth(size):
    """A smooth body, (size, size), that is 0 outside the circle in which `radon` wants it."""
    at = (torch.arange(size) - size // 2).double()
    body = torch.exp(-(((at[None] - 6) / 9.0) ** 2) - ((at[:, None] + 3) / 6.0) ** 2)
    return body * (at[None] ** 2 + at[:, None] ** 2 < (size // 2) ** 2)


@pytest.mark.parametrize(("circle", "detectors"), [(True, None), (False, 91)])
@pytest.mark.parametrize("size", [N, N - 1])
@pytest.mark.usefixtures("float64")
def test_scikit_image_is_one_option(circle, detectors, size):
    """Its `radon` rotates the image with bilinear interpolation, which blurs: half a per cent on a smooth image.

    A wrong centre, direction or order of cells is off by 3 % and more.
    """
    radon = pytest.importorskip("skimage.transform").radon
    theta, body = [0.0, 30, 75, 120, 150, 171], smooth(size)
    theirs = torch.from_numpy(radon(body.numpy(), theta=theta, circle=circle))  # (detectors, angles)
    detectors = detectors and len(theirs)
    make = lambda **o: OPERATORS["ct"]((1, size, size), angles=theta, detectors=detectors, **o)
    A = make(convention="skimage")
    y = A.intake(theirs[None])
    assert (A(body[None, None]) - y).norm() < 0.006 * y.norm()
    for wrong in ({"direction": "clockwise"}, {"offset": 0.5}, {"axis": (0.5, 0)}):
        assert (make(convention="skimage", **wrong)(body[None, None]) - y).norm() > 0.012 * y.norm()


GOLDEN_ASTRA = Path(__file__).with_name("golden") / "astra_sinograms.npz"


@pytest.mark.parametrize(("beam", "kind", "apart"), [
    ("parallel", "linear", 1e-5),  # Joseph's rule as well, in single precision
    ("parallel", "line", 0.035),  # pixels as squares, 3 % from its own linear rule where rays run along diagonals
    ("parallel", "strip", 1e-3),
    ("fan", "line_fanflat", 0.012),
    ("fan", "strip_fanflat", 0.007),
])  # fmt: skip
@pytest.mark.usefixtures("float64")
def test_astra_is_one_option(beam, kind, apart):
    """Sinograms that ASTRA 2.5.0 made with its defaults: distances in pixels, cells one pixel apart."""
    golden = np.load(GOLDEN_ASTRA)
    theirs = torch.from_numpy(golden[f"{beam}_{kind}"]).double()
    o = {"geometry": "fan", "distance": 100, "detector_distance": 60} if beam == "fan" else {}
    A = OPERATORS["ct"]((1, N, N), angles=12, detectors=theirs.shape[1], convention="astra", **o)
    y = A.intake(theirs[None])
    x = torch.from_numpy(golden["body"])[None, None]
    assert (A(x) - y).norm() < apart * y.norm()
    mirrored = OPERATORS["ct"](
        (1, N, N), angles=12, detectors=theirs.shape[1], convention="astra", direction="clockwise", **o
    )
    assert (mirrored(x) - y).norm() > 0.1 * y.norm()


SCANS = {  # lengths in mm on pixels of 0.5 mm
    "parallel": {},
    "fan": {"geometry": "fan", "distance": 60, "detector_distance": 45},
    "curved": {"geometry": "curved", "distance": 60, "detector_distance": 45},
}
MOUNTED = {
    "plain": {},
    "offset": {"offset": 0.9},
    "shift": {"shift": -0.7},
    "axis": {"axis": (1.3, -0.6)},
    "clockwise": {"direction": "clockwise", "start": 20},
}


@pytest.mark.parametrize("mounted", MOUNTED)
@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.usefixtures("float64")
def test_real_geometry(scan, mounted):
    """Against the closed-form integral of a disc, with every ray placed by trigonometry of the scanner's own drawing.

    The source, the cell and the axis are written down once more here, without the operator's formulas.
    """
    o = {"angles": 23, "detectors": 90, "pitch": 0.8, "pixel": 0.5, "distance": 1e6} | SCANS[scan] | MOUNTED[mounted]
    made = {k: v for k, v in o.items() if k != "distance" or scan != "parallel"}
    A = OPERATORS["ct"]((1, N, N), white=0.02, **made)
    x = ellipse((2.5 / 32, 1.5 / 32), (8 / 32, 8 / 32))  # a disc of 8 mm at (2.5, 1.5) mm, on an image of 32 mm
    y = A(2 * x - 1)[0, 0]
    turn = (180 if scan == "parallel" else 360) / 23
    for view in (0, 7, 16):
        theta = math.radians(o.get("start", 0) + view * turn) * (-1 if o.get("direction") == "clockwise" else 1)
        for cell in (30, 44, 52):
            s = (cell - 44.5) * 0.8 + o.get("offset", 0)
            far, back = o["distance"], o.get("detector_distance", 0)
            side = o.get("shift", 0)
            if scan == "parallel":  # before it is turned: across and along
                start, end = (s + side, -100.0), (s + side, 100.0)
            elif scan == "fan":
                start, end = (side, -far), (side + s, back)
            else:
                gamma = s / (far + back)
                start = (side, -far)
                end = (side + (far + back) * math.sin(gamma), -far + (far + back) * math.cos(gamma))
            ax, ay = o.get("axis", (0, 0))
            (x0, y0), (x1, y1) = (
                (ax + u * math.cos(theta) - v * math.sin(theta), ay + u * math.sin(theta) + v * math.cos(theta))
                for u, v in (start, end)
            )
            apart = abs((x1 - x0) * (1.5 - y0) - (y1 - y0) * (2.5 - x0)) / math.hypot(x1 - x0, y1 - y0)
            exact = 0.02 * 2 * math.sqrt(max(0.0, 8**2 - apart**2))
            if abs(apart - 8) < 0.5:  # pixels blur the edge, and a ray that grazes it sees most of that
                continue
            assert float(y[view, cell]) == pytest.approx(exact, abs=0.02 * 0.5)  # half a pixel of the edge


@pytest.mark.parametrize("mounted", MOUNTED)
@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.usefixtures("float64")
def test_filtered_back_projection_of_any_geometry(scan, mounted):
    """Of the exact sinogram of an ellipse, in its own units: to 1 % inside, and nothing outside."""
    o = {"detectors": 130, "pitch": 0.6} | SCANS[scan] | MOUNTED[mounted]
    A = OPERATORS["ct"]((1, N, N), angles=180, pixel=0.5, **o)
    y = 0.02 * chords(A, (4, 2), (8, 5)).reshape(1, 1, 180, -1)
    truth = ellipse((4 / 32, 2 / 32), (8 / 32, 5 / 32))
    x = fbp(A, y) / 0.02
    inside = torch.nn.functional.avg_pool2d(truth, 5, 1, 2) > 0.999
    outside = torch.nn.functional.max_pool2d(truth, 7, 1, 3) == 0
    assert float(x[inside].mean()) == pytest.approx(1, abs=0.01)
    assert float(x[outside].abs().mean()) < 0.03


def test_uneven_angles():
    """Each view stands for half of the gaps to its neighbours; a missing wedge belongs to nobody."""
    weights = lambda *angles, **o: OPERATORS["ct"]((1, 8, 8), angles=list(angles), **o).geometry.weights().rad2deg()
    torch.testing.assert_close(weights(0, 90, 135), torch.tensor([67.5, 67.5, 45.0]).double())
    torch.testing.assert_close(weights(0, 180, 90, 270), torch.full((4,), 45.0).double())
    torch.testing.assert_close(weights(*range(0, 120, 2)), torch.full((60,), 2.0).double())
    torch.testing.assert_close(weights(0, 120, 240, geometry="fan"), torch.full((3,), 120.0).double())


def test_angles_come_from_a_file(tmp_path):
    (tmp_path / "theta.txt").write_text("0\n12.5\n 90, 100\n")
    A = build_operator(f"ct:theta={tmp_path}/theta.txt", (1, 8, 8))
    assert A.geometry.angles == (0, 12.5, 90, 100)
    assert OPERATORS["ct"]((1, 8, 8), angles=[0, 12.5, 90, 100]).geometry == A.geometry
    (tmp_path / "theta.txt").write_text("zero")
    with pytest.raises(xhat.errors.DataError, match="no list of angles"):
        OPERATORS["ct"]((1, 8, 8), theta=tmp_path / "theta.txt")


def test_transposed_recordings():
    with pytest.raises(ShapeError, match="transpose it"):
        OPERATORS["ct"]((1, 8, 8), angles=5).intake(torch.zeros(1, 13, 5))


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
    with pytest.raises(SpecError, match="have no distance"):
        make(distance=3)
    with pytest.raises(SpecError, match="no ray crosses"):
        make(offset=9)
    with pytest.raises(SpecError, match="list says them all"):
        make(angles=[1, 2], arc=90)
    with pytest.raises(SpecError, match="half a circle"):
        make(geometry="curved", pitch=1, detectors=20)
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
@pytest.mark.parametrize("name", [n for n in BASELINES if n != "rml"])  # that is for black holes, and has a test there
@pytest.mark.usefixtures("float64")
def test_baselines_treat_images_alone(name, monkeypatch):
    monkeypatch.setattr(CT, "cg_tol", 1e-11)  # the tolerance of a solve is no mixing
    if name == "wavelet":
        pytest.importorskip("pywt")
    A = OPERATORS["ct"]((1, 16, 16), angles=6)
    y = torch.randn(3, 1, *A.data_shape[1:], generator=torch.Generator().manual_seed(0))
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


@pytest.mark.parametrize(("name", "steps"), [("sirt", 600), ("cgls", 60)])
@pytest.mark.usefixtures("float64")
def test_algebraic_methods_come_to_least_squares(name, steps):
    """Without noise, of more rays than pixels: CGLS to the exact image, SIRT to where its slow modes let it."""
    x = torch.randn(2, 1, 12, 12, generator=torch.Generator().manual_seed(0)).mul(0.3)
    A = OPERATORS["ct"]((1, 12, 12), angles=30)
    like = xhat.likelihood(A, xhat.Noiseless(), A(x))
    out = run(name, like, steps=steps)
    assert (out - x).norm() < (0.02 if name == "cgls" else 0.25) * (x + 1).norm()
    assert (out - x).norm() < 0.6 * (run(name, like, steps=steps // 10) - x).norm()


def test_sirt_is_the_textbook_iteration(scan):
    """Two steps by dense linear algebra."""
    x = scan[0][..., ::8, ::8].contiguous()
    A = OPERATORS["ct"](tuple(x.shape[1:]), angles=6)
    M = torch.stack([A(e)[0].flatten() for e in torch.eye(64).reshape(64, 1, 1, 8, 8)], 1)
    y = A(x).flatten()
    R = torch.where(M.sum(1) > 1e-6, 1 / M.sum(1).clamp_min(1e-9), 0.0)
    expected = torch.full((64,), -1.0)
    for _ in range(2):
        expected = expected + M.T @ (R * (y - M @ expected)) / M.sum(0)
    got = run("sirt", xhat.likelihood(A, xhat.Noiseless(), A(x)), steps=2)
    torch.testing.assert_close(got.flatten(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["sirt", "cgls"])
def test_algebraic_methods_stop_at_the_noise(name, scan):
    """The residual ends below the noise, by no more than a step of CGLS takes off; more steps give the same."""
    _, like = scan
    out = run(name, like, steps=300)
    assert 0.7 < float(like.misfit(out)[0]) / 0.005 <= 1
    assert torch.equal(out, run(name, like, steps=400))


def test_a_solve_ends_where_its_error_is_close():
    """By dense linear algebra, on systems of all conditions: what is left is at most `close`, with fewer calls."""
    A = OPERATORS["ct"]((1, 24, 24), angles=9).double_copy()
    x = torch.randn(1, 1, 24, 24, generator=torch.Generator().manual_seed(0)).double()
    M = torch.stack([A(e)[0].flatten() for e in torch.eye(576).double().reshape(576, 1, 1, 24, 24)], 1)
    y = A(x) + 0.005 * torch.randn(A(x).shape, generator=torch.Generator().manual_seed(1)).double()
    for t in (0.1, 0.3, 1.0, 3.0):
        rho = 0.005**2 / t**2
        exact = torch.linalg.solve(M.T @ M + rho * torch.eye(576).double(), M.T @ y.flatten())
        calls = {}
        for close in (0.0, 0.05 * t):
            with counting() as count:
                got = A.ridge(y, rho, close).flatten()
            calls[close] = count.operator
            assert close == 0 or (got - exact).square().mean().sqrt() < close
        assert calls[0.05 * t] < calls[0.0]


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
