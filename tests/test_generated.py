"""Pictures that need no data: what they depend on, their units, and the priors that are fitted to them."""

import numpy as np
import pytest
import torch

from xhat import Rng
from xhat.priors import build_prior
from xhat.priors.generated import GENERATORS
from xhat.schedule import Level
from xhat.science.fwi.operator import FWI
from xhat.science.navier_stokes.generator import APART, SCALE, SHIFTS, start
from xhat.science.navier_stokes.operator import NavierStokes


@pytest.mark.slow
@pytest.mark.parametrize("what", GENERATORS)
def test_a_picture_depends_on_its_seed_and_number_only(what):
    few, many = GENERATORS[what](2, 16, 5), GENERATORS[what](33, 16, 5)
    assert few.shape == (2, 16, 16)
    assert few.dtype == np.uint8
    assert np.abs(few.astype(int) - many[:2]).max() <= (what == "vorticity")  # the FFT of a batch rounds differently
    assert (GENERATORS[what](2, 16, 6) != few).any()
    assert len({picture.tobytes() for picture in many}) > 30  # two shifts of a flow can be the same


def test_velocities_are_faster_downwards_and_followed_by_fwi():
    x = torch.from_numpy(GENERATORS["velocity"](200, 16, 0)).float() / 127.5 - 1
    depth = x.mean((0, 1))
    assert (depth.diff() > -0.05).all()
    assert depth[-1] - depth[0] > 0.5, "columns are depths"
    across = x.mean((0, 2))
    assert across.std() < 0.1 * depth.std(), "and no place along the surface is special"
    assert FWI((1, 16, 16), sources=1, receivers=2, time=20, cells=4)(x[:1, None]).isfinite().all()


def test_pictures_of_one_flow_follow_each_other():
    """The second moment of a flow is the first one, followed for that time; between are the first one's shifts."""
    pictures = torch.from_numpy(GENERATORS["vorticity"](SHIFTS + 1, 32, 3)).float() / 127.5 - 1
    first, second = pictures[None, :1], pictures[None, SHIFTS:]
    on = NavierStokes((1, 32, 32), time=APART, subsample=1, scale=SCALE)(first) / SCALE
    # 8 bits of the first, which the flow stretches, and 8 bits of the second
    assert (on - second).square().mean() < (4 / 255) ** 2
    assert (first - second).square().mean() > (20 / 255) ** 2
    spectra = torch.fft.fft2(pictures[:SHIFTS]).abs()
    torch.testing.assert_close(spectra, spectra[:1].expand_as(spectra), atol=1e-3, rtol=0)


def test_a_moved_flow_is_the_flow_of_the_moved_start():
    """What makes shifts of a flow flows: any way along x, quarters along y; eighths along y would not."""
    flow, w = NavierStokes((1, 32, 32), time=0.5, subsample=1), start(Rng([0]), 32) * 2.5
    for shift in ((5, 0), (0, 8), (3, 24)):
        torch.testing.assert_close(flow(w.roll(shift, (2, 3))), flow(w).roll(shift, (2, 3)), atol=1e-3, rtol=0)
    assert (flow(w.roll(4, 3)) - flow(w).roll(4, 3)).abs().max() > 0.1


def test_a_flow_starts_without_a_mean_and_with_its_rms():
    w = SCALE * start(Rng([0, 1, 2]), 32)
    torch.testing.assert_close(w.mean((1, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(w.std((1, 2, 3)), torch.full((3,), 7.0))
    alone = SCALE * start(Rng([1]), 32)
    torch.testing.assert_close(w[1:2], alone)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["velocity", "vorticity"])
def test_the_prior_fitted_to_them_denoises_others(what, tmp_path, monkeypatch):
    monkeypatch.setenv("XHAT_CACHE", str(tmp_path))
    prior = build_prior(f"{what}:components=2,rank=20,pictures=128,size=32", "cpu")
    x = torch.from_numpy(GENERATORS[what](8, 32, 1)).float()[:, None] / 127.5 - 1
    noisy = x + 0.5 * Rng(list(range(8))).randn_like(x)
    better = (prior(noisy, Level(0.5, 1.0, 0.5)) - x).square().mean() / (noisy - x).square().mean()
    assert better < 0.4
    assert list(tmp_path.glob(f"{what}-*.safetensors"))
