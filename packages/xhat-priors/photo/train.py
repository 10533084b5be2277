"""Train the photograph prior on one core, by the clock.

    python train.py OUT --data DATA [--wallpapers FOLDER] --minutes 100 [--init WEIGHTS] [--widths 64,128,256] ...
    python train.py OUT --data DATA --resume --minutes 200
    python train.py OUT --data DATA --wallpapers FOLDER --init WEIGHTS --only last --free --lr 2e-4 --minutes 25

Where the processor multiplies in bfloat16, the network does, too. OUT gets `checkpoint.pt` (everything that --resume
needs), `log.csv` (PSNR in dB of the averaged weights) and, at the end, `model.pt` with the averaged weights. The
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
from typing import Any

import numpy as np
import torch
from net import LEVELS as TRAINED
from net import SIGMA_DATA, denoise, inherit, psnr
from photographs import Photographs, centre, marks
from safetensors.torch import load_file
from torch import Tensor

from xhat.numerics.precision import processor_has_bfloat16
from xhat.priors.residual_unet import ResidualUNet

LEVELS = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0)

# (from which share of the time on, crops a step, their side in pixels). Small crops come first, because more of them
# are seen in a minute; only large ones show what lies far apart.
PHASES = ((0.0, 32, 64), (0.4, 20, 96), (0.8, 16, 128))
FLOOR = 0.001
"""Bounds the weight of a crop without any texture; the mean error is about 0.1 at sigma = 0.2."""

STEADY = 0.55
"""The share of the time with the full learning rate; a cosine follows."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of both .tar and photos_eval")
    parser.add_argument("--wallpapers", type=Path, help="folder that fetch_photos.py wrote")
    parser.add_argument("--minutes", type=float, required=True, help="of training, in all")
    parser.add_argument("--resume", action="store_true", help="go on from OUT's checkpoint.pt")
    parser.add_argument("--init", type=Path, help="safetensors of the same or a smaller shape to start from")
    parser.add_argument("--widths", default="96,128,256")
    parser.add_argument("--blocks", default="2,1,2")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--plain", action="store_true", help="EDM's loss itself, without the logarithm")
    parser.add_argument("--only", choices=("first", "last"), help="crops of the first or the last phase throughout")
    parser.add_argument("--free", action="store_true", help="photographs under free licences alone")
    parser.add_argument("--every", type=float, default=5.0, help="minutes between rows of the log and checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def rate(done: float, step: int) -> float:
    """The learning rate as a share of its peak, after `done` of the time and `step` steps."""
    falling = max(0.0, (done - STEADY) / (1 - STEADY))
    return min(1.0, (step + 1) / 300) * (1 + math.cos(math.pi * falling)) / 2


def noise_levels(n: int) -> Tensor:
    """Standard deviations (n,): most where photographs are denoised, a fifth spread evenly in ln s over 0.005..20."""
    middle = -1.5 + 1.1 * torch.randn(n)
    wide = math.log(0.005) + math.log(20 / 0.005) * torch.rand(n)
    return torch.where(torch.rand(n) < 0.2, wide, middle).clamp(*map(math.log, TRAINED)).exp()


def objective(net: ResidualUNet, plain: bool, x: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """The mean over the crops of ln(e + FLOOR), e being EDM's loss of the crop: each crop and level counts alike.

    e = mean |D(x + sigma n) - x|^2 (sigma^2 + d^2) / (sigma d)^2 is the error of the network's own output. Its plain
    mean is ruled by textures and by the levels of little noise, whose error nothing can lower; a smooth crop, where
    the network must cancel noise exactly, would count for a tenth of one with texture.
    """
    s = sigma.view(-1, 1, 1, 1)
    d = denoise(net, x + s * noise, sigma)
    errors = (d - x).square().flatten(1).mean(1) * (sigma**2 + SIGMA_DATA**2) / (sigma * SIGMA_DATA) ** 2
    return errors.mean() if plain else (errors + FLOOR).log().mean()


class Run:
    """A training in progress: what a checkpoint holds, and the step."""

    def __init__(self, options: argparse.Namespace, config: dict[str, Any]) -> None:
        self.net = ResidualUNet(**config).to(memory_format=torch.channels_last)
        if options.init:
            inherit(self.net, {k: v.float() for k, v in load_file(options.init).items()})
        self.mean = copy.deepcopy(self.net).requires_grad_(False)
        self.adam = torch.optim.AdamW(self.net.parameters(), options.lr, (0.9, 0.99), weight_decay=0.0, fused=True)
        self.rng = np.random.default_rng(options.seed)
        self.step_count, self.crops, self.seconds = 0, 0, 0.0
        self.mixed = processor_has_bfloat16()
        # One graph for each size of crop; the compiler joins the passes between the convolutions into one.
        self.loss = torch.compile(partial(objective, self.net, options.plain), dynamic=False)

    def step(self, photographs: Photographs, batch: int, side: int, lr: float) -> None:
        """One update of the weights and of their average."""
        for group in self.adam.param_groups:
            group["lr"] = lr
        x = photographs.draw(batch, side, self.rng)
        noise = torch.randn_like(x)
        # Grey pictures under grey noise, which the network would take for texture otherwise.
        grey = batch // 6
        x[:grey], noise[:grey] = x[:grey].mean(1, keepdim=True), noise[:grey, :1]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.mixed):
            loss = self.loss(x, noise, noise_levels(batch))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0, foreach=True)
        self.adam.step()
        self.adam.zero_grad()
        self.step_count += 1
        self.crops += batch
        if self.step_count % 4 == 0:
            # A short average at first, then one over the last 1000 steps.
            decay = min(0.996, 1 - 4 / (4 + 0.1 * self.step_count))
            with torch.no_grad():
                torch._foreach_lerp_(list(self.mean.parameters()), list(self.net.parameters()), 1 - decay)

    def state(self) -> dict[str, Any]:
        return {
            "config": self.net.config,
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
def watch(net: ResidualUNet, images: Tensor) -> list[float]:
    """Mean PSNR in dB of D(x0 + s n, s) at each of LEVELS, for images (n, 3, h, w), always the same noise."""
    n = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    out = []
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=processor_has_bfloat16()):
        for s in LEVELS:
            pairs = zip(images.split(8), n.split(8), strict=True)
            parts = [psnr(denoise(net, x + s * e, torch.tensor([s])), x) for x, e in pairs]
            out.append(round(float(torch.cat(parts).mean()), 3))
    return out


def main(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    checkpoint, log = options.out / "checkpoint.pt", options.out / "log.csv"
    photographs = Photographs(options.data, options.wallpapers, crop=64, free=options.free)
    sets = {
        "held out": torch.stack([centre(p, 128) for p in photographs.held_out]),
        "Set5 and Set14": marks(options.data / "photos_eval"),
    }
    saved = torch.load(checkpoint, weights_only=False) if options.resume else None
    config = {
        "widths": [int(w) for w in options.widths.split(",")],
        "blocks": [int(b) for b in options.blocks.split(",")],
    }
    run = Run(options, saved["config"] if saved else config)
    if saved:
        run.load(saved)

    def report() -> None:
        new = not log.exists()
        with log.open("a", newline="") as file:
            rows = csv.writer(file)
            if new:
                rows.writerow(["minutes", "step", "crops", "set", *(f"s={s}" for s in LEVELS)])
            for name, images in sets.items():
                row = [round(run.seconds / 60, 2), run.step_count, run.crops, name, *watch(run.mean, images)]
                rows.writerow(row)
                print(*row, flush=True)
        write(checkpoint, run.state())

    if not saved:
        report()
    phases = {"first": PHASES[:1], "last": [(0.0, *PHASES[-1][1:])], None: PHASES}[options.only]
    compiled: set[int] = set()
    steady = options.out / "steady.pt"
    last = run.seconds
    while (done := run.seconds / 60 / options.minutes) < 1:
        _, batch, side = [p for p in phases if p[0] <= done][-1]
        start = time.perf_counter()
        run.step(photographs, batch, side, options.lr * rate(done, run.step_count))
        if done >= STEADY and not steady.exists():
            # The last state at the full learning rate: what a longer training goes on from.
            write(steady, run.state())
        if side in compiled:
            run.seconds += time.perf_counter() - start
        compiled.add(side)
        if run.seconds - last > 60 * options.every:
            report()
            last = run.seconds
    report()
    write(options.out / "model.pt", {"config": run.net.config, "weights": run.mean.state_dict()})


if __name__ == "__main__":
    main(arguments())
