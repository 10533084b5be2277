"""What an observation tells of itself, and what many starts make of skies with a ring and without one."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import xhat
from xhat.science.vlbi.estimate import compact_flux, described, systematic_error
from xhat.science.vlbi.metrics import ring
from xhat.science.vlbi.observation import INTRASITE, MICROARCSECOND, Observation
from xhat.science.vlbi.prior import BlackHolePictures
from xhat.science.vlbi.simulated import black_hole_array


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XHAT_CACHE", str(tmp_path / "cache"))


def planned() -> Observation:
    """What the array of 2017 records of M87 in a day, with visibilities of 0."""
    return black_hole_array((1, 8, 8)).observation


def seen(flux: float, width: float, error: float, seed: int = 0) -> Observation:
    """A Gaussian of `flux` Jy and `width` µas with thermal noise, and a fraction `error` of |V| beside it."""
    o, g = planned(), np.random.default_rng(seed)
    size = np.pi * width * MICROARCSECOND * o.length
    clean = flux * np.exp(-(size**2) / (4 * np.log(2)))
    noise = lambda: g.normal(size=len(clean)) + 1j * g.normal(size=len(clean))
    return replace(o, vis=clean * (1 + error * noise()) + o.sigma * noise())


@pytest.mark.parametrize("flux", [0.3, 2.0])
def test_the_compact_flux_is_that_of_a_source_of_the_size_assumed(flux):
    """A jet that only neighbours see does not count; a gain that loses flux counts where all scans have it."""
    o = seen(flux, 40, 0.0)
    short = o.length < INTRASITE
    assert short.any()
    jet = replace(o, vis=np.where(short, 3 * o.vis, o.vis))
    # the largest of some hundred amplitudes of at least 5 σ lies above the truth
    assert compact_flux(jet) == pytest.approx(flux, rel=0.2)
    assert compact_flux(o.take(short)) is None


@pytest.mark.parametrize("error", [0.02, 0.06])
def test_the_systematic_error_is_found_in_triangles_that_must_close(error):
    """A median of some tens of phases with thermal noise of 0.05: to 0.01 in the mean of six days."""
    found = [systematic_error(seen(0.6, 40, error, seed)) for seed in range(6)]
    assert np.mean(found) == pytest.approx(error, abs=0.01)
    assert systematic_error(planned().take(planned().length > INTRASITE)) is None


def test_the_operator_of_a_file_states_what_was_estimated():
    spec = described(seen(0.6, 40, 0.05), 64 * 64)
    assert spec.startswith("black_hole:compact=0.")
    assert all(f"{option}=" in spec for option in ("compact_error", "flux", "white", "systematic"))
    assert described(planned().take(planned().length > 5e9), 64 * 64) == "black_hole"


def test_the_error_of_the_compact_flux_is_that_of_neighbours_alone():
    o = seen(0.6, 40, 0.0)
    short = o.length < INTRASITE
    sure, unsure = o.compacted(0.5), o.compacted(0.5, 0.3)
    assert (unsure.sigma[~short] == sure.sigma[~short]).all()
    np.testing.assert_allclose(unsure.sigma[short] ** 2, sure.sigma[short] ** 2 + 0.15**2)


def sky(kind: str, size: int = 32, fov: float = 128.0) -> torch.Tensor:
    """A ring of 42 µas, a disc of 56 µas or two spots, (1, size, size) in [−1, 1]."""
    line = (np.arange(size) + 0.5) / size * fov - fov / 2
    y, x = np.meshgrid(line, line, indexing="ij")
    r = np.hypot(x, y)
    spot = lambda cx, cy: np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 72)
    flux = {
        "ring": np.exp(-((r - 21) ** 2) / 50) * (1 + 0.5 * np.cos(np.arctan2(y, x) - 1)),
        "disc": 1 / (1 + np.exp((r - 28) / 2.5)),
        "double": spot(14, 10) + 0.6 * spot(-14, -10),
    }[kind]
    return torch.from_numpy(flux / flux.max() * 2 - 1).float()[None]


def is_ring(x: torch.Tensor, pixel: float = 4.0) -> bool:
    """Radii that scatter by less than 15 % around a middle that is less than half as bright as the ring."""
    found = ring((x[0] + 1) / 2, pixel)
    return found["spread"] < 0.15 * found["diameter"] and found["centre_to_ring"] < 0.5


def imaged(kind: str, prior: BlackHolePictures) -> xhat.Restoration:
    y = xhat.simulate(sky(kind), "black_hole_array:fov=128,white=0.007,flux=0.6,interval=1200", "vlbi", seed=1)
    return xhat.restore(y, prior=prior, solver="map:steps=40", starts=4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ring", "disc", "double"])
def test_a_ring_appears_where_there_is_one_and_nowhere_else(kind, tmp_path):
    """The array of 2017, closure quantities alone, a prior of which 70 % are rings and crescents."""
    prior = BlackHolePictures(components=16, rank=24, pictures=1200, size=32)
    r = imaged(kind, prior)
    assert is_ring(sky(kind)) == (kind == "ring")  # the measure itself
    assert is_ring(r.first) == (kind == "ring")
    assert float(r.modes.images.min()) >= -1, "flux is not negative"
    if kind == "ring":
        assert ring((r.first[0] + 1) / 2, 4.0)["diameter"] == pytest.approx(42, abs=4)  # a pixel
    fits = pytest.importorskip("astropy.io.fits")
    r.save(tmp_path / "out", modes=3)
    for name in ("restored", *(f"mode_{i:03d}" for i in range(3))):
        with fits.open(tmp_path / "out" / f"{name}.fits") as file:
            assert float(file[0].data.sum()) == pytest.approx(0.6, rel=1e-4), "the flux as given"
            assert file[0].data.min() >= 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["disc", "double"])
def test_a_network_that_knows_rings_makes_none_where_there_is_none(kind):
    """As above with the network of the same pictures, which knows 64 x 64 points. That it finds a ring is not said: see
    docs/black_hole.md.
    """
    sees = "black_hole_array:fov=128,white=0.00175,flux=0.6,interval=1200"
    y = xhat.simulate(sky(kind, 64), sees, "vlbi", seed=1)
    r = xhat.restore(y, prior="blackhole_net", solver="map:steps=40", starts=4)
    assert not is_ring(r.first, 2.0)


def test_an_array_that_has_not_observed_yet_tells_no_flux():
    """Visibilities of 0 are no total of 0 Jy, to which every image would be scaled."""
    sky = black_hole_array((1, 8, 8), white=0.01).modality
    x = torch.zeros(1, 8, 8)
    assert sky.total is None
    assert sky.jansky(x) == 0.01
    assert black_hole_array((1, 8, 8), flux=0.6).modality.total == 0.6


def test_negative_flux_is_said(caplog):
    A = black_hole_array((1, 16, 16), flux=0.6)
    told = []
    for low in (-1.0, -1.2):
        caplog.clear()
        x = torch.full((1, 16, 16), low)
        x[:, 6:10, 6:10] = 1.0
        one = {"images": x[None], "first": x, "mean": x, "posterior_std": None, "reference": None, "metrics": {}}
        account = {"y": x, "residual": torch.ones(1), "expected": torch.ones(1), "verdict": lambda i=0: "fits"}
        A.modality.files(SimpleNamespace(**one, **account))
        told.append([record.getMessage() for record in caplog.records])
    assert told[0] == []
    assert "negative flux" in told[1][0]


def test_fits_of_every_image_has_its_own_scale_the_time_and_the_beam_of_the_array(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    A = black_hole_array((1, 16, 16), flux=0.6)
    images = {
        f"sample_{i:03d}": 2 * torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(i)) - 1 for i in (0, 1)
    }
    o = A.observation
    for name, put in A.modality.write(images, 8).items():
        put(tmp_path / name)
    for name in images:
        with fits.open(tmp_path / f"{name}.fits") as file:
            head = file[0].header
            assert float(file[0].data.sum()) == pytest.approx(0.6, rel=1e-4)
            assert head["MJD"] == head["MJD-OBS"] == pytest.approx(o.mjd + (o.time.min() + o.time.max()) / 48)
    softened = replace(o, sigma=np.hypot(o.sigma, 0.1 * np.exp(-o.length / 2e9)))
    assert A.modality.beam == pytest.approx(planned().beam())
    assert softened.beam()[0] != pytest.approx(A.modality.beam[0], rel=1e-3)
