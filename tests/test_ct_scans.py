"""Tomography from recorded files: counts, flat and dark fields, gaps, geometries that cannot be right."""

import json
import math

import numpy as np
import pytest
import torch

import xhat
from test_ct import chords, ellipse
from xhat.cli.arguments import main
from xhat.errors import DataError
from xhat.files.readers.load import load
from xhat.loop import solve
from xhat.operators import OPERATORS
from xhat.priors import NoPrior
from xhat.rng import Rng
from xhat.science.ct.algebraic import CGLS
from xhat.science.ct.consistency import doubts
from xhat.science.ct.counts import integrals
from xhat.science.ct.fbp import FBP
from xhat.science.ct.gaps import filled
from xhat.science.ct.noise import Transmission
from xhat.science.ct.operator import once
from xhat.solvers import SOLVERS

N, PHOTONS, GAIN, DARK = 64, 4e4, 0.5, 30.0


@pytest.fixture(autouse=True)
def fresh():
    once.cache_clear()


def scan(photons=PHOTONS, seed=0, **options):
    """An ellipse of 0.02/mm on pixels of 0.5 mm: (operator, its exact line integrals (angles, cells), counts, fields).

    Cells get 70 to 130 % of the light, and a photon makes `GAIN` counts above a dark field of `DARK`.
    """
    o = {"angles": 90, "detectors": 90, "pixel": 0.5, "pitch": 0.5, "white": 0.03} | options
    A = OPERATORS["ct"]((1, N, N), **o)
    y = 0.02 * chords(A, (4, 2), (9, 6)).reshape(len(A.geometry.angles), 90).numpy()
    rng = np.random.default_rng(seed)
    light = photons * (1 + 0.3 * np.sin(np.arange(90)))
    draw = lambda mean: GAIN * rng.poisson(mean) + DARK
    return A, y, draw(light * np.exp(-y)), draw(np.broadcast_to(light, (10, 90))), np.full((4, 90), DARK)


def truth():
    return 0.02 / 0.03 * 2 * ellipse((4 / 32, 2 / 32), (9 / 32, 6 / 32)) - 1


def test_counts_become_line_integrals():
    """To the noise of the photons, whose number the frames of the flat field tell to 20 %."""
    _, y, counts, flat, dark = scan()
    found = integrals(counts, flat, dark, "scan")
    assert found.seen.all()
    assert found.notes == ()
    assert found.photons == pytest.approx(PHOTONS, rel=0.2)
    sigma = np.sqrt(np.exp(y) / PHOTONS)
    assert ((found.y - y) / sigma).std() == pytest.approx(1, abs=0.15)  # of cells with 0.7 to 1.3 of the light
    assert (found.y - y).mean() == pytest.approx(0, abs=1e-3)
    no_dark = integrals(counts, flat, None, "scan")
    assert abs(no_dark.y - y).max() > 5 * abs(found.y - y).max() or no_dark.y.mean() < found.y.mean()


def test_readings_without_counts_are_left_out_and_told():
    _, y, counts, flat, dark = scan()
    counts[3, 40:44] = DARK
    counts[7, 2] = np.nan
    flat[:, 60], counts[:, 60] = DARK, DARK
    found = integrals(counts, flat, dark, "scan")
    gone = np.zeros_like(found.seen)
    gone[3, 40:44] = gone[7, 2] = gone[:, 60] = True
    assert (found.seen == ~gone).all()
    assert np.isfinite(found.y).all()
    assert len(found.notes) == 2
    assert "1 of 90 cells see no light" in found.notes[0]
    assert "5 of 8100 readings counted nothing" in found.notes[1]


def test_stripes_are_noticed():
    _, y, counts, flat, dark = scan()
    counts[:, 33] = (counts[:, 33] - DARK) * 0.8 + DARK
    (note,) = integrals(counts, flat, dark, "scan").notes
    assert "1 of 90 cells are off in all views" in note
    assert "rings" in note


def test_exchanged_fields_are_refused():
    _, y, counts, flat, dark = scan()
    with pytest.raises(DataError, match="not brighter than the dark field"):
        integrals(counts, dark, flat, "scan")
    with pytest.raises(DataError, match="exchanged"):
        integrals(y, flat, dark, "scan")  # line integrals for counts
    with pytest.raises(DataError, match="90 cells"):
        integrals(counts, flat[:, :80], dark, "scan")


def test_gaps_are_interpolated_in_their_view():
    y = torch.arange(12.0).reshape(1, 1, 2, 6)
    seen = torch.tensor([[0, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0]]).bool()
    torch.testing.assert_close(
        filled(torch.where(seen, y, 99.0), seen)[0, 0], torch.tensor([[1.0, 1, 2, 3, 4, 4], [0] * 6])
    )


# --- the noise of photons -------------------------------------------------------------------------


@pytest.mark.usefixtures("float64")
def test_the_noise_of_photons():
    """−log p has its gradient and curvature; the weighted linear problem is its expansion at the data."""
    A = OPERATORS["ct"]((1, 16, 16), angles=9, pixel=0.5, white=0.2, flux=torch.linspace(0.5, 1.5, 25))
    x = (torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1).double()
    noise = Transmission(1e5).bind(A.detector)
    y = noise.sample(A(x), Rng([0, 1]))
    like = xhat.likelihood(A, Transmission(1e5), y)
    assert type(like).__name__ == "LinearGaussian"
    d = 1e-3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()
    exact = lambda x: noise.nll(y, A(x))
    torch.testing.assert_close(like.nll(x + d) - like.nll(x), exact(x + d) - exact(x), rtol=0.05, atol=0.02)
    found, expected = like.misfit(x)
    torch.testing.assert_close(found / expected, torch.ones(2), rtol=0, atol=0.12)  # 450 readings
    rows = (y - A(x)) * noise.rate(A(x)).sqrt()
    assert float(rows[A.linear.seen.expand_as(rows)].std()) == pytest.approx(1, abs=0.1)


@pytest.mark.usefixtures("float64")
def test_readings_of_less_than_a_photon_are_left_out(caplog):
    """What they hold changes nothing."""
    A = OPERATORS["ct"]((1, 16, 16), angles=9, pixel=0.5, white=0.2)
    y = A(torch.zeros(1, 1, 16, 16))
    other = y.clone()
    y[0, 0, 4, 11:13] = 30.0
    other[0, 0, 4, 11:13] = 50.0
    one, two = (xhat.likelihood(A, Transmission(1e3), v) for v in (y, other))
    assert "2 readings counted less than a photon" in caplog.text
    assert torch.equal(one.y, two.y)
    assert int(one.count) == int(A.linear.seen.sum()) - 2
    for method in (FBP(), CGLS(steps=5), SOLVERS["lmaps"](steps=3)):
        prior = NoPrior() if method.__class__ in (FBP, CGLS) else xhat.Denoiser(lambda x, s: x / (1 + s**2))
        assert torch.equal(solve(method, prior, one, Rng([0])), solve(method, prior, two, Rng([0])))


def test_weighted_systems_are_solved():
    """By dense linear algebra, to the tolerance of conjugate gradient, 1e-4 of the right-hand side."""
    A = OPERATORS["ct"]((1, 12, 12), angles=9, pixel=0.5, white=0.2)
    x = torch.zeros(1, 1, 12, 12).double()
    W = xhat.likelihood(A, Transmission(1e4), A(x.float())).A.double_copy()
    M = torch.stack([W(e)[0].flatten() for e in torch.eye(144).double().reshape(144, 1, 1, 12, 12)], 1)
    y = torch.randn(1, *W.data_shape, generator=torch.Generator().manual_seed(0)).double()
    exact = torch.linalg.solve(M.T @ M + 0.3 * torch.eye(144).double(), M.T @ y.flatten())
    torch.testing.assert_close(W.ridge(y, 0.3).flatten(), exact, rtol=0, atol=5e-3 * float(exact.abs().max()))


# --- files ----------------------------------------------------------------------------------------


def exchange(path, data, white=None, dark=None, theta=None, units=None, **more):
    """A file in the layout of Data Exchange."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        group = file.create_group("exchange")
        for name, v in {"data": data, "data_white": white, "data_dark": dark, "theta": theta}.items():
            if v is not None:
                group[name] = v
        if units:
            group["theta"].attrs["units"] = units
        for name, v in more.items():
            file[name.replace("__", "/")] = v
    return path


def three(v):
    """One slice between two others."""
    return np.stack([v * 0 + 7, v, v * 0 + 9], 1)


@pytest.mark.parametrize("units", ["deg", "rad"])
def test_data_exchange(tmp_path, units, caplog):
    A, y, counts, flat, dark = scan()
    theta = np.array(A.geometry.angles)
    path = exchange(
        tmp_path / "scan.h5", three(counts), three(flat), three(dark), np.radians(theta) if units == "rad" else theta,
        units, measurement__instrument__detector__pixel_size_x=500.0,
    )  # fmt: skip
    found = load(f"{path}#1")
    assert found.y.shape == (1, 90, 90)
    assert found.image_shape == (1, 90, 90)
    torch.testing.assert_close(found.physics["angles"], torch.from_numpy(theta))
    assert found.operator.startswith("ct:pixel=0.5,pitch=0.5,white=0.0")
    assert found.noise.startswith("transmission:counts=")
    out = xhat.restore(f"{path}#1", solver="fbp")
    mu = out.problem.A  # the linear part, or the weighted one
    x = out.images[0, 0]
    inside = ellipse((4 / 45, 2 / 45), (9 / 45, 6 / 45), n=90)[0, 0] > 0.99
    white = float(found.operator.rpartition("white=")[2])
    assert float((x[inside].mean() + 1) / 2 * white) == pytest.approx(0.02, rel=0.02), mu
    assert "its own numbers say" in caplog.text  # white is a guess, and said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"data": None}, "holds no 'data'"),
        ({"theta": None}, "holds no 'theta'"),
        ({"theta": np.arange(7.0)}, "7 angles for 90 views"),
        ({"white": np.ones((10, 3, 5))}, "flat field has shape"),
        ({"data": np.ones(5)}, "not real numbers"),
        ({"measurement__instrument__detector__pixel_size_x": -1.0}, "no size of a pixel"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path, change, says):
    A, _, counts, flat, dark = scan()
    parts = {"data": three(counts), "white": three(flat), "dark": three(dark), "theta": np.array(A.geometry.angles)}
    path = exchange(tmp_path / "scan.h5", **parts | change)
    with pytest.raises(DataError, match=says) as e:
        load(f"{path}#1")
    assert "\n" not in str(e.value)
    assert "scan.h5" in str(e.value)


def test_a_slice_must_be_named(tmp_path):
    A, _, counts, flat, dark = scan()
    path = exchange(tmp_path / "s.h5", three(counts), three(flat), three(dark), np.array(A.geometry.angles))
    with pytest.raises(DataError, match=r"holds 3 slices; say which one: .*#1"):
        load(path)


def test_data_of_other_files_are_not_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    A, _, counts, flat, _ = scan()
    exchange(tmp_path / "other.h5", three(counts))
    path = exchange(tmp_path / "scan.h5", None, three(flat), None, np.array(A.geometry.angles))
    with h5py.File(path, "a") as file:
        file["exchange/data"] = h5py.ExternalLink("other.h5", "/exchange/data")
    with pytest.raises(DataError, match="link to another file"):
        load(f"{path}#1")


TOML = """
[scan]
angles = 90
pixel = 0.5
pitch = 0.5
white = 0.03
shape = [64, 64]
"""


def test_an_array_with_its_geometry_beside(tmp_path, monkeypatch):
    """`xhat restore scan.toml` needs nothing else; the attenuation comes out in 1/mm."""
    monkeypatch.chdir(tmp_path)
    _, y, counts, flat, dark = scan()
    np.save("scan.npy", counts)
    np.save("flat.npy", flat)
    (tmp_path / "scan.toml").write_text(TOML + f'kind = "counts"\nflat = "flat.npy"\ndark = {DARK}\n')
    assert main(["restore", "scan.toml", "--solver", "tv:steps=40", "-o", "out"]) == 0
    mu = np.load("out/attenuation.npy")[0]
    inside = ellipse((4 / 32, 2 / 32), (9 / 32, 6 / 32))[0, 0].numpy() > 0.99
    assert mu[inside].mean() == pytest.approx(0.02, rel=0.03)
    np.save("scan.npy", y)
    (tmp_path / "scan.toml").write_text(TOML + "sigma = 0.002\n")
    for name in ("scan.toml", "scan.npy"):
        assert xhat.restore(tmp_path / name, solver="fbp").record["noise"] == "gaussian:sigma=0.002"
    (tmp_path / "scan.toml").write_text("[project]")  # of something else
    assert load(tmp_path / "scan.npy").operator is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"no table \[scan\]"),
        ("[scan", "cannot be read as TOML"),
        (TOML + "pich = 1", "knows no pich"),
        (TOML.replace("pixel = 0.5", ""), "says no pixel"),
        (TOML + 'data = "../scan.npy"', "leads out of"),
        (TOML + 'data = "none.npy"', "no none.npy beside it"),
        (TOML + 'kind = "pictures"', "integrals or counts"),
        (TOML + 'kind = "counts"', "need flat"),
        (TOML.replace("angles = 90", "angles = [1, 2]"), "2 angles for the 90 views"),
    ],
)
def test_what_is_wrong_with_a_description_is_one_line(tmp_path, text, says):
    np.save(tmp_path / "scan.npy", scan()[1])
    (tmp_path / "scan.toml").write_text(text)
    with pytest.raises(DataError, match=says) as e:
        load(tmp_path / "scan.toml")
    assert "\n" not in str(e.value)


# --- geometries that cannot be right ----------------------------------------------------------------

FAN = {"geometry": "fan", "distance": 80, "detector_distance": 40, "pitch": 0.9, "angles": 180}


def made(seed=0, **options):
    """A geometry and noisy exact line integrals of an ellipse in it."""
    A, y, *_ = scan(**options)
    return A.geometry, torch.from_numpy(y + 0.003 * np.random.default_rng(seed).standard_normal(y.shape))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "options",
    [{}, {"arc": 120}, {"direction": "clockwise"}, {"offset": 1.3}, {"axis": (2.0, -1.0)}, {"angles": 12}, FAN,
     FAN | {"geometry": "curved"}, FAN | {"direction": "clockwise", "offset": 0.4}],
)  # fmt: skip
def test_a_right_geometry_raises_no_doubt(options, seed):
    assert doubts(*made(seed, **options)) == []


def test_a_wrong_centre_is_noticed_and_told():
    _, y = made(offset=1.5)
    (note,) = doubts(made()[0], y)
    assert 2.9 < float(note.split()[5]) < 3.1  # cells
    assert float(note.rpartition("offset=")[2]) == pytest.approx(1.5, abs=0.05)


def test_radians_are_noticed():
    g, y = made()
    wrong = OPERATORS["ct"]((1, N, N), angles=np.radians(g.angles), detectors=90, pixel=0.5, pitch=0.5).geometry
    assert "are they in radians" in doubts(wrong, y)[0]
    assert len(doubts(wrong, y)) > 1 or "radians" in doubts(wrong, y)[0]


def test_another_order_of_angles_is_noticed():
    g, y = made()
    assert "another order, direction or unit" in doubts(g, y[torch.randperm(90)])[0]


def test_another_order_is_noticed_of_an_object_at_the_axis():
    """Its centres of mass stay where they are; the widths of the views do not."""
    at = torch.linspace(-1, 1, N, dtype=torch.float64)
    f = ((at / 0.3) ** 2 + (at[:, None] / 0.8) ** 2 < 1).float()
    A = OPERATORS["ct"]((1, N, N), angles=60, white=1.0)
    y = A(2 * f[None, None] - 1)[0, 0]
    y = y + 0.005 * torch.randn(y.shape)
    assert doubts(A.geometry, y) == []
    assert "the widths of the views" in doubts(A.geometry, y[torch.randperm(60)])[0]


def test_a_drifting_beam_is_noticed():
    g, y = made()
    assert "varies by" in doubts(g, y * torch.linspace(0.8, 1.2, 90).double()[:, None])[0]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"direction": "clockwise"}, "other direction"), ({"offset": 2.7}, "offset="), ({"distance": 40}, "distance=")],
)
def test_a_wrong_fan_is_noticed(wrong, says):
    _, y = made(**FAN)
    (note,) = doubts(made(**FAN | wrong)[0], y)
    assert says in note


def test_doubts_are_said_once(caplog):
    """And only about recordings that have the shape of the operator."""
    _, y = made(offset=1.5)
    A, *_ = scan()
    for _ in range(2):
        A.intake(y[None].float())
    assert caplog.text.count("beside where the geometry has it") == 1
    assert math.isfinite(float(A.intake(y[None].float()).sum()))


def test_a_pitch_that_is_taken_for_granted_is_said(caplog):
    """No data tell a wrong pitch of parallel rays, so it must not be guessed in silence; what is given is not."""
    y = torch.zeros(1, 60, 192)
    OPERATORS["ct"]((1, 128, 128), angles=60, detectors=192, pitch=1 / 128).intake(y)
    OPERATORS["ct"]((1, 128, 128), angles=60, detectors=192, convention="astra").intake(y)
    assert caplog.text == ""
    OPERATORS["ct"]((1, 128, 128), angles=60, detectors=192).intake(y)
    assert "192 cells are taken to cover the image's diagonal, 0.948 pixels apart" in caplog.text


@pytest.mark.parametrize("axes", [(), (1,)])
def test_a_recording_with_an_axis_of_channels_is_looked_at_as_well(axes, caplog):
    y = torch.rand(*axes, 12, 20, generator=torch.Generator().manual_seed(0))
    xhat.restore(y, "ct:angles=12,detectors=20", 0.1, solver="fbp", shape=(1, 16, 16))
    assert "20 cells are taken to cover the image's diagonal" in caplog.text
    once.cache_clear()
    caplog.clear()
    own = xhat.simulate(torch.zeros(1, 16, 16), "ct:angles=12,detectors=20", "gaussian:sigma=0.1")
    xhat.restore(own, solver="fbp")
    assert "cells are taken" not in caplog.text


def test_all_slices_become_one_volume_in_attenuations(tmp_path, monkeypatch, capsys):
    """Each slice guesses a white of its own; in the volume they can be compared, and lie as far apart as cells do."""
    nibabel = pytest.importorskip("nibabel")
    monkeypatch.chdir(tmp_path)
    A, y, *_ = scan(angles=30)
    size = {"measurement__instrument__detector__pixel_size_x": 500.0}
    exchange("scan.h5", np.stack([y, 2 * y, 3 * y], 1), theta=np.array(A.geometry.angles), **size)
    run = ["--noise", "0.01", "--solver", "fbp"]
    assert main(["restore", "scan.h5#all", *run, "-o", "out"]) == 0
    image = nibabel.load("out/scan.nii.gz")
    found = np.asarray(image.dataobj)
    assert image.shape == (90, 90, 3)
    assert np.allclose(image.header.get_zooms(), 0.5)
    assert np.allclose(image.affine @ [44.5, 44.5, 2, 1], [0, 0, 1, 1])
    inside = ellipse((4 / 45, 2 / 45), (9 / 45, 6 / 45), n=90)[0, 0].numpy().T > 0.99
    assert found[inside].mean(0) == pytest.approx(0.02 * np.arange(1, 4), rel=0.02)
    assert pytest.approx(np.load("out/scan_1/attenuation.npy")[0], rel=1e-5) == found[..., 1].T
    record = json.loads((tmp_path / "out/scan.json").read_text())
    assert (record["unit"], record["placed"]) == ("attenuation in 1/mm", True)
    assert len({row["operator"] for row in record["slices"]}) == 3
    assert "scan.nii.gz" in capsys.readouterr().out
    assert main(["restore", "scan.h5#1-9", *run, "-o", "no"]) == 2
    assert "scan.h5 has the slices 0 to 2" in capsys.readouterr().err
    other = f"ct:angles={[float(v) for v in A.geometry.angles]},pixel=0.25,pitch=0.5,white=0.1".replace(" ", "")
    assert main(["restore", "scan.h5#1", *run, "--operator", other, "--formats", "nii", "-q", "-o", "own"]) == 0
    assert nibabel.load("own/restored.nii").header.get_zooms()[0] == 1  # the file knows nothing of such pixels


def test_slices_of_a_file_without_a_size_of_cells_become_a_volume_and_its_units_are_said(tmp_path, monkeypatch, caplog):
    nibabel = pytest.importorskip("nibabel")
    monkeypatch.chdir(tmp_path)
    A, _, counts, flat, dark = scan(angles=30)
    exchange("scan.h5", *(np.stack([v, v], 1) for v in (counts, flat, dark)), np.array(A.geometry.angles))
    assert main(["restore", "scan.h5#all", "--solver", "fbp", "-q", "-o", "out"]) == 0
    assert nibabel.load("out/scan.nii.gz").shape == (90, 90, 2)
    record = json.loads((tmp_path / "out/scan.json").read_text())
    assert (record["unit"], record["placed"]) == ("attenuation per cell", False)
    assert "lengths are in cells and attenuations per cell" in caplog.text
    assert all(row["noise"].startswith("transmission:counts=") for row in record["slices"])
