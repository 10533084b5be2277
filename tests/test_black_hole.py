"""Black-hole imaging: golden agreement, conventions, closure invariance, real and broken uvfits files."""

import math

import numpy as np
import pytest
import torch

from xhat.errors import DataError, MismatchError, ShapeError, SpecError
from xhat.likelihoods import LeastSquares, LinearGaussian, likelihood
from xhat.metrics.registry import METRICS
from xhat.noise import Gaussian
from xhat.numerics.inner import gauss_newton
from xhat.numerics.linalg import dot, sq
from xhat.rng import Rng
from xhat.science.vlbi.closure import closures
from xhat.science.vlbi.metrics import aligned, blurred, nxcorr, psnr_aligned, ring
from xhat.science.vlbi.noise import VLBI, complex_of
from xhat.science.vlbi.observation import MICROARCSECOND, Observation
from xhat.science.vlbi.operator import BlackHole
from xhat.task.simulate import simulate

double = pytest.mark.usefixtures("float64")
STATIONS = ("SMA", "JCMT", "SMT", "LMT", "ALMA", "APEX", "PV", "PDB", "SPT")


def observation(stations=6, times=3, seed=0, length=3e9, sigma=1e-3):
    """A small array that sees every baseline at each time."""
    g = np.random.default_rng(seed)
    place = g.normal(size=(times, stations, 2)) * length
    pairs = [(t, i, j) for t in range(times) for i in range(stations) for j in range(i + 1, stations)]
    uv = np.array([place[t, j] - place[t, i] for t, i, j in pairs])
    t, first, second = np.array(pairs).T
    return Observation(
        u=uv[:, 0],
        v=uv[:, 1],
        vis=np.ones(len(uv), dtype=complex),
        sigma=np.full(len(uv), sigma),
        time=t / 6.0,
        first=first,
        second=second,
        stations=tuple(f"S{i}" for i in range(stations)),
    )


def images(batch=3, n=8, seed=1):
    return torch.rand(batch, 1, n, n, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture
def benchmark(golden_file):
    """InverseBench's observation, and a way to a part of its data vector."""
    with np.load(golden_file("blackhole_ratio1")) as arrays:  # it holds text: not for tensors
        data = {k: arrays[k] for k in arrays.files}
    n, c, q, _ = (int(k) for k in data["dims"])
    ends = np.cumsum([n, n, c, c, q, q, 1])
    parts = dict(zip(("amp", "s_amp", "cp", "s_cp", "lca", "s_lca", "flux"), range(7), strict=True))
    part = lambda y, name: torch.as_tensor(np.split(y, ends[:-1])[parts[name]]).double()
    o = Observation(
        u=data["u"],
        v=data["v"],
        vis=data["vis"].astype(complex),
        sigma=data["sigma_scaled"],
        time=data["time"],
        first=np.array([STATIONS.index(s) for s in data["t1"]]),
        second=np.array([STATIONS.index(s) for s in data["t2"]]),
        stations=STATIONS,
    )
    return data, part, o


def model(o, data, **options):
    fov = float(data["fov_rad"]) / MICROARCSECOND
    return BlackHole((1, 64, 64), o, fov=fov, average=0, **options)


def in_model_space(x):
    return torch.from_numpy(x).double()[None, None] * 2 - 1


# --- the benchmark's own numbers; its data are float32, so 1e-6 of the largest is all that can be asked ---


@double
def test_golden_visibilities(benchmark):
    data, _, o = benchmark
    V = complex_of(model(o, data)(in_model_space(data["x01"])))[0].numpy()
    assert abs(V - data["vis"]).max() / abs(data["vis"]).max() < 1e-6


@double
def test_golden_rows_of_the_matrix(benchmark, golden_file):
    data, _, o = benchmark
    with np.load(golden_file("blackhole_Avis_row_sample")) as sample:
        rows, expected = sample["rows"], sample["A_vis"]
    A = model(o.take(rows), data, white=1.0).linear
    pixels = torch.eye(4096).reshape(4096, 1, 64, 64)
    got = 2 * complex_of(A.forward(pixels)).T.numpy()  # x is twice the flux
    assert abs(got - expected).max() / abs(expected).max() < 1e-6


def test_golden_tables(benchmark):
    data, _, o = benchmark
    c = closures(o)
    for name in ("triangles", "reversed", "quadrangles"):
        key = {"triangles": "cp_index", "reversed": "cp_conj", "quadrangles": "camp_index"}[name]
        assert (getattr(c, name).numpy() == data[key]).all()


@double
def test_golden_closure_quantities_and_their_noise(benchmark):
    data, part, o = benchmark
    c, V = closures(o), torch.from_numpy(data["vis"]).to(torch.complex128)[None]
    y = data["y_clean"]
    near = {"rtol": 3e-6, "atol": 3e-6}
    turn = c.phasor(V)[0] * torch.polar(torch.ones(len(part(y, "cp"))), -part(y, "cp"))
    torch.testing.assert_close(turn.angle(), torch.zeros_like(turn.real), rtol=0, atol=3e-6)
    torch.testing.assert_close(c.log_amplitude(V)[0], part(y, "lca"), **near)
    torch.testing.assert_close(c.phase_sigma(V)[0], part(y, "s_cp"), **near)
    torch.testing.assert_close(c.log_amplitude_sigma(V)[0], part(y, "s_lca"), **near)


def noisy(o, part, y):
    """Visibilities with the amplitudes and closure phases of the benchmark's noisy data."""
    c = closures(o)
    T = torch.zeros(len(c.triangles), len(o.u))
    T.scatter_(1, c.triangles, torch.where(c.reversed, -1.0, 1.0))
    phase = T.T @ torch.linalg.solve(T @ T.T, part(y, "cp"))  # the triangles are independent: there is a solution
    return torch.polar(part(y, "amp"), phase)


@double
def test_golden_chi_squares_loss_and_gradient(benchmark):
    """The benchmark's loss is 4 (−log p), with a total flux known to √8 of its units."""
    data, part, o = benchmark
    y = data["y_noisy_seed0"]
    A = model(o, data, flux=float(part(y, "flux")), flux_error=math.sqrt(8))
    measured = torch.cat([noisy(o, part, y), part(y, "flux") + 0j])
    like = likelihood(A, VLBI(), torch.view_as_real(measured)[None])
    for name in ("x01", "other01"):
        found = like.noise.fit(like.y, A(in_model_space(data[name])))
        expected = data["parts_truth" if name == "x01" else "parts_other"]
        assert abs(float(found["chi2_cp"]) / expected[1] - 1) < 1e-5
        assert abs(float(found["chi2_lca"]) / expected[2] - 1) < 1e-5
    x = in_model_space(data["other01"]).requires_grad_()
    loss = 4 * like.nll(x).sum()
    assert abs(float(loss.detach()) / float(data["loss_at_other"]) - 1) < 1e-5
    (g,) = torch.autograd.grad(loss, x)
    expected = torch.from_numpy(data["grad_at_other_model_space"]).double()
    assert (g[0, 0] - expected).abs().max() / expected.abs().max() < 1e-5  # float32 phases over small sigmas there


@double
def test_golden_aligned_and_blurred_psnr(benchmark):
    data, _, _ = benchmark
    x, truth = in_model_space(data["other01"]), in_model_space(data["x01"])
    blur = (blurred(truth, 15 / 2.46875) + 1) / 2
    torch.testing.assert_close(blur[0, 0], torch.from_numpy(data["blurred_x01_15uas"]).double(), rtol=0, atol=1e-6)
    # its columns: plain, then those printed as 10, 15, 20 and dropped, which are those of 0, 10, 15, 20
    for fwhm, expected in zip((0, 0, 10, 15, 20), data["psnr_cols"][0], strict=True):
        assert abs(float(psnr_aligned(x, truth, fwhm / 2.46875)) - expected) < 1e-4
    torch.testing.assert_close(METRICS["psnr_blur"](x, truth), psnr_aligned(x, truth, 6.0))


# --- laws ---


@double
def test_adjoint():
    A = BlackHole((1, 8, 8), observation(), fov=100.0).linear
    x, y = images(), torch.randn(3, *A.data_shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(dot(A.forward(x), y), dot(x, A.adjoint(y)), rtol=1e-12, atol=0)


@double
def test_closure_phases_ignore_station_phases_and_closure_amplitudes_station_gains():
    A = BlackHole((1, 8, 8), observation(), fov=100.0)
    y = A(images())
    V, c = complex_of(y), A.closures
    g = torch.Generator().manual_seed(3)
    turned, scaled, both = (
        torch.polar(torch.rand(3, 6, generator=g) * a + 1 - a, 6.28 * torch.rand(3, 6, generator=g) * b)
        for a, b in ((0, 1), (0.9, 0), (0.9, 1))
    )
    corrupt = lambda gain: gain[:, c.first] * gain[:, c.second].conj() * V
    torch.testing.assert_close(c.phasor(corrupt(turned)), c.phasor(V), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(c.log_amplitude(corrupt(scaled)), c.log_amplitude(V), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(c.phasor(corrupt(both)), c.phasor(V), rtol=1e-10, atol=1e-10)
    # the sample of the noise model does it at random: without thermal noise nothing is left of it in the closures
    quiet = BlackHole((1, 8, 8), observation(sigma=1e-12), fov=100.0)
    z = VLBI(gain=0.5).bind(quiet.detector).sample(y, Rng([0, 1, 2]))
    assert (z - y).abs().max() > 0.1
    torch.testing.assert_close(c.phasor(complex_of(z)), c.phasor(V), rtol=0, atol=1e-7)
    torch.testing.assert_close(c.log_amplitude(complex_of(z)), c.log_amplitude(V), rtol=0, atol=1e-7)


def test_closure_sets_are_independent_and_as_large_as_they_can_be():
    """(N−1)(N−2)/2 closure phases and N(N−3)/2 log closure amplitudes of N stations."""
    for n in (3, 4, 7):
        c = closures(observation(stations=n, times=1))
        assert len(c.triangles) == (n - 1) * (n - 2) // 2
        assert len(c.quadrangles) == n * (n - 3) // 2
        sign = torch.tensor([1.0, 1, -1, -1])
        Q = torch.zeros(len(c.quadrangles), n * (n - 1) // 2).scatter_(1, c.quadrangles, sign.expand_as(c.quadrangles))
        assert int(torch.linalg.matrix_rank(Q)) == len(Q) if len(Q) else n == 3


@double
def test_the_noise_has_its_sigma_and_the_truth_a_chi_square_of_one():
    o = observation(stations=7, times=60, sigma=0.02, length=1e9)
    A = BlackHole((1, 8, 8), o, fov=100.0, white=0.5)
    x = images(2)
    noise = VLBI(gain=0.2).bind(A.detector)
    y = noise.sample(A(x), Rng([0, 1]))
    plain = VLBI(gain=0.0, phases=False).bind(A.detector).sample(A(x), Rng([0, 1]))
    assert abs(float((plain - A(x)).std()) / 0.02 - 1) < 0.05
    found = likelihood(A, noise, y).noise.fit(y, A(x))
    assert all((v > 0.8).all() and (v < 1.25).all() for v in found.values())
    assert (abs(likelihood(A, noise, y).misfit(x)[0] - 1) < 0.15).all()


@double
def test_the_likelihood_is_von_mises_and_its_residual_the_half_square():
    A = BlackHole((1, 8, 8), observation(), fov=100.0)
    y, x = A(images()), images(seed=5)
    like = likelihood(A, VLBI(), y)
    assert isinstance(like, LeastSquares)
    torch.testing.assert_close(sq(like.residual(x)) / 2, like.nll(x), rtol=1e-12, atol=0)
    c, V, Y = A.closures, complex_of(A(x)), complex_of(y)
    difference = c.phasor(V).angle() - c.phasor(Y).angle()  # may be off by 2π, which a cosine does not see
    expected = ((1 - difference.cos()) / c.phase_sigma(Y) ** 2).sum(1)
    torch.testing.assert_close(likelihood(A, VLBI(lca=0.0), y).nll(x), expected, rtol=1e-9, atol=0)
    assert torch.autograd.gradcheck(lambda z: like.residual(z) / 1e3, (x.requires_grad_(),), fast_mode=True)


@double
def test_images_do_not_mix():
    A = BlackHole((1, 8, 8), observation(), fov=100.0, flux=1.0)
    x = images()
    y = VLBI().bind(A.detector).sample(A(x), Rng([0, 1, 2]))
    noise = VLBI(amp=0.5, vis=0.1).bind(A.detector)
    for i in range(3):
        torch.testing.assert_close(noise.residual(y, A(x))[i], noise.residual(y[i : i + 1], A(x[i : i + 1]))[0])
        torch.testing.assert_close(y[i], VLBI().bind(A.detector).sample(A(x[i : i + 1]), Rng([i]))[0])


@double
def test_gauss_newton_lowers_the_closure_likelihood():
    A = BlackHole((1, 8, 8), observation(sigma=0.05), fov=100.0)
    like = likelihood(A, VLBI(), A(images()))
    m, w = images(seed=6), torch.tensor(1.0)
    x = gauss_newton(like.residual, torch.zeros(()), w, m)
    assert (like.nll(x) + sq(x - m) / 2 < 0.2 * like.nll(m)).all()


def test_simulate_draws_the_noise_of_the_array():
    """Closures of the simulated data fit the truth, the visibilities themselves do not."""
    A, x = BlackHole((1, 8, 8), observation(sigma=1e-4), fov=100.0), images()[0]
    y = simulate(x, A, VLBI(gain=0.3), seed=1).y[None]
    found = VLBI().bind(A.detector).fit(y, A(x[None]))
    assert (complex_of(y) - complex_of(A(x[None]))).abs().max() > 0.1
    assert all(0.2 < float(v) < 3 for v in found.values())


# --- conventions ---


@double
@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 5), (7, 3)])
def test_a_single_pixel_is_one_wave(row, column):
    """exp(2πi (uX + vY)) with X growing to the left, Y upwards, both from the middle of the grid."""
    o, d = observation(), 10 * MICROARCSECOND
    x = -torch.ones(1, 1, 8, 8)
    x[0, 0, row, column] = 1
    V = complex_of(BlackHole((1, 8, 8), o, fov=80.0, white=0.3)(x))[0].numpy()
    pulse = np.sinc(o.u * d) ** 2 * np.sinc(o.v * d) ** 2
    expected = 0.3 * pulse * np.exp(2j * np.pi * (o.u * (3.5 - column) * d + o.v * (3.5 - row) * d))
    np.testing.assert_allclose(V, expected, rtol=0, atol=1e-12)


def test_the_total_flux_is_a_datum():
    A = BlackHole((1, 8, 8), observation(), fov=80.0, white=0.1, flux=2.0, flux_error=0.5)
    x = images()
    torch.testing.assert_close(A(x)[:, -1, 0], 0.1 * ((x + 1) / 2).sum((1, 2, 3)))
    assert len(A.closures.triangles) == len(BlackHole((1, 8, 8), observation(), fov=80.0).closures.triangles)
    r = likelihood(A, VLBI(), A(x)).residual(x + 0.1)[:, 0]
    torch.testing.assert_close(r, torch.full((3,), -0.1 / 2 * 0.1 * 64 / 0.5), rtol=1e-3, atol=1e-5)


def test_gaussian_noise_makes_it_linear():
    A = BlackHole((1, 8, 8), observation(), fov=80.0)
    like = likelihood(A, Gaussian(0.1), A(images()))
    assert isinstance(like, LinearGaussian)
    assert like.residual(images()).abs().max() < 1e-5


# --- observations ---


def test_averages_weigh_by_noise_and_keep_the_direction():
    o = observation(stations=3, times=1)
    late = Observation(**{**vars(o), "time": o.time + 20 / 3600, "vis": 4 * o.vis, "sigma": o.sigma / 2})
    turned = {"first": late.second, "second": late.first, "u": -late.u, "v": -late.v, "vis": late.vis.conj()}
    late = Observation(**{**vars(late), **turned})
    names = ("u", "v", "vis", "sigma", "time", "first", "second")
    both = Observation(**{**vars(o), **{k: np.concatenate([getattr(o, k), getattr(late, k)]) for k in names}})
    a = both.averaged(60.0)
    assert len(a.u) == 3
    assert (a.first < a.second).all()
    np.testing.assert_allclose(a.vis, 0.2 * 1 + 0.8 * 4)
    np.testing.assert_allclose(a.sigma, 1e-3 / np.sqrt(5))
    np.testing.assert_allclose(a.u, o.u)
    assert len(both.averaged(10.0).u) == 6
    assert len(both.averaged(0.0).u) == 6


def test_scans_end_at_gaps():
    o = observation(stations=3, times=6)  # ten minutes apart
    assert len(np.unique(o.averaged(7200.0).time)) == 6
    assert len(np.unique(o.averaged(7200.0, gap=700.0).time)) == 1
    assert len(np.unique(o.averaged(1800.0, gap=700.0).time)) == 2


def test_beam_is_the_width_of_the_dirty_beam():
    o = observation(stations=8, times=10)
    wide, narrow, angle = o.beam()
    east, north = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    w = 1 / o.sigma**2
    at = lambda x, y: (w * np.cos(2 * np.pi * (o.u * x + o.v * y))).sum() / w.sum()
    step = 0.01
    for width, x, y in ((wide, east, north), (narrow, north, -east)):
        curvature = (1 - at(step * width * x, step * width * y)) / step**2
        assert abs(curvature / (4 * math.log(2)) - 1) < 0.01  # of a Gaussian of that width: 1 − 4 ln 2 (step)²
    assert wide > narrow


def test_softened_and_compacted():
    o = observation()
    np.testing.assert_allclose(o.softened(0.1).sigma, np.hypot(1e-3, 0.1))
    short = Observation(**{**vars(o), "u": o.u * np.where(np.arange(len(o.u)) % 3 == 0, 1e-6, 1)})
    short = Observation(**{**vars(short), "v": o.v * np.where(np.arange(len(o.u)) % 3 == 0, 1e-6, 1)})
    fixed = short.compacted(0.6)
    np.testing.assert_allclose(np.abs(fixed.vis[::3]), 0.6)
    np.testing.assert_allclose(fixed.sigma[::3], 0.6e-3)
    np.testing.assert_allclose(fixed.vis[1::3], short.vis[1::3])


# --- images and their scores ---


@double
def test_a_shifted_image_is_found_again():
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    blob = lambda r, c: 2 * torch.exp(-((y - r) ** 2 + (x - c) ** 2) / 18)[None, None] - 1
    assert float(psnr_aligned(blob(19, 12), blob(15, 17))) > 35
    assert (aligned(blob(15, 17), blob(15, 17)) - blob(15, 17)).abs().max() < 0.2


@double
@pytest.mark.parametrize(("diameter", "angle"), [(20.0, 200.0), (26.0, 60.0)])
def test_a_ring_is_measured(diameter, angle):
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    east, north = 22.0 - x, 25.0 - y
    r = torch.hypot(east, north)
    bright = 1 + 0.5 * torch.cos(torch.atan2(east, north) - math.radians(angle))
    found = ring(bright * torch.exp(-((r - diameter / 2) ** 2) / (2 * 2.0**2)), 2.0)
    assert abs(found["diameter"] - 2 * diameter) < 0.6
    assert abs(found["width"] - 2 * 2.355 * 2.0) < 0.6
    assert abs(found["position_angle"] - angle) < 3
    assert found["centre_to_ring"] < 0.05
    assert abs(found["row"] - 25) < 0.3
    assert abs(found["column"] - 22) < 0.3


@double
@pytest.mark.parametrize("width", [10.0, 17.0])
def test_a_blurred_thin_ring_is_told_its_own_diameter(width):
    """A ring of 42 µas blurred by a round Gaussian peaks inside of itself, by up to 2 µas here."""
    line = (torch.arange(128.0) + 0.5) - 64
    y, x = torch.meshgrid(line, line, indexing="ij")
    thin = torch.exp(-((torch.hypot(x, y) - 21) ** 2) / 2)  # 1 µas a pixel; itself as wide as 2.4 µas
    found = ring((blurred(2 * thin[None, None] - 1, width)[0, 0] + 1) / 2, 1.0)
    assert found["diameter"] < 42 - 0.5 * width**2 / (4 * math.log(2) * 42)
    assert found["thin"] == pytest.approx(42, abs=0.5)  # the next term of the series is 0.3 for a width of 17


def test_the_correlation_of_images_sees_neither_their_place_nor_their_scale():
    x = images(2)
    moved = 0.3 * torch.roll(x, (2, -3), (2, 3)) - 0.5
    assert nxcorr(moved, x).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert float(nxcorr(x[:1], x[1:])) < 0.9


# --- files ---


@pytest.fixture
def uvfits(shared):
    path = shared / "data" / "eht" / "simulated" / "obs.uvfits"
    if not path.exists():
        pytest.skip(f"no {path}")
    pytest.importorskip("astropy")
    return path


def test_reads_the_observation_behind_the_benchmark(uvfits, benchmark):
    """The same visibilities under the same names; the benchmark turned every baseline round."""
    from xhat.science.vlbi.uvfits import read_uvfits

    data, _, _ = benchmark
    o = read_uvfits(uvfits)
    assert (o.stations, o.source, o.mjd) == (STATIONS, "SgrA", 48277)
    assert (o.ra, o.dec, o.frequency) == (266.4168370833333, -28.99218944444445, 230e9)
    mine = {
        (round(t, 4), o.stations[b], o.stations[a]): i
        for i, (t, a, b) in enumerate(zip(o.time, o.first, o.second, strict=True))
    }
    rows = [mine[round(float(t), 4), a, b] for t, a, b in zip(data["time"], data["t1"], data["t2"], strict=True)]
    np.testing.assert_allclose(-o.u[rows], data["u"], rtol=1e-12)
    np.testing.assert_allclose(-o.v[rows], data["v"], rtol=1e-12)
    np.testing.assert_allclose(o.sigma[rows] / float(data["multiplier"]), data["sigma_scaled"], rtol=1e-6)


def test_reads_m87(uvfits):
    from xhat.science.vlbi.uvfits import read_uvfits

    o = read_uvfits(uvfits.parents[1] / "m87_2017" / "SR1_M87_2017_096_lo_hops_netcal_StokesI.uvfits")
    assert (len(o.u), o.source, o.mjd) == (8645, "M87", 57849)
    assert o.stations == ("AA", "AP", "AZ", "JC", "LM", "PV", "SM", "SR")
    assert 8.2e9 < o.length.max() < 8.3e9
    wide, narrow, _ = o.beam()
    assert 15 < narrow / MICROARCSECOND < wide / MICROARCSECOND < 35


def test_refuses_broken_and_foreign_files(uvfits, tmp_path):
    from xhat.science.vlbi.uvfits import read_uvfits

    cases = {
        "cut.uvfits": (uvfits.read_bytes()[: uvfits.stat().st_size // 2], "truncated|cannot be read"),
        "head.uvfits": (uvfits.read_bytes()[:1000], "truncated|cannot be read|no uvfits"),
        "text.uvfits": (b"not a fits file" * 300, "cannot be read"),
        "empty.uvfits": (b"", "cannot be read"),
        "image.uvfits": ((uvfits.parent / "gt.fits").read_bytes(), "no random groups|no uvfits"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message) as caught:
            read_uvfits(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(DataError, match="no such file"):
        read_uvfits(tmp_path / "nowhere.uvfits")


def test_refusals():
    o = observation()
    with pytest.raises(ShapeError, match=r"\(1, height, width\)"):
        BlackHole((3, 8, 8), o)
    with pytest.raises(SpecError, match="fov must be a number above 0"):
        BlackHole((1, 8, 8), o, fov=0.0)
    with pytest.raises(SpecError, match="average must be a number from 0"):
        BlackHole((1, 8, 8), o, average=-1.0)
    with pytest.raises(MismatchError, match="black_hole"):
        likelihood(build_blur(), VLBI(), torch.zeros(1, 3, 8, 8))
    with pytest.raises(SpecError, match="must be above 0"):
        VLBI(cp=0.0, lca=0.0)
    with pytest.raises(MismatchError, match="no observation"):
        VLBI().nll(torch.ones(1, 3, 2), torch.ones(1, 3, 2))
    with pytest.raises(DataError, match="not positive"):
        Observation(**{**vars(o), "sigma": 0 * o.sigma})
    with pytest.raises(DataError, match="not among its"):
        Observation(**{**vars(o), "stations": ("A",)})


def build_blur():
    from xhat.operators import GaussianBlur

    return GaussianBlur((3, 8, 8), 0.5)
