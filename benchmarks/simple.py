"""LMAPS beside the measurement itself, one plain library call, one call of the prior, and half-quadratic steps.

    python -m benchmarks.simple FOLDER [--size 128] [--count 12] [--page docs/simple_tools.md]

FOLDER holds photographs, of which the central squares of the first `count` colour ones are taken. The library is
scikit-image or Pillow. Whatever its call or the one call of the prior leaves open, a weight or a level, is chosen by
the truth, in the mean over the photographs, so that both are at least as good as a person would have them.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pictures
from skimage.metrics import structural_similarity
from skimage.restoration import denoise_nl_means, inpaint_biharmonic, wiener
from torch import Tensor

from xhat.bench.stats import interval
from xhat.likelihoods import Likelihood, likelihood
from xhat.loop import solve
from xhat.noise import NOISES
from xhat.operators import OPERATORS
from xhat.priors import PRIORS
from xhat.rng import Rng
from xhat.schedule import Level
from xhat.solvers import SOLVERS
from xhat.spec import build

from .page import fill

NOISE = "gaussian:sigma=0.05"
TASKS = {
    "noise 13": ("denoise", "gaussian:sigma=0.1"),
    "SR x4": ("super_resolution", NOISE),
    "random 70 %": ("inpaint:keep=0.3", NOISE),
    "Gaussian": ("gaussian_blur", NOISE),
    "motion": ("motion_blur:seed=1", NOISE),
    "JPEG 10": ("jpeg:quality=10", "noiseless"),
    "2 bit": ("quantize:bits=2", "noiseless"),
}
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.4)
WEIGHTS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SOLVED = ("hqs:steps=20", "lmaps")


def crops(folder: Path, size: int, count: int) -> Tensor:
    """The central squares of the first colour photographs of `folder`, (count, 3, size, size) in [−1, 1]."""
    found = []
    for path in sorted(folder.iterdir()):
        with Pictures.open(path) as picture:
            if picture.mode != "RGB" or min(picture.size) < size:
                continue
            left, top = (picture.width - size) // 2, (picture.height - size) // 2
            square = np.asarray(picture.crop((left, top, left + size, top + size)))
        if np.ptp(square.astype(int), axis=2).max() > 0:
            found.append(torch.from_numpy(square.copy()).permute(2, 0, 1) / 127.5 - 1)
    if len(found) < count:
        raise SystemExit(f"{folder} has {len(found)} colour photographs of {size} pixels or more, not {count}")
    return torch.stack(found[:count])


def each(f: Callable[..., np.ndarray], images: Tensor, *more: Tensor) -> Tensor:
    """`f` on (h, w, c) arrays, image by image."""
    rows = [f(*(v.movedim(0, -1).numpy().astype(float) for v in row)) for row in zip(images, *more, strict=True)]
    return torch.stack([torch.from_numpy(np.ascontiguousarray(r)).movedim(-1, 0) for r in rows]).float()


def seen(like: Likelihood, size: int) -> Tensor:
    """The measurement as a picture of the image's size: y, or y enlarged without a filter."""
    return torch.nn.functional.interpolate(like.y, size=(size, size), mode="nearest-exact")


def library(task: str, like: Likelihood, start: Tensor) -> Iterable[Tensor]:
    """What one call of a library makes of the measurement, with each of the values that it leaves open."""
    size = start.shape[-1]
    if task == "SR x4":
        lanczos = lambda v: np.stack(
            [
                np.asarray(Pictures.fromarray(c.astype("float32")).resize((size, size), Pictures.Resampling.LANCZOS))
                for c in np.moveaxis(v, -1, 0)
            ],
            -1,
        )
        yield each(lanczos, like.y)
    elif task.startswith("random"):
        mask = like.A(torch.ones_like(like.y))
        yield each(lambda v, m: inpaint_biharmonic(v, m[..., 0] == 0, channel_axis=-1), like.y, mask)
    elif task in ("Gaussian", "motion"):
        point = torch.zeros_like(like.y[:1])
        point[..., size // 2, size // 2] = 1
        psf = like.A(point)[0, 0].numpy().astype(float)
        for weight in WEIGHTS:
            one = lambda c, w=weight: wiener(c, psf / psf.sum(), w, clip=False)
            yield each(lambda v, one=one: np.stack([one(c) for c in np.moveaxis(v, -1, 0)], -1), like.y)
    else:
        for h in LEVELS:
            yield each(lambda v, h=h: denoise_nl_means(v, h=h, patch_size=5, patch_distance=6, channel_axis=-1), like.y)


def psnr(estimate: Tensor, truth: Tensor) -> Tensor:
    """PSNR in dB of each image, (n,), clipped to [−1, 1]."""
    return 10 * torch.log10(4 / (estimate.clamp(-1, 1) - truth).square().flatten(1).mean(1))


def ssim(estimate: Tensor, truth: Tensor) -> float:
    """The mean structural similarity of scikit-image, on images in [−1, 1]."""
    pairs = zip(estimate.clamp(-1, 1), truth, strict=True)
    scores = [structural_similarity(a.numpy(), b.numpy(), channel_axis=0, data_range=2.0) for a, b in pairs]
    return float(np.mean(scores))


def best(made: Iterable[Tensor], truth: Tensor) -> Tensor:
    """Of several answers the one of highest mean PSNR."""
    return max(made, key=lambda v: float(psnr(v, truth).mean()))


def measure(task: str, truth: Tensor, seconds: dict[str, float]) -> dict[str, Tensor]:
    """The answers of every row to one task, (n, 3, size, size) each."""
    operator, noise = TASKS[task]
    A, model = build(operator, OPERATORS, tuple(truth.shape[1:])), build(noise, NOISES)
    n = len(truth)
    like = likelihood(A, model, model.sample(A(truth), Rng(range(100, 100 + n))))
    prior = build("photo", PRIORS)
    start = seen(like, truth.shape[-1])
    rows = {"the measurement": start, "a library's call": best(library(task, like, start), truth)}
    begin = rows["a library's call"] if task in ("SR x4", "random 70 %") else start
    calls = [prior(begin, Level(0.5, 1.0, rho)) for rho in LEVELS]
    rows["one call of the prior"] = best(calls, truth)
    for spec in SOLVED:
        solver = build(spec, SOLVERS)
        if solver.mismatch(prior, like) is None:
            clock = time.perf_counter()
            rows[spec.split(":")[0]] = solve(solver, prior, like, Rng(range(n)))
            seconds[spec.split(":")[0]] = seconds.get(spec.split(":")[0], 0) + time.perf_counter() - clock
    return rows


def table(results: dict[str, dict[str, Tensor]], truth: Tensor) -> list[str]:
    """PSNR and SSIM of each row and task, and what LMAPS gains over the best row above HQS, with a paired interval."""
    names = ["the measurement", "a library's call", "one call of the prior", "hqs", "lmaps"]
    lines = ["| | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
    for name in names:
        cells = [
            f"{float(psnr(rows[name], truth).mean()):.2f} / {ssim(rows[name], truth):.3f}" if name in rows else "–"
            for rows in results.values()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    gains = []
    for rows in results.values():
        simple = best((rows[name] for name in names[:3]), truth)
        gains.append(interval([float(v) for v in psnr(rows["lmaps"], truth) - psnr(simple, truth)]))
    lines.append(
        "| LMAPS over the best of the first three | "
        + " | ".join(f"{g.value:+.2f} ± {g.half:.2f}" for g in gains)
        + " |"
    )
    return lines


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    truth = crops(args.folder, args.size, args.count)
    seconds: dict[str, float] = {}
    results = {task: measure(task, truth, seconds) for task in TASKS}
    lines = table(results, truth)
    print("\n".join(lines), {k: round(v / len(TASKS) / len(truth), 2) for k, v in seconds.items()}, sep="\n")
    if args.page:
        fill(args.page, "simple", "\n".join(lines))


if __name__ == "__main__":
    main()
