"""Train the prior of the paths of shaking cameras, on one core: how `camera_path` was made.

    python train.py FOLDER [--steps 8000]

FOLDER gets `model.safetensors`, in half precision, `config.json`, `log.csv` with the loss, and `calibration.json`. The
table of the model card is printed: the error of 200 kernels of other seeds after denoising, beside the noise and beside
the Gaussian with the mean and the covariance of such kernels (`xhat.solvers.kernel_prior`).
"""

import argparse
import csv
import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from xhat.operators.blind_blur import gaussians
from xhat.operators.kernels import motion_kernel
from xhat.priors import GaussianPrior, NetworkFolder
from xhat.priors.calibrate import measure, spaced
from xhat.priors.residual_unet import ResidualUNet
from xhat.schedule import Level
from xhat.solvers.kernel_prior import ENTRY
from xhat.task.unknown_blur.paths import SCALE, SIDE

SHAPE = {"channels": 1, "widths": [32, 48, 64], "blocks": [2, 2, 2], "embedding": 64, "frequencies": 16}
SIGMA_DATA = 0.06
TRAINED = (0.005, 1.0)  # noise levels of SCALE times a kernel
KERNELS, FIRST, HELD = 12_000, 5_000_000, 9_000_000  # how many, and the seeds of the first and of the first held out
SIZES = (7, 44)  # of kernels, the last one excluded
SOFT = 0.9  # pixels: the widest Gaussian that every second kernel is convolved with, since lenses are soft, too
BATCH, RATE, WARM = 64, 1e-3, 200


def kernels(count: int, first: int) -> Tensor:
    """Camera paths of every size and intensity in the middle of an image, (count, SIDE, SIDE), each with sum 1."""
    rng, out = np.random.default_rng(first), torch.zeros(count, SIDE, SIDE)
    for i, k in enumerate(out):
        size = int(rng.integers(*SIZES))
        top = (SIDE - size) // 2
        k[top : top + size, top : top + size] = motion_kernel(size, float(rng.random()), first + i)
    return out


def batch(all_of_them: Tensor, g: torch.Generator) -> Tensor:
    """Images (BATCH, 1, SIDE, SIDE): kernels turned, mirrored, moved by up to three pixels, every second batch soft."""

    def draw(n: int) -> int:
        return int(torch.randint(n, (1,), generator=g))

    k = all_of_them[torch.randint(len(all_of_them), (BATCH,), generator=g)]
    turn = draw(8)
    k = k.flip(1) if turn & 1 else k
    k = k.flip(2) if turn & 2 else k
    k = k.transpose(1, 2) if turn & 4 else k
    if draw(2):
        k = F.conv2d(k[:, None], gaussians(7, SOFT * torch.rand(1, generator=g) + 1e-3)[:, None], padding=3)[:, 0]
    return SCALE * k.roll((draw(7) - 3, draw(7) - 3), (1, 2))[:, None]


def loss(net: ResidualUNet, x: Tensor, g: torch.Generator) -> Tensor:
    """EDM's loss at noise levels even in the logarithm. arXiv:2206.00364"""
    low, high = (math.log(s) for s in TRAINED)
    s = torch.exp(low + (high - low) * torch.rand(len(x), generator=g))[:, None, None, None]
    both, u = (s**2 + SIGMA_DATA**2).sqrt(), x + s * torch.randn(x.shape, generator=g)
    with torch.autocast("cpu", torch.bfloat16):
        f = net((u / both).contiguous(memory_format=torch.channels_last), s.flatten().log() / 4)
    wanted = (x - SIGMA_DATA**2 / both**2 * u) * both / (s * SIGMA_DATA)
    return (f.float() - wanted).square().mean()


def train(steps: int, log: Path) -> ResidualUNet:
    """The network with the averaged weights after `steps` steps; `log` gets the mean loss of each hundred."""
    torch.manual_seed(0)
    net = ResidualUNet(**SHAPE).to(memory_format=torch.channels_last)
    mean = [p.detach().clone() for p in net.parameters()]
    adam, g, paths = torch.optim.Adam(net.parameters(), RATE), torch.Generator().manual_seed(1), kernels(KERNELS, FIRST)
    rows, total = [], 0.0
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = RATE * min(1.0, step / WARM) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        e = loss(net, batch(paths, g), g)
        adam.zero_grad()
        e.backward()
        adam.step()
        keep = min(0.999, (step + 1) / (step + 10))
        torch._foreach_lerp_(mean, [p.detach() for p in net.parameters()], 1 - keep)
        total += float(e.detach())
        if step % 100 == 99:
            rows.append((step + 1, f"{total / 100:.4f}"))
            print(*rows[-1], flush=True)
            total = 0.0
    with torch.no_grad():
        for p, m in zip(net.parameters(), mean, strict=True):
            p.copy_(m)
    with log.open("w", newline="") as file:
        csv.writer(file).writerows([("step", "loss"), *rows])
    return net


def write(net: ResidualUNet, folder: Path) -> None:
    """The folder that the prior is loaded from."""
    save_file({k: v.half().contiguous() for k, v in net.state_dict().items()}, folder / "model.safetensors")
    config = {
        "network": "residual_unet",
        "options": SHAPE,
        "sigma_data": SIGMA_DATA,
        "schedule": f"edm:sigma_min={TRAINED[0]},sigma_max={TRAINED[1]},rho=7.0",
        "trained": TRAINED,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    prior = NetworkFolder(folder, dtype="float32", trial=False)
    measure(prior, SCALE * kernels(128, HELD + 1000)[:, None], spaced(*TRAINED, 8)).write(folder / "calibration.json")


def table(folder: Path) -> str:
    """Errors of kernels held out, ‖k̂ − k‖ over ‖k‖, as a row for each noise of an entry."""
    prior = NetworkFolder(folder, dtype="float32", trial=False)
    seen, held = kernels(2000, FIRST).flatten(1).double(), kernels(200, HELD)
    mean = seen.mean(0)
    gauss = GaussianPrior((1, SIDE, SIDE), seen.T.cov() + (ENTRY / SIDE) ** 2 * torch.eye(SIDE**2).double())
    gauss = gauss.to("cpu", torch.float64)
    rows = ["| noise of an entry | as it is | the Gaussian | **the network** |", "|---|---|---|---|"]
    for s in (0.002, 0.005, 0.01, 0.02, 0.05):
        y = held + s * torch.randn(held.shape, generator=torch.Generator().manual_seed(3))
        flat = gauss.to("cpu", torch.float64).forward(
            (y.flatten(1).double() - mean).reshape(-1, 1, SIDE, SIDE), Level(0.5, 1.0, s)
        )
        ours = prior.denoise(SCALE * y[:, None], SCALE * s)[:, 0] / SCALE
        tried = (y, (flat.flatten(1) + mean).reshape(y.shape).float(), ours)
        part = [float(((k - held).flatten(1).norm(dim=1) / held.flatten(1).norm(dim=1)).mean()) for k in tried]
        rows.append(f"| {s:g} | " + " | ".join(f"{v:.3f}" for v in part) + " |")
    return "\n".join(rows)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=8000)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    write(train(options.steps, options.folder / "log.csv"), options.folder)
    print(table(options.folder))


if __name__ == "__main__":
    main()
