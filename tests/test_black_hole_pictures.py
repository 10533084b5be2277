"""From uvfits to FITS and figure; generated pictures, and the prior that is fitted to them."""

import json

import numpy as np
import pytest
import torch

from oracles import rbf_prior
from xhat.cli.arguments import main
from xhat.priors import GaussianPrior, LowRankMixture, MixturePrior
from xhat.priors.low_rank import fit
from xhat.rng import Rng
from xhat.schedule import Level
from xhat.science.vlbi.generator import generate
from xhat.science.vlbi.prior import BlackHolePictures

LEVELS = [Level(0.5, 1.0, 0.05), Level(0.5, 0.7, 0.7), Level(1.0, 1.0, 5.0)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XHAT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def uvfits(shared):
    pytest.importorskip("astropy")
    path = shared / "data" / "eht" / "simulated" / "obs.uvfits"
    if not path.exists():
        pytest.skip(f"no {path}")
    return path


# --- the prior ---


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("t", LEVELS)
def test_one_component_is_the_gaussian_prior(t):
    dense = rbf_prior().double()
    keep = dense.lam > 2e-3  # the rest is the white part of its covariance, 1e-3
    one = LowRankMixture(
        torch.zeros(1, 1, 8, 8),
        dense.Q.T[keep][None],
        (dense.lam[keep] - 1e-3)[None],
        torch.tensor([1e-3]),
        torch.ones(1),
    )
    lam = torch.where(keep, dense.lam, 1e-3)
    exact = GaussianPrior((1, 8, 8), (dense.Q * lam) @ dense.Q.T)
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(one(x, t), exact(x, t), rtol=1e-8, atol=1e-10)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("t", LEVELS)
def test_components_without_axes_are_the_isotropic_mixture(t):
    g = torch.Generator().manual_seed(1)
    means, v, w = torch.randn(4, 1, 4, 4, generator=g), torch.rand(4, generator=g) + 0.1, torch.rand(4, generator=g)
    axes = torch.linalg.qr(torch.randn(4, 16, 2, generator=g)).Q.mT
    mine = LowRankMixture(means, axes, torch.zeros(4, 2), v, w)
    x = torch.randn(5, 1, 4, 4, generator=g)
    torch.testing.assert_close(mine(x, t), MixturePrior(means, v, w)(x, t), rtol=1e-8, atol=1e-10)


@pytest.mark.usefixtures("float64")
def test_two_components_weigh_as_their_densities():
    """Against dense covariances and torch's own normal density."""
    g = torch.Generator().manual_seed(2)
    means = torch.randn(2, 1, 3, 3, generator=g)
    axes = torch.linalg.qr(torch.randn(2, 9, 2, generator=g)).Q.mT
    lam, v, w = torch.rand(2, 2, generator=g) * 3, torch.tensor([0.2, 0.5]), torch.tensor([1.0, 2.0])
    t = Level(0.5, 0.8, 0.6)
    x = torch.randn(4, 1, 3, 3, generator=g)
    u, eye = (x / t.alpha).flatten(1), torch.eye(9)
    logs, estimates, covs = [], [], []
    for k in range(2):
        C = axes[k].T @ torch.diag(lam[k]) @ axes[k] + v[k] * eye
        covs.append(C)
        S = C + t.ratio**2 * eye
        logs.append(torch.distributions.MultivariateNormal(means[k].flatten(), S).log_prob(u) + w[k].log())
        estimates.append(means[k].flatten() + (u - means[k].flatten()) @ torch.linalg.solve(S, C))
    p = torch.stack(logs, 1).softmax(1)
    expected = p[:, :1] * estimates[0] + p[:, 1:] * estimates[1]
    mine = LowRankMixture(means, axes, lam, v, w)
    torch.testing.assert_close(mine(x, t).flatten(1), expected, rtol=1e-8, atol=1e-10)
    density = torch.stack(logs, 1).logsumexp(1) - w.sum().log() - 9 * torch.tensor(t.alpha).log()
    torch.testing.assert_close(mine.log_density(x, t), density, rtol=1e-8, atol=1e-8)
    draws, share = mine.sample(Rng(range(20000))).flatten(1), w / w.sum()
    centre = share @ means.flatten(1)
    spread = sum(share[k] * (covs[k] + torch.outer(d := means[k].flatten() - centre, d)) for k in range(2))
    torch.testing.assert_close(draws.mean(0), centre, rtol=0, atol=0.05)  # 4 standard errors are 0.04
    torch.testing.assert_close(draws.T.cov(), spread, rtol=0, atol=0.1)


def test_the_fit_finds_two_clusters():
    g = torch.Generator().manual_seed(3)
    axis = torch.nn.functional.normalize(torch.randn(20, generator=g), dim=0)
    x = torch.randn(400, 1, generator=g) * axis + 0.1 * torch.randn(400, 20, generator=g)
    x[200:] += 5
    found = fit(x, 2, 1)
    assert found["weights"].tolist() == [200, 200]
    assert abs(found["axes"][:, 0] @ axis).min() > 0.99
    torch.testing.assert_close(found["lam"].sqrt().flatten(), torch.ones(2), rtol=0.15, atol=0)
    torch.testing.assert_close(found["v"].sqrt(), torch.full((2,), 0.1), rtol=0.05, atol=0)


def test_the_prior_is_built_from_a_spec_and_knows_its_shape():
    prior = BlackHolePictures(components=3, rank=4, pictures=60, size=16)
    assert prior.shape == (1, 16, 16)
    again = BlackHolePictures(components=3, rank=4, pictures=60, size=16)  # from disk
    assert torch.equal(prior.means, again.means)
    x = torch.from_numpy(generate(70, 16)[60:]).float()[:, None] / 127.5 - 1
    noisy = x + 0.5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    assert (prior(noisy, Level(0.5, 1.0, 0.5)) - x).square().mean() < 0.5 * (noisy - x).square().mean()


# --- pictures ---


def test_a_picture_depends_on_its_seed_and_number_only():
    few, many = generate(3, 24, seed=5), generate(6, 24, seed=5)
    assert (few == many[:3]).all()
    assert (generate(3, 24, seed=6) != few).any()
    assert few.dtype == np.uint8
    assert (many.reshape(6, -1).max(1) == 255).all()
    assert many[:, 0].max() == many[:, :, -1].max() == 0, "the field holds the whole source"


def test_generate_command(tmp_path, capsys):
    assert main(["generate", "blackhole", "--count", "4", "--size", "16", "-o", str(tmp_path / "x.npz")]) == 0
    with np.load(tmp_path / "x.npz") as file:
        assert (file["x"] == generate(4, 16)).all()
    assert main(["generate", "blackhole", "--count", "0", "-o", str(tmp_path / "y.npz")]) == 2
    assert main(["generate", "blackhole", "-o", str(tmp_path / "y.png")]) == 2
    assert ".npz" in capsys.readouterr().err


# --- from file to figure ---


@pytest.mark.slow
def test_restore_command_from_uvfits_to_fits_and_figure(uvfits, tmp_path):
    from astropy.io import fits

    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    command = [
        "restore",
        str(uvfits),
        "--operator",
        "black_hole:fov=160,flux=2,white=0.01",
        "--solver",
        "dps:steps=3",
    ]
    prior = "blackhole:components=2,rank=4,pictures=40"
    assert main([*command, "--prior", prior, "--samples", "2", "-o", str(out), "-q"]) == 0
    names = {p.name for p in out.iterdir()}
    assert {"mean.fits", "std.fits", "restored.fits", "figure.png", "mean.png", "std.png", "record.json"} <= names
    record = json.loads((out / "record.json").read_text())
    assert set(record["metrics"]) == {"chi2_cp", "chi2_lca", "mean_chi2_cp", "mean_chi2_lca"}
    assert len(record["metrics"]["chi2_cp"]) == 2
    with fits.open(out / "mean.fits") as file:
        assert file[0].data.shape == (64, 64)
        assert abs(float(file[0].data.sum()) - 2) < 1e-4, "scaled to the total flux"
        assert file[0].header["BUNIT"] == "JY/PIXEL"


def test_fits_axes_are_those_of_the_sky(uvfits, tmp_path):
    """A pixel up and to the left of the middle is north-east of the source."""
    from astropy.io import fits
    from astropy.wcs import WCS

    from xhat.science.vlbi.operator import BlackHole
    from xhat.science.vlbi.sky import write_fits

    A = BlackHole((1, 32, 32), str(uvfits), fov=160.0)
    jansky = np.zeros((32, 32))
    jansky[6, 10] = 1.0  # 9.5 rows above the middle, 5.5 columns left of it
    write_fits(tmp_path / "x.fits", jansky, A.modality)
    with fits.open(tmp_path / "x.fits") as file:
        row, column = np.argwhere(file[0].data == 1)[0]
        (ra, dec), head = WCS(file[0].header).all_pix2world([[column, row]], 0)[0], file[0].header
    per = 180 / np.pi * A.pixel
    north, east = dec - head["CRVAL2"], (ra - head["CRVAL1"]) * np.cos(np.radians(head["CRVAL2"]))
    assert abs(north / per - 9.5) < 1e-2
    assert abs(east / per - 5.5) < 1e-2


def test_a_station_less_file_is_refused_by_the_command(tmp_path, capsys):
    (tmp_path / "y.uvfits").write_bytes(b"SIMPLE  =                    T" + b" " * 2850)
    assert main(["restore", str(tmp_path / "y.uvfits"), "-o", str(tmp_path / "out")]) == 2
    assert "y.uvfits" in capsys.readouterr().err
