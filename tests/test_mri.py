"""Multi-coil MRI: agreement with independent values, conventions, solvers against a closed form, files in and out."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import xhat
from oracles import operator, posterior, problem, rbf_prior
from solver_cases import QUICK, noise_for, prior_for
from xhat.bench.images import Held
from xhat.cli.arguments import main
from xhat.errors import DataError, MismatchError, ShapeError, SpecError
from xhat.files.readers.load import load, load_reference
from xhat.likelihoods import BlindGaussian, LatentLikelihood, SpectralGaussian, likelihood
from xhat.loop import solve
from xhat.noise import Gaussian, Noiseless
from xhat.numerics.linalg import cg
from xhat.operators import OPERATORS
from xhat.rng import Rng
from xhat.schedule import EDM
from xhat.science.mri.espirit import espirit_maps
from xhat.science.mri.kspace import birdcage, combine, estimate_maps, fft2c, ifft2c, line_mask, rss
from xhat.science.mri.metrics import magnitude_psnr, magnitude_ssim
from xhat.science.mri.prior import Magnitude
from xhat.solvers import SOLVERS
from xhat.task.parts import as_solver

h5py = pytest.importorskip("h5py")
SMALL = (2, 16, 16)
LINES = (torch.arange(16) - 8).abs() < 4  # the centre, and every other line outside
LINES[::2] = True
PATTERN = LINES ^ (torch.arange(16)[:, None] % 5 == 0)  # no whole lines: conjugate gradient


def coils(mask=LINES, shape=SMALL, name="mri"):
    """Two coils, or one, in double precision."""
    torch.set_default_dtype(torch.float64)
    try:
        return OPERATORS[name](shape, mask=mask[..., -shape[-1] :], **({"coils": 2} if name == "mri" else {}))
    finally:
        torch.set_default_dtype(torch.float32)


def pairs(z):
    """Complex (…, h, w) as (…, 2, h, w)."""
    return torch.stack([z.real, z.imag], -3)


# --- golden values ----------------------------------------------------------------------------


@pytest.mark.parametrize("R", [4, 8])
def test_golden_masks(golden, R):
    data = golden("mri_320x320_8coil")
    for seed in range(5):
        packed = data[f"mask320_x{R}_seed{seed}"].numpy()
        assert np.array_equal(line_mask(320, R, "random", seed).numpy(), np.unpackbits(packed)[:320].astype(bool))


@pytest.mark.parametrize("R", [4, 8])
@pytest.mark.usefixtures("float64")
def test_golden_kspace_gradient_and_loss(golden, R):
    """The golden numbers are stored in single precision: 1.2e-7 of their largest, 12.3."""
    data = golden("mri_320x320_8coil")
    A = OPERATORS["mri"]((2, 320, 320), acceleration=R, maps=data["maps"].to(torch.complex128))
    x, xb = (data[k].double()[None] for k in ("x", "xb"))
    y = A.intake(data[f"y_x{R}"][None].to(torch.complex128))
    torch.testing.assert_close(A(x), y, rtol=0, atol=2e-6)
    res = A(xb) - y
    torch.testing.assert_close(2 * A.adjoint(res)[0].float(), data[f"grad_x{R}"], rtol=0, atol=1e-7)
    torch.testing.assert_close(res.square().sum(), data[f"loss_x{R}"], rtol=1e-12, atol=0)


@pytest.mark.parametrize("R", [4, 8])
def test_golden_zero_filled_image_and_metrics(golden, R):
    data = golden("mri_320x320_8coil")
    zf = combine(data[f"y_x{R}"], data["maps"])
    torch.testing.assert_close(zf, data[f"zf_mvue_x{R}"], rtol=0, atol=1e-6)
    x = pairs(zf)[None]
    torch.testing.assert_close(magnitude_psnr(x, data["x"][None])[0].double(), data[f"zf_psnr_x{R}"], rtol=0, atol=1e-4)
    torch.testing.assert_close(magnitude_ssim(x, data["x"][None])[0].double(), data[f"zf_ssim_x{R}"], rtol=0, atol=1e-4)


# --- conventions ------------------------------------------------------------------------------


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("h", "w"), [(8, 12), (7, 9)])
def test_one_pixel(h, w):
    """A pixel at (r, c) is exp(−2πi((u − h//2)(r − h//2)/h + (v − w//2)(c − w//2)/w))/√(hw) at frequency (u, v)."""
    r, c = 2, 5
    x = torch.zeros(1, 2, h, w)
    x[0, 0, r, c] = 1
    A = OPERATORS["mri_single"]((2, h, w), acceleration=1)
    k = torch.view_as_complex(A(x))[0, 0].reshape(h, w)
    u, v = torch.arange(h)[:, None] - h // 2, torch.arange(w) - w // 2
    phase = -2 * math.pi * (u * (r - h // 2) / h + v * (c - w // 2) / w)
    torch.testing.assert_close(k, torch.polar(torch.full_like(phase, (h * w) ** -0.5), phase), rtol=0, atol=1e-14)


@pytest.mark.usefixtures("float64")
def test_samples_of_a_line_mask_are_its_columns():
    A = OPERATORS["mri"](SMALL, acceleration=2, seed=1, coils=3)
    x = torch.randn(1, *SMALL)
    maps = birdcage(3, 16, 16)
    k = fft2c(maps * torch.complex(x[0, 0], x[0, 1]))
    columns = line_mask(16, 2, "random", 1)
    torch.testing.assert_close(torch.view_as_complex(A(x))[0].reshape(3, 16, -1), k[..., columns], rtol=0, atol=1e-13)
    assert int(columns.sum()) == 8


@pytest.mark.parametrize("n", [320, 128, 97])
@pytest.mark.parametrize("R", [1, 2, 4, 6, 8])
def test_line_counts(n, R):
    acs = int((0.08 if R <= 6 else 0.04) * n)
    m = line_mask(n, R, "random", 3)
    assert int(m.sum()) == (n if R == 1 else max(n // R, (n + acs) // 2 - (n - acs) // 2))
    assert m[(n - acs) // 2 : (n + acs) // 2].all()
    assert int(line_mask(n, R, "equispaced", 0).sum()) >= int(m.sum())


@pytest.mark.filterwarnings("ignore")  # numba's and sigpy's own
@pytest.mark.parametrize("noise", [0.0, 0.005])
def test_espirit_finds_the_maps(noise):
    """Birdcage maps up to a phase where there is signal, closer than the simple estimate; the image turns out real."""
    pytest.importorskip("sigpy")
    image, maps, seen = disc_scan(64)
    k = fft2c(maps * image)
    k = k + noise * torch.randn(k.shape, dtype=k.dtype, generator=torch.Generator().manual_seed(0))
    lines = line_mask(64, 2, "random", 0)
    lines[26:39] = True
    A = OPERATORS["mri"]((2, 64, 64), mask=lines, maps="espirit", calibration=k)
    found = torch.view_as_complex(A.maps)
    agree = lambda other: (other.conj() * maps).sum(0).abs()[seen]
    simple = estimate_maps(k * lines, lines.expand(64, 64))
    assert agree(found).min() > 0.998  # a calibration of 13 x 13 frequencies against maps of all
    assert 1 - agree(found).min() < 0.5 * (1 - agree(simple / rss(simple)).min())
    torch.testing.assert_close(rss(found)[seen], torch.ones(int(seen.sum())), rtol=0, atol=1e-5)
    corner = rss(found)[:6, :6]
    assert corner.max() == 0
    x = combine(k, found)[seen]
    assert x.imag.abs().mean() < 0.05 * x.real.abs().mean()


def test_espirit_on_the_golden_maps(golden):
    pytest.importorskip("sigpy")
    data = golden("mri_320x320_8coil")
    image, maps = torch.complex(*data["x"]), data["maps"]
    found = espirit_maps(fft2c(maps * image), torch.ones(320, 320, dtype=torch.bool))
    seen = image.abs() > 0.05 * image.abs().max()
    assert (found.conj() * maps).sum(0).abs()[seen].min() > 0.999


def test_espirit_needs_a_calibration():
    k = torch.ones(2, 32, 32, dtype=torch.complex64)
    with pytest.raises(DataError, match="around the centre"):
        OPERATORS["mri"]((2, 32, 32), mask=line_mask(32, 4, "random", 0), maps="espirit", calibration=k)
    with pytest.raises(SpecError, match="espirit needs a recorded k-space"):
        operator("mri:maps=espirit", (2, 32, 32))


def disc_scan(n):
    """A complex image of an ellipse, eight birdcage maps, and where the image is not 0."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, n), torch.linspace(-1, 1, n), indexing="ij")
    seen = (x / 0.7) ** 2 + (y / 0.8) ** 2 < 1
    size = seen * (1 + 0.4 * torch.sin(6 * x + 3 * y))
    return torch.polar(size, x + y / 2), birdcage(8, n, n).to(torch.complex64), seen


def test_the_global_random_state_is_left_alone():
    np.random.seed(5)
    a = np.random.rand()
    np.random.seed(5)
    line_mask(64, 4, "random", 0)
    assert np.random.rand() == a


def test_what_is_not_sampled_is_not_seen():
    """Neither the data nor the estimated maps change with frequencies outside the mask."""
    k = torch.randn(3, 32, 32, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    other = torch.where(line_mask(32, 2, "random", 0), k, 7 * k)
    build = lambda k: OPERATORS["mri"]((2, 32, 32), maps="estimate", calibration=k, mask=mask)
    mask = line_mask(32, 2, "random", 0) | (torch.arange(32) // 4 == 4)
    other = torch.where(mask, k, 7 * k)
    a, b = build(k), build(other)
    assert torch.equal(a.maps, b.maps)
    assert torch.equal(a.intake(k[None]), b.intake(other[None]))


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("mri:mask=spiral", "random, equispaced, a file"),
        ("mri:maps=measured", "birdcage, estimate, espirit, a file"),
        ("mri:maps=estimate", "recorded k-space"),
        ("mri:acceleration=0", "acceleration"),
        ("mri:coils=0", "coils"),
        ("mri:maps=nothere.npy", r"nothere\.npy"),
        ("mri:seed=[]", "seed"),
    ],
)
def test_refused_options(spec, match):
    with pytest.raises((SpecError, ShapeError, DataError), match=match):
        operator(spec, (2, 32, 32))


def test_refused_arrays():
    make = lambda **o: OPERATORS["mri"](SMALL, **o)
    with pytest.raises(ShapeError, match="2 channels"):
        OPERATORS["mri"]((3, 16, 16))
    with pytest.raises(ShapeError, match="mask of shape"):
        make(mask=np.ones(15))
    with pytest.raises(DataError, match="empty"):
        make(mask=np.zeros(16))
    with pytest.raises(ShapeError, match="coil maps of shape"):
        make(maps=torch.ones(3, 8, 8, dtype=torch.complex64))
    with pytest.raises(DataError, match="complex"):
        make(maps=torch.ones(3, 16, 16))
    with pytest.raises(DataError, match="NaN"):
        make(maps=torch.full((3, 16, 16), complex("nan")))
    with pytest.raises(ShapeError, match="does not fit"):
        make().intake(torch.zeros(1, 8, 16, 15, dtype=torch.complex64))
    with pytest.raises(SpecError, match="shape"):
        OPERATORS["mri"].image_shape((2, 128, 2))


# --- solvers ----------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[LINES, PATTERN], ids=["lines", "pattern"])
def small(request):
    """Complex 16 x 16 images that are smooth, two coils, half of k-space: (prior, truths, likelihood)."""
    prior = rbf_prior(SMALL, length=1.5).double()
    x, like = problem(prior, [0, 1], coils(request.param), Gaussian(0.05))
    return prior, x, like


# TMPD's row sums stand for a covariance whose rows have one sign, which Fourier samples do not: it diverges here
UNFIT = ("tmpd_rowsum",)
SLOW = {"tmpd": 4, "tmpd_diag": 12, "daps": 15, "diffstategrad": 100, "efficient_score_prior": 60}  # steps
SLOW |= {"score_prior": 60, "ilo": 100, "score_ilo": 100}
OTHER = (BlindGaussian, LatentLikelihood)  # about kernels and latents


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, c in SOLVERS.items() if not issubclass(c.needs, OTHER)])
def test_every_solver_uses_the_data(name):
    """Half of the mean squared error of knowing nothing, with complex numbers as pairs; 8 x 8 pixels."""
    if name in UNFIT:
        pytest.skip("diverges on Fourier samples")
    prior = rbf_prior((2, 8, 8), length=1.5).double()
    x, like = problem(prior, [0, 1], coils(shape=(2, 8, 8)), noise_for(name, 0.05))
    solver = replace(SOLVERS[name](), steps=SLOW.get(name, 30), **QUICK.get(name, {}))
    out = solve(solver, prior_for(name, prior), like, Rng([0, 1]))
    assert (out - x).square().mean() < 0.5 * x.square().mean()


def test_exact_solves_agree_with_conjugate_gradient(small):
    """On the same lines; conjugate gradient to 1e-12."""
    prior, x, like = small
    A, rho = coils(), torch.tensor([1e-2, 0.3]).double()
    normal = lambda v: A.adjoint(A(v)) + rho.reshape(2, 1, 1, 1) * v
    want = cg(normal, x, 2000, 1e-12)
    torch.testing.assert_close(A.normal_solve(x, rho), want, rtol=1e-6, atol=2e-6 / 1e-2)


def test_lmaps_step_is_the_closed_form_mode(small):
    """Under N(E[x₀|x_t], k ρ² I), by dense linear algebra."""
    prior, x, like = small
    t, k = EDM()(0.6), 0.3
    xt = x + t.ratio * Rng([8, 9]).randn_like(x)
    mode, _ = posterior(prior, like, k * t.ratio**2 * torch.eye(512, dtype=torch.float64), prior(xt, t))
    got = SOLVERS["lmaps"](k=k).estimate(xt, t, prior, like, Rng([0, 0]))
    spread = k**0.5 * t.ratio
    assert (got - mode).square().mean().sqrt() < 0.05 * spread, "conjugate gradient stops at 5 % of this"
    if isinstance(like, SpectralGaussian):
        torch.testing.assert_close(got, mode, rtol=0, atol=3 * like.A.cutoff * spread)


def test_mmps_at_the_first_level_is_the_posterior_mean(small):
    """At σ/α → ∞ E[x₀|x_t, y] is E[x₀|y], by dense linear algebra."""
    prior, x, like = small
    t = EDM(sigma_max=1e4)(1.0)
    xt = t.sigma * Rng([3, 4]).randn_like(x)
    got = SOLVERS["mmps"](cg_steps=250).estimate(xt, t, prior, like, Rng([0, 0]))
    mean, _ = posterior(prior, like)
    torch.testing.assert_close(got, mean, rtol=0, atol=1e-3)


def test_exact_draws_have_the_posterior_mean_and_spread():
    """Of white images, by dense linear algebra; 4.5 standard errors."""
    prior = rbf_prior(SMALL, length=1.5).double()
    _, like = problem(prior, [0], coils(), Gaussian(0.05))
    n, r, origin = 400, 0.5, torch.zeros(1, *SMALL).double()
    many = like.take(torch.zeros(n, dtype=torch.long))
    draws = many.draw(origin.expand(n, *SMALL), r, Rng(range(n)))
    mean, cov = posterior(prior, like, r**2 * torch.eye(512, dtype=torch.float64), origin)
    z = (draws.mean(0) - mean[0]) / (cov.diagonal().reshape(SMALL) / n).sqrt()
    assert z.abs().max() < 4.5
    assert abs(float((draws.var(0) / cov.diagonal().reshape(SMALL)).mean()) - 1) < 0.05


@pytest.mark.parametrize("name", ["mri", "mri_single"])
def test_ddrm_and_ddnm_keep_what_was_measured(name):
    """Without noise every sample of their answer is the measured one, but for singular values taken as 0."""
    prior = rbf_prior(SMALL, length=1.5).double()
    x, like = problem(prior, [0], coils(name=name), Noiseless())
    for solver in (SOLVERS["ddrm"](steps=10), SOLVERS["ddnm"](steps=10)):
        out = solve(solver, prior, like, Rng([0]))
        assert float(like.residual(out).abs().max()) < (5e-3 if name == "mri" else 1e-9)


# --- a grey prior for complex images ----------------------------------------------------------


@pytest.mark.usefixtures("float64")
def test_magnitude_prior_is_exact_for_a_gaussian():
    grey = rbf_prior((1, 8, 8)).double()
    prior, t = Magnitude(grey, imaginary=0.1), EDM()(0.4)
    C = (grey.Q * grey.lam) @ grey.Q.T / 4
    x = Rng([0]).randn_like(torch.zeros(1, 2, 8, 8).double())
    real = 0.5 + C @ torch.linalg.solve(C + t.ratio**2 * torch.eye(64), x[0, 0].flatten() - 0.5)
    got = prior(x, t)[0]
    torch.testing.assert_close(got[0].flatten(), real, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(got[1], x[0, 1] * 0.01 / (0.01 + t.ratio**2), rtol=1e-12, atol=0)
    var = t.ratio**2
    exact = (torch.linalg.inv(torch.linalg.inv(C) + torch.eye(64) / var).trace() / 64 + 0.01 * var / (0.01 + var)) / 2
    assert prior.mse(t) == pytest.approx(float(exact), rel=1e-6)
    with pytest.raises(MismatchError, match="complex"):
        prior.check((1, 8, 8))


# --- files ------------------------------------------------------------------------------------


def phantom(n=48, coils=4, seed=0):
    """A soft ellipse with a smooth phase seen by birdcage coils with a little noise: (image, k-space)."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, n)] * 2, indexing="ij")
    body = torch.sigmoid(8 * (1 - (x / 0.5) ** 2 - (y / 0.6) ** 2)) - 0.4 * torch.exp(-30 * ((x - 0.1) ** 2 + y**2))
    image = torch.polar(body, 0.5 * x + 0.3 * y * y)
    k = fft2c(birdcage(coils, n, n).to(torch.complex64) * image)
    g = torch.Generator().manual_seed(seed)
    return image, k + 0.005 * torch.randn(k.shape, dtype=torch.complex64, generator=g)


def check(found, k):
    """What every reader of complete k-space must find: its shape, its proportions, the truth's magnitude."""
    assert found.operator == "mri"
    assert found.image_shape == (2, *k.shape[-2:])
    torch.testing.assert_close(found.y * found.scale, k, rtol=1e-4, atol=1e-4 * float(k.abs().max()))
    torch.testing.assert_close(found.truth[0] * found.scale, rss(ifft2c(k)), rtol=1e-4, atol=1e-4)
    assert 0.7 < float(np.quantile(found.truth[0], 0.99)) < 1.4
    sigma = float(found.noise.split("=")[1]) * found.scale
    assert 0.7 < sigma / (0.005 / 2**0.5) < 2, "each of real and imaginary part has 1/√2 of a complex number's noise"


def fastmri_file(path, k, slices=3, **datasets):
    with h5py.File(path, "w") as file:
        stack = np.stack([np.zeros_like(k), k, k * 2][:slices])
        file.create_dataset("kspace", data=stack)
        for name, value in datasets.items():
            file.create_dataset(name, data=value)
    return path


def test_fastmri_file(tmp_path):
    _, k = phantom()
    wide = torch.nn.functional.pad(ifft2c(k), (6, 6, 24, 24))  # readouts and phase encodes are cropped in the image
    path = fastmri_file(tmp_path / "a.h5", fft2c(wide).numpy(), reconstruction_rss=np.zeros((3, 48, 48), np.float32))
    check(load(f"{path}#1"), k)
    with pytest.raises(DataError, match="3 slices"):
        load(path)
    with pytest.raises(DataError, match="no slice 3, only 0 to 2"):
        load(f"{path}#3")
    with pytest.raises(DataError, match="only zeros"):
        load(f"{path}#0")


def test_accelerated_fastmri_file_and_single_coil(tmp_path):
    _, k = phantom()
    mask = line_mask(48, 2, "equispaced", 0) | (torch.arange(48) // 6 == 4) | (torch.arange(48) // 6 == 3)
    path = fastmri_file(tmp_path / "a.h5", (k * mask).numpy(), mask=mask.numpy())
    found = load(f"{path}#1")
    assert found.truth is None
    assert torch.equal(found.physics["mask"], mask.expand(48, 48))
    single = fastmri_file(tmp_path / "s.h5", k[0].numpy())
    assert load(f"{single}#1").y.shape == (1, 48, 48)


def test_bart_files(tmp_path):
    _, k = phantom()
    data = np.moveaxis(k.numpy(), 0, -1)[:, :, None]  # (readout, phase 1, phase 2 = 1, coils)
    write_bart(tmp_path / "k", data)
    for end in ("cfl", "hdr"):
        check(load(tmp_path / f"k.{end}"), k)
    write_bart(tmp_path / "t", np.moveaxis(k.numpy(), 0, -1)[None])  # the other convention: readout axis 1
    check(load(tmp_path / "t.cfl"), k)
    maps = estimate_maps(k, torch.ones(48, 48, dtype=torch.bool))
    write_bart(tmp_path / "maps", np.moveaxis(maps.numpy(), 0, -1)[:, :, None])
    A = OPERATORS["mri"]((2, 48, 48), maps=str(tmp_path / "maps.cfl"))
    torch.testing.assert_close(torch.view_as_complex(A.maps), maps)
    (tmp_path / "k.cfl").write_bytes((tmp_path / "k.cfl").read_bytes()[:-8])
    with pytest.raises(DataError, match="truncated"):
        load(tmp_path / "k.cfl")
    (tmp_path / "t.hdr").write_text("no header\n")
    with pytest.raises(DataError, match="# Dimensions"):
        load(tmp_path / "t.cfl")
    (tmp_path / "t.hdr").unlink()
    with pytest.raises(DataError, match="together"):
        load(tmp_path / "t.cfl")
    write_bart(tmp_path / "two", np.zeros((8, 8, 1, 2, 2)))
    with pytest.raises(DataError, match="bart slice"):
        load(tmp_path / "two.cfl")


def write_bart(stem, data):
    stem.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, data.shape)) + "\n")
    data.astype("<c8").flatten(order="F").tofile(stem.with_suffix(".cfl"))


XML = """<?xml version="1.0"?><ismrmrdHeader><encoding>
<encodedSpace><matrixSize><x>96</x><y>48</y><z>1</z></matrixSize>
<fieldOfView_mm><x>400</x><y>200</y><z>5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>48</x><y>48</y><z>1</z></matrixSize>
<fieldOfView_mm><x>200</x><y>200</y><z>5</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>45</maximum><center>22</center>
</kspace_encoding_step_1></encodingLimits><trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"""
COUNTERS = np.dtype(
    [
        (n, "<u2")
        for n in (
            *("kspace_encode_step_1", "kspace_encode_step_2", "average", "slice"),
            *("contrast", "phase", "repetition", "set", "segment"),
        )
    ]
)
HEAD = np.dtype(
    [
        ("flags", "<u8"),
        ("number_of_samples", "<u2"),
        ("active_channels", "<u2"),
        ("center_sample", "<u2"),
        ("idx", COUNTERS),
    ]
)


def ismrmrd_file(path, k, xml=XML, first=2, **changes):
    """Lines `first` … of k-space with twice the readouts, all twice, plus one navigator: the fields that count."""
    long = fft2c(torch.nn.functional.pad(ifft2c(k), (0, 0, 24, 24))).numpy()
    floats = h5py.vlen_dtype(np.dtype("<f4"))
    lines = np.zeros(2 * (48 - first) + 1, np.dtype([("head", HEAD), ("data", floats)]))
    for i, line in enumerate(lines):
        column = first + max(i - 1, 0) // 2
        line["head"]["number_of_samples"], line["head"]["active_channels"] = 96, len(k)
        line["head"]["center_sample"] = 48
        line["head"]["flags"] = 0 if i else 1 << 22
        line["head"]["idx"]["kspace_encode_step_1"] = column - 2
        line["head"]["idx"]["average"] = i % 2
        for name, value in changes.items():
            line["head"][name] = value
        sign = 0.1 if i % 2 else -0.1  # averages out
        line["data"] = np.ascontiguousarray(long[..., column] * (1 + sign)).view(np.float32).ravel()
    with h5py.File(path, "w") as file:
        group = file.create_group("dataset")
        group.create_dataset("xml", data=np.array([xml.encode()], dtype=object), dtype=h5py.string_dtype())
        group.create_dataset("data", data=lines)
    return path


def test_ismrmrd_file(tmp_path):
    _, k = phantom()
    found = load(ismrmrd_file(tmp_path / "a.h5", k))
    mask = torch.arange(48) >= 2
    torch.testing.assert_close(found.y * found.scale, k * mask, rtol=1e-4, atol=1e-4 * float(k.abs().max()))
    assert torch.equal(found.physics["mask"], mask.expand(48, 48))
    with pytest.raises(DataError, match="radial"):
        load(ismrmrd_file(tmp_path / "b.h5", k, XML.replace("cartesian", "radial")))
    with pytest.raises(DataError, match="no imaging lines"):
        load(ismrmrd_file(tmp_path / "c.h5", k, flags=1 << 22))
    with pytest.raises(DataError, match="does not fit"):
        load(ismrmrd_file(tmp_path / "d.h5", k, number_of_samples=97))


def test_broken_and_foreign_files_are_refused(tmp_path):
    _, k = phantom()
    whole = fastmri_file(tmp_path / "a.h5", k.numpy()).read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.h5").write_text("no HDF5 at all")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["voltage"] = np.ones(3)
    with h5py.File(tmp_path / "real.h5", "w") as file:
        file["kspace"] = np.ones((1, 4, 8, 8))
    nan = k.clone()
    nan[0, 0, 0] = float("nan")
    fastmri_file(tmp_path / "nan.h5", nan.numpy())
    for name, words in {
        "cut.h5": "cannot be read as HDF5",
        "text.h5": "cannot be read as HDF5",
        "none.h5": "no such file",
        "other.h5": "it holds voltage",
        "real.h5": "not complex",
        "nan.h5": "NaN",
    }.items():
        with pytest.raises(DataError, match=words):
            load(f"{tmp_path / name}#1" if name == "nan.h5" else tmp_path / name)
    fastmri_file(tmp_path / "m.h5", k.numpy(), mask=np.ones(47))
    with pytest.raises(DataError, match="47 entries for 48"):
        load(f"{tmp_path / 'm.h5'}#1")


@pytest.mark.slow
def test_from_file_to_figure(tmp_path, capsys):
    """A slice of a fastMRI file, retrospectively undersampled, to arrays, pictures, NIfTI and a record."""
    nibabel = pytest.importorskip("nibabel")
    _, k = phantom(48)
    path = fastmri_file(tmp_path / "scan.h5", k.numpy())
    out = tmp_path / "out"
    np.save(tmp_path / "lines.npy", (np.arange(48) % 2 == 0) | (abs(np.arange(48) - 24) < 6))
    command = ["restore", f"{path}#1", "--operator", f"mri:mask={tmp_path}/lines.npy", "--reference", f"{path}#1"]
    command += [
        "--prior",
        "magnitude:prior=photo",
        "--solver",
        "mmps:steps=10",
        "--samples",
        "2",
        "--formats",
        "nii",
        "-o",
        str(out),
    ]
    assert main(command) == 0
    assert {"restored.npy", "restored.png", "restored.nii", "mean.npy", "std.png", "panel.png"} <= {
        p.name for p in out.iterdir()
    }
    z = np.load(out / "restored.npy")
    assert z.shape == (48, 48)
    assert z.dtype == np.complex64
    voxels = nibabel.load(out / "restored.nii").get_fdata()
    record = json.loads((out / "record.json").read_text())
    np.testing.assert_allclose(voxels / record["measurement_scale"], np.abs(z).T, atol=1e-6)
    assert record["measurement_scale"] == pytest.approx(load(f"{path}#1").scale)
    assert record["metrics"]["magnitude_psnr"][0] > 20
    capsys.readouterr()
    assert main([*command, "--formats", "dicom"]) == 2
    assert "choose from nii" in capsys.readouterr().err


def test_simulate_a_grey_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    xhat.save_image("x.png", torch.rand(1, 24, 24) * 2 - 1)
    args = ["--operator", "mri:acceleration=2", "--noise", "gaussian:sigma=0.01"]
    assert main(["simulate", "x.png", *args, "-o", "y.npz"]) == 0
    found = load("y.npz")
    assert found.image_shape == (2, 24, 24)
    A = operator("mri:acceleration=2", (2, 24, 24), torch.float32)
    grey = load_reference("x.png")
    clean = A(torch.cat([(grey + 1) / 2, 0 * grey])[None])[0]
    assert float((found.y - clean).square().mean().sqrt()) == pytest.approx(0.01, rel=0.1)


def test_own_arrays_carry_their_physics(tmp_path):
    """A .npz with y, maps and mask needs no other file."""
    image, k = phantom()
    maps = birdcage(4, 48, 48).to(torch.complex64)
    mask = line_mask(48, 2, "random", 0)
    np.savez(tmp_path / "y.npz", y=k.numpy(), maps=maps.numpy(), mask=mask.numpy(), operator="mri")
    r = xhat.restore(
        tmp_path / "y.npz", noise="gaussian:sigma=0.01", prior=lambda x, s: x / (1 + s**2), solver="lmaps:steps=4"
    )
    assert torch.equal(torch.view_as_complex(r.problem.A.maps), maps)
    assert r.problem.y.shape == (1, 4, 48 * int(mask.sum()), 2)
    again = load(tmp_path / "y.npz")
    again.save(tmp_path / "z.npz")
    assert torch.equal(load(tmp_path / "z.npz").physics["maps"], maps)


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.003, 0.01, 0.03])
def test_lmaps_beats_total_variation_on_slices_that_are_not_trained_on(shared, sigma):
    """At x4, whatever weight total variation has: by 2.9 dB or more, and 1.4 with a ladder that begins in the noise."""
    held = Held(str(shared / "data" / "brain_128.npz"), "brain")
    slices = (torch.cat([held.load(name) for name in held.names()[:2]]) + 1) / 2  # grey, in [-1, 1]
    x = torch.stack([slices, torch.zeros_like(slices)], 1)
    A, noise = xhat.build("mri:acceleration=4", OPERATORS, (2, 128, 128)), Gaussian(sigma)
    like = likelihood(A, noise, noise.sample(A(x), Rng([1, 2])))
    prior = xhat.build_prior("magnitude:prior=brain")
    rows = ["lmaps", *(f"tv:lam={lam}" for lam in (1e-3, 2e-3, 5e-3, 2e-2))]
    score = [float(magnitude_psnr(solve(as_solver(s), prior, like, Rng([3, 4])), x).mean()) for s in rows]
    assert score[0] > max(score[1:]) + 2, dict(zip(rows, score, strict=True))
