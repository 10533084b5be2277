"""Distances in the features of trained networks, whose weights are looked for on this machine and never downloaded."""

import os
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import DataError, ShapeError
from ..files.extras import install
from ..types import Image, PerImage

Trunk = Callable[[Tensor], list[Tensor]]

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # mean and deviation of ImageNet in [−1, 1]
FILES = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "inception": "weights-inception-2015-12-05-6726825d.pth",
}
SMALLEST = 32  # pixels per side


class Perceptual(nn.Module):
    """LPIPS: Σ_layers Σ_c w_c (â_c − b̂_c)², mean over places, of features normalised over channels. arXiv:1801.03924

    `trunk` turns images, scaled to ImageNet's statistics, into the features of five layers; `heads` are the w ≥ 0.
    """

    def __init__(self, trunk: Trunk, heads: Sequence[Tensor]) -> None:
        super().__init__()
        self.trunk, self.heads = trunk, [h.reshape(1, -1, 1, 1) for h in heads]

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The distance of each pair, (b,), for two batches (b, 3, h, w) in [−1, 1]."""
        shift, scale = (a.new_tensor(v).reshape(1, 3, 1, 1) for v in (SHIFT, SCALE))
        total = a.new_zeros(len(a))
        for p, q, w in zip(self.trunk((a - shift) / scale), self.trunk((b - shift) / scale), self.heads, strict=True):
            total = total + (w.to(p) * (_unit(p) - _unit(q)) ** 2).sum(1).mean((1, 2))
        return total


def _unit(f: Tensor) -> Tensor:
    return f / (f.square().sum(1, keepdim=True).sqrt() + 1e-10)


def distance(net: Perceptual, a: Tensor, b: Tensor) -> Tensor:
    """`net` for grey or colour images (b, c, h, w), clipped to [−1, 1], image by image: (b,).

    Raises ShapeError for other images or for sides below 32 pixels.
    """
    if a.ndim != 4 or a.shape[1] not in (1, 3) or min(a.shape[2:]) < SMALLEST:
        raise ShapeError(
            f"perceptual distances need grey or colour images of {SMALLEST} pixels a side, not {tuple(a.shape[1:])}"
        )
    p, q = (i.detach().float().clamp(-1, 1).expand(-1, 3, -1, -1) for i in (a, b))
    with torch.no_grad():
        return torch.cat([net(p[i : i + 1], q[i : i + 1]) for i in range(len(p))]).to(a)


@cache
def lpips_net(kind: str) -> Perceptual:
    """LPIPS 0.1 on AlexNet ("alex") or VGG-16 ("vgg"): the trunk's weights from torch's cache, the heads from
    torchmetrics.

    Raises DataError if they are missing.
    """
    weights = load(found(FILES[kind]))
    heads = load(_inside("torchmetrics", f"functional/image/lpips_models/{kind}.pth"))
    return Perceptual(trunk_of(kind, weights), [heads[f"lin{i}.model.1.weight"] for i in range(5)])


@cache
def stlpips_net() -> Perceptual:
    """Shift-tolerant LPIPS on its own AlexNet, with weights and heads from one package on PyPI. arXiv:2207.13686

    Raises DataError if the package is missing.
    """
    w = load(_inside("stlpips_pytorch", "weights/vST0.0/alex_shift_tolerant.pth", "bench"))
    return Perceptual(lambda x: shift_tolerant(x, w), [w[f"lin{i}.model.1.weight"] for i in range(5)])


def lpips(x: Image, reference: Image) -> PerImage:
    """Learned perceptual distance on VGG-16 (Zhang et al., 2018), weights from torch's cache. arXiv:1801.03924"""
    return distance(lpips_net("vgg"), x, reference)


def lpips_alex(x: Image, reference: Image) -> PerImage:
    """Learned perceptual distance on AlexNet (Zhang et al., 2018), weights from torch's cache. arXiv:1801.03924"""
    return distance(lpips_net("alex"), x, reference)


def stlpips(x: Image, reference: Image) -> PerImage:
    """Shift-tolerant LPIPS on AlexNet, not LPIPS; needs no download: xhat[bench]. arXiv:2207.13686"""
    return distance(stlpips_net(), x, reference)


def trunk_of(kind: str, w: dict[str, Tensor]) -> Trunk:
    """A function from images to the five layers of AlexNet or VGG-16 after their ReLUs.

    `w` are weights named features.N.weight and features.N.bias.
    """

    def conv(x: Tensor, i: int, padding: int, stride: int = 1) -> Tensor:
        weight, bias = (w[f"features.{i}.{part}"].to(x) for part in ("weight", "bias"))
        return F.conv2d(x, weight, bias, stride=stride, padding=padding).relu()

    def alex(x: Tensor) -> list[Tensor]:
        out = [conv(x, 0, stride=4, padding=2)]
        out.append(conv(F.max_pool2d(out[-1], 3, 2), 3, padding=2))
        out.append(conv(F.max_pool2d(out[-1], 3, 2), 6, padding=1))
        return [*out, y := conv(out[-1], 8, padding=1), conv(y, 10, padding=1)]

    def vgg(x: Tensor) -> list[Tensor]:
        out: list[Tensor] = []
        for block in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)):
            x = F.max_pool2d(x, 2) if out else x
            for i in block:
                x = conv(x, i, padding=1)
            out.append(x)
        return out

    return alex if kind == "alex" else vgg


def shift_tolerant(x: Tensor, w: dict[str, Tensor]) -> list[Tensor]:
    """AlexNet with stride 1 followed by blurred subsampling (Ghildyal & Liu, 2022, section 4). arXiv:2207.13686"""

    def conv(x: Tensor, name: str, padding: int) -> Tensor:
        return F.conv2d(x, w[f"net.{name}.weight"].to(x), w[f"net.{name}.bias"].to(x), padding=padding)

    def blur(x: Tensor, name: str) -> Tensor:
        return F.conv2d(
            F.pad(x, (2, 2, 2, 2), mode="reflect"), w[f"net.{name}.filt"].to(x), stride=2, groups=x.shape[1]
        )

    def pool(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 1)

    a = blur(conv(x, "slice1.0", 2), "slice1.1").relu()
    b = conv(blur(pool(a), "slice2.4"), "slice2.5", 2).relu()
    c = conv(blur(pool(b), "slice3.8"), "slice3.9", 1).relu()
    d = conv(c, "slice4.11", 1).relu()
    return [a, b, c, d, conv(d, "slice5.13", 1).relu()]


def found(name: str) -> Path:
    """The path of a file of weights in the folder $XHAT_WEIGHTS or in torch's cache.

    Raises DataError that names both places if it is in neither.
    """
    own = os.environ.get("XHAT_WEIGHTS")
    places = [*([Path(own)] if own else []), Path(torch.hub.get_dir()) / "checkpoints"]
    for place in places:
        if (place / name).is_file():
            return place / name
    raise DataError(
        f"{name} is not at hand: put it into {places[-1]}, where torch keeps it, or into the folder $XHAT_WEIGHTS"
    )


def _inside(package: str, file: str, group: str = "") -> Path:
    """A file that a package, of the extra `group`, carries; the package is not imported."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"{package} is not installed: {install(group)}")
    return Path(spec.submodule_search_locations[0]) / file


def load(path: Path) -> dict[str, Any]:
    """The tensors in a file of weights, by name. Raises DataError if it cannot be read."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return {k: v.detach() for k, v in content.items()}
    except Exception as e:  # torch and pickle have many errors for a broken file
        raise DataError(f"{path}: cannot be read as weights ({type(e).__name__})") from e
