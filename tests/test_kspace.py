"""Laws of k-space: unitary centred transforms, crops around the middle, masks and the level of noise."""

import pytest
import torch

from xhat.errors import DataError
from xhat.science.mri.kspace import (
    birdcage,
    central_lines,
    combine,
    crop,
    crop_readout,
    estimate_maps,
    fft2c,
    ifft2c,
    noise_level,
    rss,
    sampled,
)

G = torch.Generator().manual_seed(0)


def noise(*shape):
    return torch.randn(*shape, generator=G, dtype=torch.complex128)


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (1, 6)])
def test_the_transform_is_unitary_and_centred(size):
    x, k = noise(3, *size), noise(3, *size)
    torch.testing.assert_close(ifft2c(fft2c(x)), x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close((fft2c(x).conj() * k).sum(), (x.conj() * ifft2c(k)).sum(), rtol=1e-12, atol=1e-12)
    flat = fft2c(torch.ones(size, dtype=torch.complex128))
    assert flat.abs().argmax() == size[0] // 2 * size[1] + size[1] // 2


@pytest.mark.parametrize(("n", "size"), [(8, 4), (9, 4), (9, 5), (8, 5)])
def test_a_crop_keeps_the_middle_in_the_middle(n, size):
    x = torch.zeros(n)
    x[n // 2] = 1
    assert crop(x, size, 0).argmax() == size // 2


def test_cropping_the_readout_crops_the_image():
    x = noise(2, 16, 6)
    torch.testing.assert_close(ifft2c(crop_readout(fft2c(x), 8)), crop(x, 8, -2), rtol=1e-12, atol=1e-12)


def test_combine_inverts_the_coils():
    x, maps = noise(10, 12), birdcage(4, 10, 12)
    torch.testing.assert_close(rss(maps), torch.ones(10, 12, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(combine(fft2c(maps * x), maps), x, rtol=1e-12, atol=1e-12)


def test_lines_and_patterns_are_told_apart():
    k = noise(2, 16, 16)
    lines = torch.arange(16) % 3 == 0
    assert torch.equal(sampled(k * lines), lines.expand(16, 16))
    echo = lines * (torch.arange(16) > 3)[:, None]  # the first quarter of each line is filled with zeros
    assert torch.equal(sampled(k * echo), lines.expand(16, 16))
    pattern = torch.rand(16, 16, generator=G) < 0.2
    assert torch.equal(sampled(k * pattern), pattern)


def test_the_centre_is_the_largest_full_rectangle():
    mask = torch.zeros(16, 16, dtype=torch.bool)
    assert central_lines(mask) == (0, 0)
    mask[5:12, 6:11] = True
    rows, columns = central_lines(mask)
    assert crop(crop(mask, rows, 0), columns, 1).all()
    assert rows in (6, 7)
    assert columns in (4, 5)


def test_the_level_of_noise_is_its_standard_deviation():
    k = 0.3 * 2**0.5 * noise(4, 64, 64)  # torch's complex normal numbers have variance 1 in all
    assert noise_level(k) == pytest.approx(0.3, rel=0.05)  # 5000 numbers: 3 standard errors of the median deviation
    k[..., 28:36, 28:36] += 100
    assert noise_level(k) == pytest.approx(0.3, rel=0.05)
    assert noise_level(k[:1, :8, :8]) == 0


def test_empty_k_space_has_no_maps():
    with pytest.raises(DataError, match="only zeros"):
        estimate_maps(torch.zeros(2, 16, 16, dtype=torch.complex128), torch.ones(16, 16, dtype=torch.bool))
