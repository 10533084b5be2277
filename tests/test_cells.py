"""Data that were rounded or clipped: closed forms against dense algebra and sampling, projections against the code."""

import io
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from scipy.stats import truncnorm

from operator_cases import images
from oracles import rbf_prior
from xhat.errors import DataError, ShapeError, SpecError
from xhat.likelihoods import CellGaussian, likelihood
from xhat.loop import solve
from xhat.noise import Gaussian, Noiseless
from xhat.numerics.truncated import truncated
from xhat.operators import OPERATORS
from xhat.operators.jpeg import JPEG, libjpeg_tables
from xhat.operators.jpeg_codec import FACTORS, Codec
from xhat.rng import Rng
from xhat.solvers import DDNM, LMAPS, DiffPIR
from xhat.spec import build

double = pytest.mark.usefixtures("float64")
MODES = ["4:4:4", "4:2:2", "4:2:0"]


def drawn(shape, batch=2, seed=0):
    """Smooth images with some detail in [−0.8, 0.8], which codes keep in part; black and white are not reached."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, shape[0], 5, 5, generator=g)
    x = torch.nn.functional.interpolate(coarse, shape[1:], mode="bicubic") + 0.05 * torch.randn(
        batch, *shape, generator=g
    )
    return (1.6 * x - 0.8).clamp(-0.8, 0.8)


def dense(codec):
    """T of one MCU as a matrix."""
    c, h, w = codec.channels, codec.height, codec.width
    eye = torch.eye(c * h * w, dtype=torch.float64).reshape(-1, c, h, w)
    return codec.analyse(eye)[:, 0].T


# --- truncated normal distributions ---------------------------------------------------------------


@double
@pytest.mark.parametrize("at", [-9.0, -1.0, 0.0, 0.4, 3.0, 20.0])
@pytest.mark.parametrize("width", [0.01, 1.0, 30.0])
def test_truncated_is_scipys(at, width):
    """For intervals of 0.01 to 30 standard deviations, inside and in the far tail."""
    mean, std, low = torch.tensor(0.7), torch.tensor(2.0), torch.tensor(0.7 + 2 * at)
    got = truncated(mean, std, low, low + 2 * width)
    theirs = truncnorm(at, at + width, loc=0.7, scale=2.0)
    mass = truncnorm.logpdf(at + width / 2, at, at + width) + at * width / 2 + (at**2 + width**2 / 4) / 2 + 0.918938533
    torch.testing.assert_close(got[0].item(), theirs.mean(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(got[1].item(), theirs.var(), rtol=2e-3, atol=0)  # scipy's own digits at 0.01
    torch.testing.assert_close(got[2].item(), -mass, rtol=1e-4, atol=1e-4)


def test_truncated_in_pieces_is_truncated(monkeypatch):
    g = torch.Generator().manual_seed(0)
    mean, low = torch.randn(7, 5, generator=g), torch.randn(7, 5, generator=g)
    whole = truncated(mean, torch.tensor(0.3), low, low + 1)
    monkeypatch.setattr("xhat.numerics.truncated.CHUNK", 4)
    for a, b in zip(whole, truncated(mean, torch.tensor(0.3), low, low + 1), strict=True):
        assert torch.equal(a, b)


# --- JPEG ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "picks"), [*product(FACTORS, [False]), ("4:2:0", True)])
def test_the_transform_of_an_mcu_is_solved_exactly(mode, picks):
    across, down = FACTORS[mode]
    codec = Codec(8 * down, 8 * across, 3, across, down, picks)
    T, g = dense(codec), torch.Generator().manual_seed(0)
    n = len(T)
    z = torch.randn(2, 1, n, generator=g, dtype=torch.float64)
    v = torch.rand(2, 1, n, generator=g, dtype=torch.float64) * 5 + 0.01
    for i in (0, 1):
        expected = torch.linalg.solve(T @ T.T + torch.diag(v[i, 0]), z[i, 0])
        torch.testing.assert_close(codec.ridge(z, v)[i, 0], expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(codec.adjoint(z)[i].flatten(), T.T @ z[i, 0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(codec.squares, T.square().sum(1), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(codec.analyse(codec.synthesise(z)), z, rtol=1e-9, atol=1e-9)


@double
@pytest.mark.parametrize("mode", MODES)
def test_a_noisy_file_is_the_ridge_regression_of_its_middles(mode):
    """With noise the cells are Gaussians of Δ²/12 and more: dense algebra on one MCU, in units of x."""
    across, down = FACTORS[mode]
    shape, sigma, r2 = (3, 8 * down, 8 * across), 0.03, 0.2
    A = JPEG(shape, quality=20, subsampling=mode)
    x, m = drawn(shape, 1), drawn(shape, 1, seed=4)
    noise = Gaussian(sigma)
    y = noise.sample(A(x), Rng([3]))
    like = likelihood(A, noise, y)
    assert isinstance(like, CellGaussian)
    codec = Codec(*shape[1:], 3, across, down)
    T, steps = dense(codec), codec.steps(A.steps[0])
    v = (steps**2 / 12 + 0.12) / 127.5**2 + sigma**2 * T.square().sum(1)
    pull = torch.linalg.solve(r2 * T @ T.T + torch.diag(v), T @ (y - m).flatten())
    expected = m + r2 * (T.T @ pull).reshape(m.shape)
    torch.testing.assert_close(like.prox(m, like.var / r2), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("quality", [5, 30, 75])
def test_the_numbers_of_a_file_are_found_in_what_it_shows(mode, quality):
    """Steps times whole numbers, near the transform of the true image, and decoded they give y to 8-bit rounding."""
    shape = (3, 48, 64)
    A, x = JPEG(shape, quality=quality, subsampling=mode), drawn(shape)
    y = A(x)
    codec, steps = A.parts(1)[0]
    z = torch.cat([codec.exact(127.5 * image[None], steps) for image in y])
    numbers = z / steps
    torch.testing.assert_close(numbers, numbers.round(), rtol=0, atol=1e-4)
    assert ((codec.decode(z)[0].clamp(-127.5, 127.5) - 127.5 * y).abs() < 3).all(), (
        "integer arithmetic of libjpeg leaves up to 2.6"
    )
    off = (codec.analyse(127.5 * x) + codec.zero() - z).abs()
    assert (off > steps / 2 + 2).double().mean() == 0, "two grey levels of rounding at most"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("quality", [5, 20, 50])
def test_an_image_in_the_cells_codes_to_y(mode, quality):
    """The law of projections: A(P(m)) = y bit for bit for any m, and what lies inside stays."""
    shape = (3, 48, 64)
    A, x, m = JPEG(shape, quality=quality, subsampling=mode), drawn(shape), drawn(shape, seed=9)
    like = likelihood(A, Noiseless(), A(x))
    found = like.prox(m, 0.0)
    assert (A(m) != like.y).any()
    assert torch.equal(A(found), like.y)
    torch.testing.assert_close(like.prox(found, 0.0), found, rtol=0, atol=1e-3)  # clipping and cells, in turn
    assert torch.equal(A(like.prox(m, like.var / 0.3**2)), like.y), "and so does the mean"


def test_a_border_that_cuts_blocks():
    """29 x 37 pixels: A(x̂) = y but for the blocks at two edges, where the file says more than its picture shows."""
    A = JPEG((3, 29, 37), quality=20)
    y = A(drawn((3, 29, 37)))
    like = likelihood(A, Noiseless(), y)
    found = like.prox(drawn((3, 29, 37), seed=9), 0.0)
    assert torch.equal(A(found)[..., :8, :8], y[..., :8, :8])
    assert (A(found) - y).abs().mean() < 0.03


def test_grey_and_mixed_batches_are_single_images():
    shape = (3, 32, 48)
    A = JPEG(shape, quality=[5, 20, 60], subsampling=MODES)
    x, m = drawn(shape, 3), drawn(shape, 3, seed=8)
    like = likelihood(A, Noiseless(), A(x))
    found = like.prox(m, like.var / 0.1)
    for i, (q, mode) in enumerate(zip([5, 20, 60], MODES, strict=True)):
        B = JPEG(shape, quality=q, subsampling=mode)
        one = likelihood(B, Noiseless(), B(x[i : i + 1]))
        assert torch.equal(one.y[0], like.y[i])
        assert torch.equal(one.prox(m[i : i + 1], one.var / 0.1)[0], found[i])
    G = JPEG((1, 32, 48), quality=10)
    grey = likelihood(G, Noiseless(), G(drawn((1, 32, 48))))
    assert torch.equal(G(grey.prox(drawn((1, 32, 48), seed=3), grey.var)), grey.y)


def test_a_picture_of_another_quality_is_noticed():
    shape = (3, 48, 64)
    y = JPEG(shape, quality=60, subsampling="4:4:4")(drawn(shape))
    with pytest.warns(UserWarning, match="another quality"):
        likelihood(JPEG(shape, quality=7), Noiseless(), y).prox(y, 1.0)


def test_tables_of_a_file(tmp_path):
    """Tables and subsampling come from the file, for one image or for each, and code like the file did."""
    shape = (3, 32, 48)
    x = drawn(shape, 2)
    files = []
    for i, (quality, mode) in enumerate([(35, "4:2:2"), (90, "4:4:4")]):
        pixels = ((x[i] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        files.append(str(tmp_path / f"{i}.jpg"))
        Pillow.fromarray(pixels).save(files[-1], quality=quality, subsampling=mode)
    A = JPEG(shape, tables=files)
    assert A.steps[0].flatten(1).tolist() == libjpeg_tables(35)
    y = A(x)
    for i, file in enumerate(files):
        one = build(f"jpeg:tables='{file}'", OPERATORS, shape)
        assert torch.equal(one(x[i : i + 1])[0], y[i])
        shown = torch.from_numpy(np.array(Pillow.open(file))).permute(2, 0, 1)
        assert torch.equal(((y[i] + 1) * 127.5).round().byte(), shown)
    with pytest.raises(SpecError, match="takes the place"):
        JPEG(shape, tables=files[0], quality=30)
    # a grey photograph stored in colour is explained by its luma alone; a grey file says nothing of chroma
    assert JPEG((1, 32, 48), tables=files[0]).steps[0, 0].flatten().tolist() == libjpeg_tables(35)[0]
    Pillow.new("L", (48, 32)).save(tmp_path / "grey.jpg")
    with pytest.raises(ShapeError, match="channels"):
        JPEG(shape, tables=tmp_path / "grey.jpg")


def test_files_that_tell_nothing(tmp_path):
    for name, made in (("a.png", Pillow.new("RGB", (8, 8))), ("b.jpg", Pillow.new("CMYK", (8, 8)))):
        made.save(tmp_path / name)
        with pytest.raises(DataError, match=name):
            JPEG((3, 8, 8), tables=str(tmp_path / name))
    with pytest.raises(DataError, match=r"none\.jpg"):
        JPEG((3, 8, 8), tables=str(tmp_path / "none.jpg"))
    (tmp_path / "c.jpg").write_bytes(io.BytesIO(b"\xff\xd8\xff").getvalue())
    with pytest.raises(DataError, match=r"c\.jpg"):
        JPEG((3, 8, 8), tables=str(tmp_path / "c.jpg"))


# --- levels and clipping -----------------------------------------------------------------------------


def importance(A, m, r, y, accept):
    """The mean of N(m, r²) on [−1, 1] for one pixel, weighted by `accept`(A(x))."""
    x = torch.linspace(-1, 1, 200_001).reshape(1, 1, 1, -1)
    wide = type(A)((1, 1, 200_001), **A.given.options)
    weight = torch.exp(-((x - m) ** 2) / (2 * r**2)) * accept(wide(x), y)
    return float((weight * x).sum() / weight.sum())


@double
@pytest.mark.parametrize(
    ("name", "m", "y"), [("quantize", 0.9, -1.0), ("quantize", 0.3, 1 / 3), ("hdr", 0.2, 1.0), ("hdr", 0.6, 1.0)]
)
@pytest.mark.parametrize("r", [0.1, 1.0])
def test_the_mean_without_noise_is_that_on_the_cell(name, m, y, r):
    A = OPERATORS[name]((1, 1, 1))
    like = likelihood(A, Noiseless(), torch.full((1, 1, 1, 1), y))
    expected = importance(A, m, r, y, lambda clean, y: ((clean - y).abs() < 1e-9).double())
    got = like.prox(torch.full((1, 1, 1, 1), m), like.var / r**2)
    assert abs(got.item() - expected) < 3e-4  # the grid, and the margin of a projection


@double
@pytest.mark.parametrize("y", [1.05, 0.98, 0.3, -1.1])
@pytest.mark.parametrize("m", [-0.7, 0.2, 0.48, 0.8])
def test_the_mean_of_clipped_noisy_pixels(m, y):
    A, noise, r = OPERATORS["hdr"]((1, 1, 1)), Gaussian(0.05), 0.15
    like = likelihood(A, noise, torch.full((1, 1, 1, 1), y))
    expected = importance(A, m, r, y, lambda clean, y: torch.exp(-((clean - y) ** 2) / (2 * 0.05**2)))
    got = like.prox(torch.full((1, 1, 1, 1), m), like.var / r**2)
    assert abs(got.item() - expected) < 2e-4


@pytest.mark.parametrize("name", ["quantize", "quantize:bits=4", "hdr", "hdr:scale=0.5"])
def test_projections_fit_the_data_and_are_the_nearest(name):
    A = build(name, OPERATORS, (3, 8, 8))
    x, m = images(shape=(3, 8, 8)), images(shape=(3, 8, 8), seed=5)
    like = likelihood(A, Noiseless(), A(x))
    p = like.prox(m, 0.0)
    torch.testing.assert_close(A(p), like.y, rtol=0, atol=1e-6)
    torch.testing.assert_close(like.prox(p, 0.0), p, rtol=0, atol=1e-6)
    assert ((p - m).abs() <= (x - m).abs() + 1e-3).all(), "x fits the data too; the margin of a cell is 1e-3 steps"


# --- solvers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["jpeg:quality=20", "quantize", "hdr"])
@pytest.mark.parametrize("solver", [LMAPS(steps=6), DiffPIR(steps=6)], ids=["lmaps", "diffpir"])
def test_solvers_end_in_the_cells(spec, solver):
    prior = rbf_prior((3, 16, 16)).float()
    A = build(spec, OPERATORS, (3, 16, 16))
    y = A(drawn((3, 16, 16)))
    x = solve(solver, prior, likelihood(A, Noiseless(), y), Rng([0, 1]))
    torch.testing.assert_close(A(x), y, rtol=0, atol=1e-6)


def test_published_rules_stay():
    """DDNM's rule for codes is x + y − A(x), and LMAPS's proxy step is that, damped, on clipped images."""
    A = JPEG((3, 16, 16), quality=20)
    like, m = likelihood(A, Noiseless(), A(drawn((3, 16, 16)))), 1.2 * drawn((3, 16, 16), seed=7)
    torch.testing.assert_close(like.guided(m, 0.0), m + like.y - A(m))
    prior = rbf_prior((3, 16, 16)).float()
    for solver in (LMAPS(steps=4, inner="proxy"), DDNM(steps=4)):
        assert torch.isfinite(solve(solver, prior, like, Rng([0, 1]))).all()
    assert not torch.equal(
        solve(LMAPS(steps=4, inner="proxy"), prior, like, Rng([0, 1])), solve(LMAPS(steps=4), prior, like, Rng([0, 1]))
    )
