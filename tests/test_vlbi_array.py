"""Arrays of telescopes: tables of stations, coverage by the rotation of the Earth, thermal noise, simulation."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import xhat
from xhat.cli.arguments import main
from xhat.errors import DataError, SpecError
from xhat.operators import OPERATORS
from xhat.science.vlbi.array import EHT2017, Plan, Stations, observe, project, read_stations, sidereal
from xhat.science.vlbi.noise import VLBI

TABLE = """#NAME  X  Y  Z  SEFDR SEFDL  rest
ALMA 2225061.164 -5440057.37 -2481681.15 90 90 1 0
LMT  -768713.9637 -5988541.7982 2063275.9472 600 600 1 -1
PV   5088967.9 -301681.6 3825015.8 1400 1500  # Spain
SMT  -1828796.2 -5054406.8 3427865.2 5000
"""
M87 = Plan(ra=187.7059, dec=12.3911, mjd=57854)


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "array.txt").write_text(TABLE)
    return read_stations("array.txt")


def recorded(path):
    """An observation and the places of its stations."""
    fits = pytest.importorskip("astropy.io.fits")
    from xhat.science.vlbi.uvfits import read_uvfits

    with fits.open(path) as file:
        return read_uvfits(path), np.asarray(file["AIPS AN"].data["STABXYZ"], dtype=float)


# --- against observations ---------------------------------------------------------------------


@pytest.mark.parametrize("file", ["095_hi", "096_lo", "101_hi"])
def test_baselines_of_m87(shared, file):
    """u, v of the real data from their own table and times: UT1 − UTC is 0.46 s, 3e-5 rad, and times are rounded."""
    o, place = recorded(shared / f"data/eht/m87_2017/SR1_M87_2017_{file}_hops_netcal_StokesI.uvfits")
    uv = project(place[o.first] - place[o.second], sidereal(o.mjd, o.time), o.ra, o.dec)[:, :2]
    error = np.hypot(*(uv * o.frequency / 299792458 - np.stack([o.u, o.v], 1)).T)
    assert error.max() < 1e-4 * o.length.max()
    assert np.median(error / o.length) < 2e-5


def test_coverage_of_a_simulated_observation(shared):
    """eht-imaging's baselines, and which of them there are at each of its (sidereal) times above 15 degrees."""
    o, place = recorded(shared / "data/eht/simulated/obs.uvfits")
    gmst = np.radians(15 * o.time)
    away = place[o.first] - place[o.second]
    uv = project(away, gmst, o.ra, o.dec)[:, :2] * o.frequency / 299792458
    assert np.abs(uv - np.stack([o.u, o.v], 1)).max() < 1e-5 * o.length.max()
    times = np.unique(o.time)
    up = place / np.linalg.norm(place, axis=1, keepdims=True)
    height = np.degrees(np.arcsin(project(up, np.radians(15 * times)[:, None], o.ra, o.dec)[..., 2]))
    seen = (height > 15) & (height < 85)
    i, j = np.triu_indices(len(place), 1)
    found = {
        (float(times[t]), *sorted((int(i[p]), int(j[p]))))
        for t, p in zip(*np.nonzero(seen[:, i] & seen[:, j]), strict=True)
    }
    there = {(float(t), *sorted((int(a), int(b)))) for t, a, b in zip(o.time, o.first, o.second, strict=True)}
    assert found == there


# --- laws -------------------------------------------------------------------------------------


def test_sidereal_time():
    """0h on 1 January 2000 is 6h 39m 52.2707s (Astronomical Almanac); a day later it is 3m 56.555s more."""
    at = sidereal(51544, np.array([0.0, 24.0])) * 43200 / math.pi
    assert abs(at[0] - (6 * 3600 + 39 * 60 + 52.2707)) < 1e-3
    assert abs(at[1] - at[0] - (3 * 60 + 56.5554)) < 1e-3


def test_a_baseline_draws_an_ellipse(table):
    """u² + ((v − z cos δ)/sin δ)² is the length across the axis of the Earth; u, v, w keep the whole length."""
    away = table.place[0] - table.place[2]
    u, v, w = project(away, np.linspace(0, 2 * np.pi, 50), 40.0, 30.0).T
    d = math.radians(30.0)
    np.testing.assert_allclose(
        u**2 + ((v - away[2] * math.cos(d)) / math.sin(d)) ** 2, (away[:2] ** 2).sum(), rtol=1e-12
    )
    np.testing.assert_allclose(u**2 + v**2 + w**2, (away**2).sum(), rtol=1e-12)


def test_sources_rise_and_set(table):
    """A station on the pole sees a source at its declination all day; the others the more, the lower they may look."""
    polar = Stations(("A", "B"), np.array([[1.0, 0, 6.36e6], [0, 1.0, 6.36e6]]), np.ones((2, 2)))
    assert len(observe(polar, replace(M87, dec=20.0)).u) == 144
    assert len(observe(polar, replace(M87, dec=20.0, hours=1.0, interval=60.0)).u) == 60
    with pytest.raises(SpecError, match="no two stations"):
        observe(polar, replace(M87, dec=-20.0))
    counts = [len(observe(table, replace(M87, elevation=e)).u) for e in (5.0, 10.0, 30.0)]
    assert counts[0] > counts[1] > counts[2]


def test_thermal_noise(table):
    """The radiometer equation, for ALMA–LMT by hand: √(90 · 600)/(0.88 √(2 · 2e9 · 240) √2) Jy in Stokes I."""
    o = observe(table, M87)
    sigma = {(int(a), int(b)): s for a, b, s in zip(o.first, o.second, o.sigma, strict=True)}
    assert sigma[0, 1] == pytest.approx(math.sqrt(90 * 600) / 0.88 / math.sqrt(2 * 2e9 * 240) / math.sqrt(2), rel=1e-12)
    both = math.sqrt(90 * 1400 + 90 * 1500) / 2
    assert sigma[0, 2] == pytest.approx(both / 0.88 / math.sqrt(2 * 2e9 * 240), rel=1e-12)
    assert observe(table, replace(M87, integration=960.0)).sigma == pytest.approx(o.sigma / 2, rel=1e-12)


# --- tables and commands ----------------------------------------------------------------------


def test_reads_tables(table, shared):
    assert table.names == ("ALMA", "LMT", "PV", "SMT")
    assert table.sefd.tolist() == [[90, 90], [600, 600], [1400, 1500], [5000, 5000]]
    real = read_stations(shared / "data/eht/arrays/EHT2017_m87.txt")
    assert real.names == ("PV", "SMT", "SMA", "LMT", "ALMA", "SPT", "APEX", "JCMT")
    assert real.sefd[2].tolist() == [5600, 6500]


def test_the_array_of_2017(shared):
    """Positions are those of the public data, to the decimetre; noise is that of eht-imaging's table."""
    ours = read_stations(EHT2017)
    o, place = recorded(shared / "data/eht/m87_2017/SR1_M87_2017_096_lo_hops_netcal_StokesI.uvfits")
    codes = {"ALMA": "AA", "APEX": "AP", "SMT": "AZ", "JCMT": "JC", "LMT": "LM", "PV": "PV", "SMA": "SM"}
    there = np.array([place[o.stations.index(codes[name])] for name in ours.names if name in codes])
    np.testing.assert_allclose(ours.place[[name in codes for name in ours.names]], there, rtol=0, atol=0.06)
    table = read_stations(shared / "data/eht/arrays/EHT2017_m87.txt")
    same = [ours.names.index(name) for name in table.names]
    np.testing.assert_allclose(ours.sefd[same].mean(1), table.sefd.mean(1))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("A 1 2 3 4\n", "1 stations"),
        ("A 1 2 3 4\nB 1 2 x 4\n", "line 2"),
        ("A 1 2 3 4\nB 1 2 3\n", "line 2"),
        ("A 1 2 3 4\nA 1 2 3 4\n", "line 2"),
        ("A 1 2 3 0\nB 1 2 3 4\n", "line 1"),
        ("A 1 2 nan 4\nB 1 2 3 4\n", "line 1"),
    ],
)
def test_refuses_what_is_no_table(tmp_path, text, match):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(DataError, match=match):
        read_stations(tmp_path / "a.txt")
    with pytest.raises(DataError, match="cannot be read"):
        read_stations(tmp_path / "none.txt")


@pytest.mark.parametrize("option", ["hours=0", "interval=-1", "bandwidth=0", "dec=100", "elevation=89"])
@pytest.mark.usefixtures("table")
def test_refuses_plans(option):
    with pytest.raises(SpecError):
        xhat.build(f"black_hole_array:stations=array.txt,{option}", OPERATORS, (1, 8, 8))


@pytest.mark.slow
@pytest.mark.usefixtures("table")
def test_simulated_from_a_table_and_restored():
    """`simulate` draws noise and gains for the planned array, and what it writes restores without another word."""
    x = np.zeros((1, 16, 16), np.float32) - 1
    x[0, 6:10, 5:9] = 1
    np.save("x.npy", x)
    spec = "black_hole_array:stations=array.txt,interval=1800,fov=100,white=0.01,flux=0.16"
    assert main(["simulate", "x.npy", "--operator", spec, "--noise", "vlbi", "-o", "y.npz"]) == 0
    A = xhat.build(spec, OPERATORS, (1, 16, 16))
    with np.load("y.npz") as made:
        y = torch.from_numpy(made["y"])[None]
    fit = VLBI().bind(A.detector).fit(y, A(torch.from_numpy(x)[None]))
    assert 0.3 < float(fit["chi2_cp"]) < 3  # gains close; without them chi² would be that of any phase
    assert 0.3 < float(fit["chi2_lca"]) < 3
    command = ["restore", "y.npz", "--prior", "powerlaw:std=0.3", "--solver", "lmaps:steps=3", "-o", "out"]
    assert main(command) == 0
    record = json.loads(Path("out/record.json").read_text())
    assert record["operator"] == spec
    assert record["data_shape"] == list(A.data_shape)
