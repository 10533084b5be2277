"""Laws of ESPIRiT's maps on simulated coils, whose maps are known."""

import pytest
import torch

from xhat.errors import DataError
from xhat.science.mri.espirit import espirit_maps
from xhat.science.mri.kspace import birdcage, central_lines, combine, fft2c, rss

pytest.importorskip("sigpy")
N = 48


@pytest.fixture(scope="module")
def coils():
    """Maps, an image that is 0 outside a disc, and its k-space."""
    r = (torch.arange(N) - N // 2) / N
    radius = torch.hypot(r[:, None], r)
    image = ((radius < 0.35) * (1 + 0.5 * torch.cos(9 * radius))).to(torch.complex64)
    maps = birdcage(4, N, N).to(torch.complex64)
    return maps, image, fft2c(maps * image)


def test_maps_have_norm_one_where_there_is_signal_and_are_the_coils_up_to_a_phase(coils):
    maps, image, k = coils
    found = espirit_maps(k, torch.ones(N, N, dtype=torch.bool))
    inside = image.abs() > 0.5
    torch.testing.assert_close(rss(found)[inside], torch.ones(int(inside.sum())), rtol=0, atol=1e-5)
    assert (found.conj() * maps).sum(0).abs()[inside].min() > 0.99


def test_the_image_is_nearly_real_with_them(coils):
    _, image, k = coils
    x = combine(k, espirit_maps(k, torch.ones(N, N, dtype=torch.bool)))[image.abs() > 0.5]
    assert x.imag.abs().mean() < 0.05 * x.real.abs().mean()


def test_scaling_the_data_changes_no_map(coils):
    _, _, k = coils
    mask = torch.ones(N, N, dtype=torch.bool)
    torch.testing.assert_close(espirit_maps(100 * k, mask), espirit_maps(k, mask), rtol=0, atol=1e-4)


def test_a_small_centre_is_refused(coils):
    _, _, k = coils
    mask = torch.zeros(N, N, dtype=torch.bool)
    mask[N // 2 - 3 : N // 2 + 3, N // 2 - 3 : N // 2 + 3] = True
    assert min(central_lines(mask)) < 8
    with pytest.raises(DataError, match="8 x 8 frequencies"):
        espirit_maps(k * mask, mask)
