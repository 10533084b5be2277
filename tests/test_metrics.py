"""Metrics against independent implementations, per image."""

import numpy as np
import pytest
import torch

from xhat.errors import DataError, ShapeError, SpecError
from xhat.metrics import METRICS, choose, lpips, psnr, ssim

G = torch.Generator().manual_seed(0)


def pair(*shape):
    truth = torch.rand(shape, generator=G) * 2 - 1
    return truth + 0.2 * torch.randn(shape, generator=G), truth


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_and_ssim_agree_with_scikit_image(channels):
    theirs = pytest.importorskip("skimage.metrics")
    x, truth = pair(2, channels, 40, 33)
    for i in range(2):
        a, b = (np.clip(t[i].double().numpy() / 2 + 0.5, 0, 1) for t in (x, truth))
        assert float(psnr(x, truth)[i]) == pytest.approx(theirs.peak_signal_noise_ratio(b, a, data_range=1), abs=1e-4)
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
        _, full = theirs.structural_similarity(b, a, channel_axis=0, full=True, **options)
        expected = full[:, 5:-5, 5:-5].mean()  # the valid part of the 11×11 window
        assert float(ssim(x, truth)[i]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["psnr", "ssim"])
def test_images_do_not_mix(name):
    x, truth = pair(3, 3, 16, 16)
    alone = torch.cat([METRICS[name](x[i : i + 1], truth[i : i + 1]) for i in range(3)])
    assert METRICS[name](x, truth).shape == (3,)
    assert torch.allclose(METRICS[name](x, truth), alone, atol=1e-6)


def test_equal_images_reach_the_cap_and_values_outside_the_range_are_clipped():
    truth = torch.ones(1, 1, 16, 16)
    assert psnr(truth, truth).item() == pytest.approx(80)
    assert psnr(3 * truth, truth).item() == pytest.approx(80)
    assert ssim(truth, truth).item() == pytest.approx(1)


def test_choice_fails_before_a_run_not_after_it():
    assert choose(None, torch.zeros(3, 16, 16)) == ["psnr", "ssim"]
    assert choose(None, torch.zeros(3, 8, 16)) == ["psnr"]
    with pytest.raises(SpecError, match="unknown metric 'snr'; choose from lpips, psnr, ssim"):
        choose(["snr"], torch.zeros(3, 16, 16))
    with pytest.raises(ShapeError, match="at least 11"):
        choose(["ssim"], torch.zeros(3, 8, 16))


def test_lpips_without_its_weights_says_so(monkeypatch):
    import torchmetrics.image.lpip as module

    def fail(**_):
        raise OSError("no network")

    monkeypatch.setattr(module, "LearnedPerceptualImagePatchSimilarity", fail)
    with pytest.raises(DataError, match=r"not at hand \(no network\).*xhat\[lpips\]"):
        lpips(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))
