"""Train a prior of grey pictures on one core, by the clock: how `brain` and `nuclei` were made.

    python train.py OUT --data brain_128.npz --recipe brain --minutes 48 [--resume] ...

OUT gets `checkpoint.pt` (everything that --resume needs), `log.csv` (PSNR in dB of the averaged weights on the images
that `xhat train denoiser DATA --recipe RECIPE` holds out) and, at the end, `model.pt` with the averaged weights. The
learning rate falls to zero at the end of --minutes, which count the training only: loading, compiling, watching and
the pauses between runs are left out.
"""

import argparse
import copy
import csv
import math
import os
import time
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from xhat.files.pictures import resize
from xhat.metrics.pixels import decibels
from xhat.priors.pixel import pad
from xhat.priors.residual_unet import ResidualUNet
from xhat.train.dataset import load, scaled
from xhat.train.images import eight_bit
from xhat.train.recipe import read_recipe

LEVELS = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0)
TRAINED = (0.002, 40.0)
"""The lowest and the highest noise level that is trained."""

# (from which share of the time on, crops a step, their side in pixels). Small crops come first, because more of them
# are seen in a minute; only whole images show what lies far apart.
PHASES = ((0.0, 32, 64), (0.65, 10, 128))

FLOOR = 0.05
"""Bounds the weight of a crop that is nearly all black: such crops are common, and the others must not starve."""

STEADY = 0.5
"""The share of the time with the full learning rate; a cosine follows."""


def shared(about: str | None, widths: str, blocks: str) -> argparse.ArgumentParser:
    """The options of every training, with the network's shape by default."""
    parser = argparse.ArgumentParser(description=about.split("\n")[0] if about else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, required=True, help="of training, in all")
    parser.add_argument("--resume", action="store_true", help="go on from OUT's checkpoint.pt")
    parser.add_argument("--widths", default=widths)
    parser.add_argument("--blocks", default=blocks)
    parser.add_argument("--lr", type=float, default=1.2e-3)
    parser.add_argument("--every", type=float, default=6.0, help="minutes between rows of the log and checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def arguments() -> argparse.Namespace:
    parser = shared(__doc__, "64,64,96,128", "1,1,1,2")
    parser.add_argument("--data", type=Path, required=True, help=".npz of uint8 images of one channel")
    parser.add_argument("--recipe", required=True, help="whose table [data] says which images are held out")
    parser.add_argument("--upright", type=float, default=0.5, help="how often an image stays upright")
    parser.add_argument("--turn", action="store_true", help="turn by right angles, too")
    parser.add_argument("--large", type=float, default=0.0, help="share of crops of images of twice the size")
    return parser.parse_args()


class Crops:
    """The training images in memory, (h, w) uint8 each, and those held out, (n, 1, h, w) in [-1, 1]."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        data = load(options.data, read_recipe(options.recipe).data)
        self.sigma_data = float(f"{data.std():.3g}")
        self.held_out = data.validation(len(data.held))
        self.pictures = [x[0].numpy() for x in data.train]
        self.large = []
        if options.large:
            self.large = [eight_bit(resize(scaled(x), *(2 * n for n in x.shape[1:])))[0].numpy() for x in data.train]

    def draw(self, batch: int, side: int, rng: np.random.Generator) -> Tensor:
        """Random crops, (batch, 1, side, side) float32 in [-1, 1], mirrored and turned as the options say."""
        out = np.empty((batch, side, side), np.uint8)
        for k in range(batch):
            pictures = self.large if self.large and rng.random() < self.options.large else self.pictures
            picture = pictures[rng.integers(len(pictures))]
            i, j = (rng.integers(n - side + 1) for n in picture.shape)
            crop = picture[i : i + side, j : j + side]
            crop = crop[:, ::-1] if rng.random() < 0.5 else crop
            crop = crop[::-1] if rng.random() >= self.options.upright else crop
            out[k] = crop.T if self.options.turn and rng.random() < 0.5 else crop
        return torch.from_numpy(out)[:, None].float() / 127.5 - 1

    def batch(self, done: float, rng: np.random.Generator) -> Tensor:
        """The crops of a step after `done` of the time."""
        _, batch, side = [p for p in PHASES if p[0] <= done][-1]
        return self.draw(batch, side, rng)


class Data(Protocol):
    """Where pictures (b, c, h, w) in [-1, 1] come from; `sigma_data` is their standard deviation."""

    sigma_data: float
    held_out: Tensor

    def batch(self, done: float, rng: np.random.Generator) -> Tensor: ...


def denoise(net: ResidualUNet, d: float | Tensor, u: Tensor, sigma: Tensor) -> Tensor:
    """D(u, sigma) of images (b, 1, h, w), `sigma` (b,) or (1,), in EDM's preconditioning with the standard deviation
    `d` of the images (Karras et al., 2022, arXiv:2206.00364).
    """
    s = sigma.view(-1, 1, 1, 1)
    q = torch.sqrt(s * s + d * d)
    h, w = u.shape[-2:]
    out = net(pad(u / q, net.multiple), sigma.log() / 4)[..., :h, :w].to(u.dtype)
    return d * d / (q * q) * u + s * d / q * out


def rate(done: float, step: int) -> float:
    """The learning rate as a share of its peak, after `done` of the time and `step` steps."""
    falling = max(0.0, (done - STEADY) / (1 - STEADY))
    return min(1.0, (step + 1) / 300) * (1 + math.cos(math.pi * falling)) / 2


def noise_levels(n: int) -> Tensor:
    """Standard deviations (n,): ln s is normal for three in four and evenly spread over all trained levels else."""
    low, high = map(math.log, TRAINED)
    middle = -1.2 + 1.2 * torch.randn(n)
    wide = low + (high - low) * torch.rand(n)
    return torch.where(torch.rand(n) < 0.25, wide, middle).clamp(low, high).exp()


def objective(net: ResidualUNet, d: float | Tensor, x: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """The mean over the crops of ln(e + FLOOR), e being EDM's loss of the crop, so that levels count about alike."""
    error = (denoise(net, d, x + sigma.view(-1, 1, 1, 1) * noise, sigma) - x).square().flatten(1).mean(1)
    return (error * (sigma**2 + d**2) / (sigma * d) ** 2 + FLOOR).log().mean()


class Run:
    """A training in progress: what a checkpoint holds, and the step."""

    def __init__(self, options: argparse.Namespace, config: dict[str, Any], sigma_data: float) -> None:
        self.net = ResidualUNet(**config).to(memory_format=torch.channels_last)
        self.mean = copy.deepcopy(self.net).requires_grad_(False)
        self.adam = torch.optim.AdamW(self.net.parameters(), options.lr, (0.9, 0.99), weight_decay=0.0, fused=True)
        self.rng = np.random.default_rng(options.seed)
        self.sigma_data = sigma_data
        self.step_count, self.crops, self.seconds = 0, 0, 0.0
        # One graph for each size of crop; the compiler joins the passes between the convolutions into one. With
        # sigma_data as a tensor the graph is that of other data, too, and is found in the compiler's cache.
        self.loss = torch.compile(partial(objective, self.net, torch.tensor(sigma_data)), dynamic=False)

    def step(self, x: Tensor, lr: float) -> None:
        """One update of the float32 weights by pictures `x`, under autocast to bfloat16, and of their average."""
        for group in self.adam.param_groups:
            group["lr"] = lr
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = self.loss(x, torch.randn_like(x), noise_levels(len(x)))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0, foreach=True)
        self.adam.step()
        self.adam.zero_grad()
        self.step_count += 1
        self.crops += len(x)
        if self.step_count % 4 == 0:
            # A short average at first, then one over the last 1000 steps.
            decay = min(0.996, 1 - 4 / (4 + 0.1 * self.step_count))
            with torch.no_grad():
                torch._foreach_lerp_(list(self.mean.parameters()), list(self.net.parameters()), 1 - decay)

    def state(self) -> dict[str, Any]:
        return {
            "config": self.net.config,
            "sigma_data": self.sigma_data,
            "net": self.net.state_dict(),
            "mean": self.mean.state_dict(),
            "adam": self.adam.state_dict(),
            "rng": self.rng.bit_generator.state,
            "torch_rng": torch.get_rng_state(),
            "step": self.step_count,
            "crops": self.crops,
            "seconds": self.seconds,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.mean.load_state_dict(state["mean"])
        self.adam.load_state_dict(state["adam"])
        self.rng.bit_generator.state = state["rng"]
        torch.set_rng_state(state["torch_rng"])
        self.step_count, self.crops, self.seconds = state["step"], state["crops"], state["seconds"]


def write(path: Path, state: object) -> None:
    """Saved beside and moved into place, so that a kill never leaves half a file."""
    beside = path.with_suffix(".new")
    torch.save(state, beside)
    os.replace(beside, path)


@torch.no_grad()
def watch(net: ResidualUNet, d: float, images: Tensor) -> list[float]:
    """PSNR in dB of the mean squared error of D(x0 + s n, s) at each of LEVELS, always with the same noise."""
    n = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    out = []
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for s in LEVELS:
            pairs = zip(images.split(16), n.split(16), strict=True)
            errors = [(denoise(net, d, x + s * e, torch.tensor([s])) - x).square().flatten(1).mean(1) for x, e in pairs]
            out.append(round(decibels(float(torch.cat(errors).mean())), 3))
    return out


def main(options: argparse.Namespace, data: Data) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    checkpoint, log = options.out / "checkpoint.pt", options.out / "log.csv"
    saved = torch.load(checkpoint, weights_only=False) if options.resume else None
    shape = {k: [int(n) for n in getattr(options, k).split(",")] for k in ("widths", "blocks")}
    run = Run(options, saved["config"] if saved else {"channels": data.held_out.shape[1], **shape}, data.sigma_data)
    if saved:
        run.load(saved)

    def report() -> None:
        new = not log.exists()
        with log.open("a", newline="") as file:
            rows = csv.writer(file)
            if new:
                rows.writerow(["minutes", "step", "crops", *(f"s={s}" for s in LEVELS)])
            psnr = watch(run.mean, run.sigma_data, data.held_out)
            row = [round(run.seconds / 60, 2), run.step_count, run.crops, *psnr]
            rows.writerow(row)
            print(time.strftime("%H:%M:%S"), *row, flush=True)
        write(checkpoint, run.state())

    compiled: set[torch.Size] = set()
    last = run.seconds
    while (done := run.seconds / 60 / options.minutes) < 1:
        start = time.perf_counter()
        x = data.batch(done, run.rng)
        run.step(x, options.lr * rate(done, run.step_count))
        if x.shape in compiled:
            run.seconds += time.perf_counter() - start
        compiled.add(x.shape)
        if run.seconds - last > 60 * options.every:
            report()
            last = run.seconds
    report()
    write(options.out / "model.pt", {k: run.state()[k] for k in ("config", "sigma_data", "mean")})


if __name__ == "__main__":
    options = arguments()
    main(options, Crops(options))
