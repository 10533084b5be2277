"""Files of observations: uvfits with IFs, hands, units and flags, and tables as text, against a known source."""

import numpy as np
import pytest

from xhat.errors import DataError
from xhat.science.vlbi.observation import MICROARCSECOND, Observation
from xhat.science.vlbi.operator import BlackHole
from xhat.science.vlbi.reader import read_observation
from xhat.science.vlbi.sky import write_fits

LIGHT = 299792458.0
WIDTH = 16e6  # Hz, of a channel
SINGLE = 2.0**-22  # of baselines: their columns are numbers of 32 bits
SIX = [f"S{i}" for i in range(6)]


def source(u, v):
    """Visibilities in Jy of a Gaussian of 0.8 Jy off the centre, at baselines in wavelengths."""
    x, y = 60 * MICROARCSECOND, -40 * MICROARCSECOND
    return 0.8 * np.exp(2j * np.pi * (u * x + v * y) - (u**2 + v**2) * (30 * MICROARCSECOND) ** 2)


def rows(count=60):
    """Pairs of stations (count, 2), numbered from 1, their baselines in metres (count, 2), and hours (count,)."""
    r = np.random.default_rng(0)
    pairs = np.array([(i, j) for i in range(1, 7) for j in range(i + 1, 7)])
    pairs = pairs[np.arange(count) % len(pairs)]
    place = r.normal(size=(7, 2)) * 3e6
    hours = np.arange(count) // 15 * 0.2
    turn = np.stack([np.cos(hours), -np.sin(hours), np.sin(hours), np.cos(hours)], -1).reshape(-1, 2, 2)
    return pairs, np.einsum("nij,nj->ni", turn, place[pairs[:, 0]] - place[pairs[:, 1]]), hours


def write(path, offsets=(0.0,), channels=1, hands=(1,), first=43e9, kind="UU---SIN", spoil=None, more=(), table=True):
    """A uvfits file of `source`: `offsets` of its IFs in Hz; `spoil(cube, pairs)` changes (n, 1, 1, IF, channel, hand,
    3); `more` baselines of a station with itself.
    """
    fits = pytest.importorskip("astropy.io.fits")
    pairs, metres, hours = rows()
    pairs, hours = (
        np.concatenate([pairs, np.array(more, dtype=int).reshape(-1, 2)]),
        np.append(hours, [0.2] * len(more)),
    )
    metres = np.concatenate([metres, np.zeros((len(more), 2))])
    hertz = np.array(offsets)[:, None] + first + WIDTH * np.arange(channels)
    vis = source(*(metres.T[:, :, None, None] * hertz / LIGHT))
    vis = np.where((pairs[:, 0] == pairs[:, 1])[:, None, None], 500.0, vis)
    cube = np.zeros((len(pairs), 1, 1, len(offsets), channels, len(hands), 3))
    cube[..., 0], cube[..., 1], cube[..., 2] = (
        vis.real[:, None, None, ..., None],
        vis.imag[:, None, None, ..., None],
        1e4,
    )
    cube = cube if spoil is None else spoil(cube, pairs)
    scale = LIGHT / first if "-L-" in kind else LIGHT
    names = [kind, kind.replace("U", "V"), "BASELINE", "DATE", "_DATE"]
    columns = [*(metres.T / scale), pairs @ [256, 1], np.full(len(pairs), 2457854.5), hours / 24 + 0.1]
    data = fits.GroupData(
        cube.astype(">f4"), bitpix=-32, parnames=names, pardata=[np.asarray(c, ">f8") for c in columns]
    )
    main = fits.GroupsHDU(data)
    step = np.sign(hands[-1] - hands[0]) or np.sign(hands[0])
    axes = {"COMPLEX": (1, 1), "STOKES": (hands[0], step), "FREQ": (first, WIDTH), "IF": (1, 1), "RA": (187.7, 1)}
    for i, (name, (value, delta)) in enumerate((axes | {"DEC": (12.4, 1)}).items(), 2):
        for key, found in (("CTYPE", name), ("CRVAL", float(value)), ("CDELT", float(delta)), ("CRPIX", 1.0)):
            main.header[f"{key}{i}"] = found
    antennas = [fits.Column("ANNAME", "8A", array=np.array(SIX)), fits.Column("NOSTA", "1J", array=np.arange(1, 7))]
    tables = [fits.BinTableHDU.from_columns(antennas, name="AIPS AN")]
    if table:
        setups = [fits.Column("FRQSEL", "1J", array=np.array([1]))]
        setups += [fits.Column("IF FREQ", f"{len(offsets)}D", array=np.array([offsets]))]
        tables += [fits.BinTableHDU.from_columns(setups, name="AIPS FQ")]
    fits.HDUList([main, *tables]).writeto(path)
    return path


def chi2(o):
    """Of the true source, per real number; far below 1 without noise, if positions and visibilities fit."""
    return np.mean(np.abs(o.vis - source(o.u, o.v)) ** 2 / o.sigma**2) / 2


@pytest.mark.parametrize(
    ("first", "offsets", "most"),
    [
        (43e9, (0, 128e6, 256e6, 384e6), 1e-3),
        (15.2e9, tuple(64e6 * k for k in range(8)), 1e-2),
        (213.1e9, (0, 2e9, 14e9, 16e9), 2.0),  # as the mean of such a band is not the visibility in its middle
    ],
)
def test_baselines_are_those_of_the_frequencies_that_were_averaged(tmp_path, first, offsets, most):
    o = read_observation(write(tmp_path / "a.uvfits", offsets=offsets, first=first))
    assert o.frequency == pytest.approx(first + np.mean(offsets), rel=1e-12)
    assert chi2(o) < most


def test_an_if_that_is_flagged_moves_the_baseline_to_the_others(tmp_path):
    def spoil(cube, _):
        cube[:20, :, :, 3, ..., :2], cube[:20, :, :, 3, ..., 2] = np.nan, -1
        return cube

    o = read_observation(write(tmp_path / "a.uvfits", offsets=(0, 1e9, 2e9, 9e9), spoil=spoil))
    _, metres, _ = rows()
    np.testing.assert_allclose(o.u[:20], metres[:20, 0] / LIGHT * 44e9, rtol=SINGLE)
    np.testing.assert_allclose(o.u[20:], metres[20:, 0] / LIGHT * 46e9, rtol=SINGLE)


def test_several_ifs_without_their_table_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"2 IFs and no table of their frequencies \(AIPS FQ\)"):
        read_observation(write(tmp_path / "a.uvfits", offsets=(0, 1e9), table=False))
    assert chi2(read_observation(write(tmp_path / "b.uvfits", table=False))) < 1e-6  # one IF needs none


def a_hand(cube, pairs):
    cube[(pairs == 2).any(1), ..., 1, :2], cube[(pairs == 2).any(1), ..., 1, 2] = np.nan, 0
    return cube


def a_channel(cube, _):
    cube[..., 0, :, :2], cube[..., 0, :, 2] = np.nan, 0
    return cube


def infinite(cube, _):
    cube[::7, ..., 2] = np.inf
    return cube


@pytest.mark.parametrize(
    ("spoil", "options", "left"),
    [(a_hand, {"hands": (-1, -2)}, 60), (a_channel, {"channels": 8}, 60), (infinite, {}, 51)],
)
def test_what_is_flagged_is_left_out_whatever_it_holds(tmp_path, spoil, options, left):
    o = read_observation(write(tmp_path / "a.uvfits", spoil=spoil, **options))
    assert len(o.u) == left
    assert chi2(o) < 1e-6


@pytest.mark.parametrize("hand", [-1, -2, -5, -6])
def test_a_single_parallel_hand_stands_for_stokes_i(tmp_path, hand):
    assert chi2(read_observation(write(tmp_path / "a.uvfits", hands=(hand,)))) < 1e-6


def test_cross_hands_alone_are_refused(tmp_path):
    with pytest.raises(DataError, match="Stokes I needs 1, or one of -1, -2, -5 and -6"):
        read_observation(write(tmp_path / "a.uvfits", hands=(-3, -4)))


def test_columns_in_wavelengths_are_those_in_seconds(tmp_path):
    seconds = read_observation(write(tmp_path / "a.uvfits", offsets=(0, 1e9)))
    waves = read_observation(write(tmp_path / "b.uvfits", offsets=(0, 1e9), kind="UU-L-SIN"))
    np.testing.assert_allclose(waves.u, seconds.u, rtol=SINGLE)
    np.testing.assert_allclose(waves.v, seconds.v, rtol=SINGLE)


def test_autocorrelations_are_no_total_flux(tmp_path):
    file = write(tmp_path / "a.uvfits", more=[(k, k) for k in range(1, 7)])
    A = BlackHole((1, 8, 8), file, fov=400, average=0)
    assert len(A.observation.u) == 60
    assert not A.closures.zero.any()
    assert A.modality.total is None
    assert BlackHole((1, 8, 8), file, fov=400, average=0, flux=0.8).closures.zero.sum() == 1  # the one that is given


def test_a_file_of_autocorrelations_alone_is_refused(tmp_path):
    def spoil(cube, pairs):
        cube[pairs[:, 0] != pairs[:, 1], ..., 2] = 0
        return cube

    with pytest.raises(DataError, match="no visibility that is not flagged and is of two stations"):
        read_observation(write(tmp_path / "a.uvfits", more=[(1, 1)], spoil=spoil))


# --- tables as text ---

CSV = "#SRC:M87,DATE(MJD):57854,FREQ:227.0707GHz\n#time(UTC),T1,T2,U(lambda),V(lambda),Iamp(Jy),Iphase(d),Isigma(Jy)\n"
TXT = """\
# SRC: M87
# RA: 12 h 30 m 49.4234 s
# DEC: -12 deg 23 m 28.0437 s
# MJD: 57854
# RF: 227.0707 GHz
# BW: 1.8560 GHz
# PHASECAL: 0
# ------------------------------
# Site       X(m)             Y(m)             Z(m)           SEFDR      SEFDL
# S1         2225061.16400    -5440057.37000   -2481681.15000 0.00 0.00
# ------------------------------
"""
FIRST = "# time (hr) tint    T1     T2    Tau1   Tau2   U (lambda)       V (lambda)         "
STOKES = "Iamp (Jy)    Iphase(d)  Qamp (Jy)    Qphase(d) Isigma (Jy)   Qsigma (Jy)\n"
CIRCULAR = "RRamp (Jy)   RRphase(d) LLamp (Jy)   LLphase(d) RRsigma (Jy)  LLsigma (Jy)\n"


def table(kind):
    """The text of a table of `source` and what it must be read as."""
    pairs, metres, hours = rows()
    u, v = metres.T * 227.0707e9 / LIGHT
    vis = source(u, v)
    amplitude, phase = np.abs(vis), np.degrees(np.angle(vis))
    head = {"csv": CSV, "stokes": TXT + FIRST + STOKES, "circular": TXT + FIRST + CIRCULAR}[kind]
    text = []
    for n in range(len(u)):
        a, b = (f"S{k}" for k in pairs[n])
        if kind == "csv":
            text.append(f"{hours[n]:.8f},{a},{b},{u[n]:.4f},{v[n]:.4f},{amplitude[n]:.8f},{phase[n]:.4f},0.01")
        else:
            hands = [amplitude[n] * f for f in ((1.0, 0.3) if kind == "stokes" else (1.2, 0.8))]
            seen = "  ".join(f"{f:.8f} {phase[n]:.4f}" for f in hands)
            text.append(f"{hours[n]:.8f} 10.00 {a} {b} 0.00 0.00 {u[n]:.4f} {v[n]:.4f} {seen} 0.01 0.01")
    return head + "\n".join(text) + "\n", u, v, vis, hours


@pytest.mark.parametrize(("kind", "sigma"), [("csv", 0.01), ("stokes", 0.01), ("circular", 0.01 / 2**0.5)])
def test_tables_as_text_are_read(tmp_path, kind, sigma):
    text, u, v, vis, hours = table(kind)
    file = tmp_path / f"a.{'csv' if kind == 'csv' else 'txt'}"
    file.write_text(text)
    o = read_observation(file)
    np.testing.assert_allclose([o.u, o.v], [u, v], atol=1e-4)
    np.testing.assert_allclose(o.vis, vis, atol=2e-6)  # four decimals of a degree
    np.testing.assert_allclose(o.sigma, sigma)
    np.testing.assert_allclose(o.time, hours, atol=1e-8)
    assert (o.source, o.mjd, o.frequency) == ("M87", 57854, pytest.approx(227.0707e9))
    assert {o.stations[k] for k in o.first} | {o.stations[k] for k in o.second} == {f"S{k}" for k in range(1, 7)}
    if kind != "csv":
        assert (o.ra, o.dec) == (pytest.approx(187.70593083), pytest.approx(-12.39112325))


def test_a_table_that_does_not_tell_the_place_gives_fits_with_offsets(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    (tmp_path / "a.csv").write_text(table("csv")[0])
    A = BlackHole((1, 8, 8), tmp_path / "a.csv", average=0)
    write_fits(tmp_path / "a.fits", np.ones((8, 8)), A.modality)
    head = fits.getheader(tmp_path / "a.fits")
    assert (head["CRVAL1"], head["CRVAL2"]) == (0, 0)
    assert "does not tell where the source is" in str(head["COMMENT"])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("1,2,3\n4,5,6\n", "no table of visibilities: .* no column time, T1, T2, U, V"),
        (CSV.replace("U(lambda)", "x"), "no column U"),
        (CSV + "1,A,B,1,2,3,4\n", "has 8 columns, and a line of 7"),
        (CSV + "1,A,B,1,two,3,4,5\n", "column V holds what is no number"),
        (CSV + "1,A,A,0,0,3,4,5\n1,A,B,1,2,3,4,0\n", "no visibility of two stations with a noise above 0"),
        (CSV.replace("Iamp", "Xamp") + "1,A,B,1,2,3,4,5\n", "neither columns of Stokes I"),
        (CSV.replace("DATE(MJD):57854,", "") + "1,A,B,1,2,3,4,5\n", "tell no DATE or MJD"),
        ("\x00\x01", "no table of visibilities"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path, text, match):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=match) as caught:
        read_observation(tmp_path / "a.csv")
    assert "a.csv" in str(caught.value)
    assert isinstance(caught.value, DataError)


def test_an_observation_is_made_of_what_was_read(tmp_path):
    assert isinstance(read_observation(write(tmp_path / "a.uvfits")), Observation)
