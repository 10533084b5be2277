"""Metrics against independent implementations, per image."""

import importlib.util
import sys
import types
import warnings

import numpy as np
import pytest
import torch

from xhat.errors import DataError, ShapeError, SpecError
from xhat.metrics.perceptual import FILES, lpips, lpips_net, stlpips
from xhat.metrics.pixels import psnr, ssim
from xhat.metrics.registry import METRICS, choose
from xhat.operators.modality import PICTURE

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
    assert choose(None, torch.zeros(3, 16, 16), PICTURE) == ["psnr", "ssim"]
    assert choose(None, torch.zeros(3, 8, 16), PICTURE) == ["psnr"]
    with pytest.raises(SpecError, match=r"unknown metric 'snr'; choose from lpips, .*psnr, .*ssim"):
        choose(["snr"], torch.zeros(3, 16, 16), PICTURE)
    with pytest.raises(ShapeError, match="at least 11"):
        choose(["ssim"], torch.zeros(3, 8, 16), PICTURE)


def test_lpips_without_its_weights_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setenv("XHAT_WEIGHTS", str(tmp_path / "mine"))
    lpips_net.cache_clear()
    with pytest.raises(DataError, match=r"vgg16-397923af\.pth is not at hand.*checkpoints.*XHAT_WEIGHTS"):
        lpips(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "vgg16-397923af.pth").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="cannot be read as weights"):
        lpips(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))


SHAPES = {
    "alex": {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)},
    "vgg": {
        0: (64, 3, 3), 2: (64, 64, 3), 5: (128, 64, 3), 7: (128, 128, 3), 10: (256, 128, 3), 12: (256, 256, 3),
        14: (256, 256, 3), 17: (512, 256, 3), 19: (512, 512, 3), 21: (512, 512, 3), 24: (512, 512, 3),
        26: (512, 512, 3), 28: (512, 512, 3),
    },
}  # fmt: skip


def torchvision_features(kind):
    """AlexNet's and VGG-16's `features` as torchvision arranges them, with random weights of a sane size."""
    layers, at, g = [], 0, torch.Generator().manual_seed(1)
    strides = {"alex": {0: (4, 2), 3: (1, 2)}, "vgg": {}}[kind]
    pool = {"alex": lambda: torch.nn.MaxPool2d(3, 2), "vgg": lambda: torch.nn.MaxPool2d(2, 2)}[kind]
    for index, (out, into, size) in SHAPES[kind].items():
        if index > at:
            layers.append(pool())
        stride, padding = strides.get(index, (1, 1))
        conv = torch.nn.Conv2d(into, out, size, stride, padding)
        torch.nn.init.normal_(conv.weight, std=(2 / into) ** 0.5 / size, generator=g)
        layers += [conv, torch.nn.ReLU()]
        at = index + 2
    return torch.nn.Sequential(*layers, pool())


@pytest.mark.parametrize("kind", ["alex", "vgg"])
def test_lpips_agrees_with_torchmetrics_on_the_same_trunk(kind, monkeypatch, tmp_path):
    module = pytest.importorskip("torchmetrics.functional.image.lpips")
    features = torchvision_features(kind)
    monkeypatch.setattr(module, "_get_tv_model_features", lambda net, pretrained=False: features)
    theirs = module._NoTrainLpips(net=kind)
    weights = {f"features.{k}": v for k, v in features.state_dict().items()}
    torch.save(weights, tmp_path / FILES[kind])
    monkeypatch.setenv("XHAT_WEIGHTS", str(tmp_path))
    lpips_net.cache_clear()
    x, truth = (v.clamp(-1, 1) for v in pair(2, 3, 64, 70))
    with torch.no_grad():
        expected = theirs(x, truth).flatten()
    found = METRICS["lpips" if kind == "vgg" else "lpips_alex"](x, truth)
    lpips_net.cache_clear()
    assert torch.allclose(found, expected, rtol=1e-4)
    assert (expected > 1e-3).all()


def test_shift_tolerant_lpips_agrees_with_its_authors_code(monkeypatch):
    """Their package imports three others that its forward pass does not use: empty modules in their place."""
    if importlib.util.find_spec("stlpips_pytorch") is None:
        pytest.skip("no stlpips_pytorch")
    for name, offered in (("IPython", "embed"), ("torchsummary", "summary"), ("torchvision", "models")):
        module = types.ModuleType(name)
        setattr(module, offered, None)
        monkeypatch.setitem(sys.modules, name, module)
    for name in [m for m in sys.modules if m.startswith("stlpips_pytorch")]:
        monkeypatch.delitem(sys.modules, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = importlib.import_module("stlpips_pytorch.stlpips").LPIPS(
            net="alex", variant="shift_tolerant", verbose=False
        )
    x, truth = (v.clamp(-1, 1) for v in pair(2, 3, 64, 70))
    with torch.no_grad():
        expected = theirs(x, truth).flatten()
    assert torch.allclose(stlpips(x, truth), expected, rtol=1e-4)
    grey = truth[:, :1]
    assert float(stlpips(grey, grey).abs().max()) == 0
    with pytest.raises(ShapeError, match="32 pixels"):
        stlpips(x[..., :20, :20], truth[..., :20, :20])


@pytest.mark.slow
def test_frechet_distance_of_sets():
    from xhat.metrics.sets import SETS

    pytest.importorskip("efficientnet_lite_pytorch")
    distance = SETS["frechet_lite0"]()
    truth = torch.rand(4, 3, 64, 64, generator=G)
    truth = torch.nn.functional.avg_pool2d(truth, 5, 1, 2)
    near, far = (truth + s * torch.randn(truth.shape, generator=G) for s in (0.02, 0.3))
    same, little, much = (distance(v.clamp(0, 1), truth) for v in (truth, near, far))
    assert abs(same) < 1e-3 * much
    assert same < little < much


def test_fid_without_its_weights_says_so(monkeypatch, tmp_path):
    from xhat.metrics.sets import SETS

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for name in ("fid", "kid"):
        with pytest.raises(DataError, match="weights-inception-2015-12-05"):
            SETS[name]()
