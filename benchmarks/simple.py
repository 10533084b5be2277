"""LMAPS beside the measurement itself, plain library calls, one call of the prior, and solvers of 20 calls.

    python -m benchmarks.simple FOLDER... [--size 128] [--count 15] [--keep ANSWERS] [--page docs/simple_tools.md]

Each FOLDER holds photographs, of which the central squares of the first `count` colour ones are taken. The library is
scikit-image, Pillow or OpenCV. Whatever its call or the one call of the prior leaves open, a weight or a level, is
chosen by the truth, in the mean over the photographs, so that both are at least as good as a person would have them.
With --keep, answers stay in a folder, and the same command again computes what is missing.
"""

import argparse
import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pictures
from skimage.metrics import structural_similarity
from torch import Tensor

from xhat.bench.stats import interval
from xhat.likelihoods import likelihood
from xhat.loop import solve
from xhat.metrics.pixels import psnr
from xhat.noise import NOISES
from xhat.operators import OPERATORS
from xhat.priors import PRIORS
from xhat.rng import Rng
from xhat.schedule import Level
from xhat.solvers import SOLVERS
from xhat.spec import build

from .page import fill
from .simple_calls import LEVELS, library, seen

NOISE = "gaussian:sigma=0.05"
TASKS = {
    "noise 13": ("denoise", "gaussian:sigma=0.1"),
    "SR x4": ("super_resolution", NOISE),
    "box": ("inpaint:mask=box", NOISE),
    "random 70 %": ("inpaint:keep=0.3", NOISE),
    "Gaussian": ("gaussian_blur", NOISE),
    "motion": ("motion_blur:seed=1", NOISE),
    "phase": ("phase_retrieval", NOISE),
    "non-linear": ("nonlinear_blur", NOISE),
    "HDR": ("hdr", NOISE),
    "JPEG 10": ("jpeg:quality=10", "noiseless"),
    "2 bit": ("quantize:bits=2", "noiseless"),
}
FILLED = ("SR x4", "box", "random 70 %")  # where the one call of the prior starts from the library's picture
PLAIN = ("the measurement", "a library's call", "one call of the prior")
SOLVED = ("hqs:steps=20", "ddrm", "lmaps")  # of 20 calls each


def crops(folders: list[Path], size: int, count: int) -> Tensor:
    """The central squares of the first colour photographs of the folders, (count, 3, size, size) in [−1, 1]."""
    found = []
    for path in itertools.chain.from_iterable(sorted(folder.iterdir()) for folder in folders):
        with Pictures.open(path) as picture:
            if picture.mode != "RGB" or min(picture.size) < size:
                continue
            left, top = (picture.width - size) // 2, (picture.height - size) // 2
            square = np.asarray(picture.crop((left, top, left + size, top + size)))
        if np.ptp(square.astype(int), axis=2).max() > 0:
            found.append(torch.from_numpy(square.copy()).permute(2, 0, 1) / 127.5 - 1)
    if len(found) < count:
        raise SystemExit(f"{len(found)} colour photographs of {size} pixels or more were found, not {count}")
    return torch.stack(found[:count])


def ssim(estimate: Tensor, truth: Tensor) -> float:
    """The mean structural similarity of scikit-image, on images in [−1, 1]."""
    pairs = zip(estimate.clamp(-1, 1), truth, strict=True)
    scores = [structural_similarity(a.numpy(), b.numpy(), channel_axis=0, data_range=2.0) for a, b in pairs]
    return float(np.mean(scores))


def best(made: Iterable[Tensor], truth: Tensor) -> Tensor:
    """Of several answers the one of highest mean PSNR."""
    return max(made, key=lambda v: float(psnr(v, truth).mean()))


def measure(task: str, truth: Tensor, keep: Path | None) -> dict[str, Tensor]:
    """The answers of every row to one task, (n, 3, size, size) each."""
    operator, noise = TASKS[task]
    A, model = build(operator, OPERATORS, tuple(truth.shape[1:])), build(noise, NOISES)
    n = len(truth)
    like = likelihood(A, model, model.sample(A(truth), Rng(range(100, 100 + n))))
    prior = build("photo", PRIORS)
    rows = {}
    if task != "phase":  # a hologram is no picture, and no library's call makes one of it
        start = seen(task, like, truth.shape[-1])
        rows = {"the measurement": start, "a library's call": best(library(task, like, start), truth)}
        begin = rows["a library's call"] if task in FILLED else start
        rows["one call of the prior"] = best((prior(begin, Level(0.5, 1.0, rho)) for rho in LEVELS), truth)
    for spec in SOLVED:
        name, solver = spec.split(":")[0], build(spec, SOLVERS)
        if solver.mismatch(prior, like) is None:
            kept = keep / f"{task} {name}.pt".replace(" ", "_") if keep else None
            if kept and kept.exists():
                rows[name] = torch.load(kept, weights_only=True)
            else:
                rows[name] = solve(solver, prior, like, Rng(range(n)))
                if kept:
                    torch.save(rows[name], kept)
            print(task, name, f"{float(psnr(rows[name], truth).mean()):.2f} dB", flush=True)
    return rows


def table(results: dict[str, dict[str, Tensor]], truth: Tensor) -> list[str]:
    """PSNR and SSIM of each row and task, and what LMAPS gains over the plain rows and over the other solvers, with
    paired 95 % intervals.
    """
    solvers = [spec.split(":")[0] for spec in SOLVED]
    lines = ["| | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
    for name in [*PLAIN, *solvers]:
        cells = [
            f"{float(psnr(rows[name], truth).mean()):.2f} / {ssim(rows[name], truth):.3f}" if name in rows else "–"
            for rows in results.values()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    rivals = {
        "the best of the first two": PLAIN[:2],
        "one call of the prior": PLAIN[2:],
        "the better other solver": tuple(s for s in solvers if s != "lmaps"),
    }
    for title, names in rivals.items():
        gains = [over(rows, [n for n in names if n in rows], truth) for rows in results.values()]
        lines.append(f"| LMAPS over {title} | " + " | ".join(gains) + " |")
    return lines


def over(rows: dict[str, Tensor], names: list[str], truth: Tensor) -> str:
    """What LMAPS gains over the best of these rows, in dB, with the 95 % interval of paired differences."""
    if not names:
        return "–"
    rival = best((rows[n] for n in names), truth)
    gain = interval([float(v) for v in psnr(rows["lmaps"], truth) - psnr(rival, truth)])
    return f"{gain.value:+.2f} ± {gain.half:.2f}"


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--count", type=int, default=15)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
    truth = crops(args.folders, args.size, args.count)
    lines = table({task: measure(task, truth, args.keep) for task in TASKS}, truth)
    print("\n".join(lines))
    if args.page:
        fill(args.page, "simple", "\n".join(lines))


if __name__ == "__main__":
    main()
