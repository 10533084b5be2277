"""The tables of docs/ct.md: LMAPS and two rivals beside FBP, SIRT, CGLS and TV, and what the operator costs.

    python -m benchmarks.ct_slices brain_128.npz

Eight of the slices that the prior `brain` was not trained on, and eight phantoms of ellipses under `photo`, 128 x 128;
neither were used for any choice. Every method has its defaults. Writes `ct_slices.json` and the tables of the page.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from PIL import Image

import xhat
from xhat.bench.images import Held
from xhat.figures.panel import Tile, panel
from xhat.likelihoods import likelihood
from xhat.loop import solve
from xhat.metrics.pixels import psnr, ssim
from xhat.noise import Gaussian
from xhat.numerics.calls import counting
from xhat.operators import OPERATORS
from xhat.priors import NoPrior
from xhat.rng import Rng
from xhat.task.parts import as_solver

from .page import ROOT, fill

FILE = Path(__file__).with_suffix(".json")
COUNT, SIDE = 8, 128
STUDENT = 2.365  # of seven degrees of freedom, 95 %
CLASSICAL = ("fbp", "sirt", "cgls", "tv")
LEARNED = ("lmaps:steps=20", "diffpir:steps=50", "reddiff")
TASKS = {
    "slices, 32 views, σ 0.005": ("brain", "slices", {"angles": 32}, 0.005),
    "slices, 32 views, σ 0.02": ("brain", "slices", {"angles": 32}, 0.02),
    "slices, 120 degrees, σ 0.005": ("brain", "slices", {"angles": 60, "arc": 120}, 0.005),
    "phantoms, 32 views, σ 0.005": ("photo", "phantoms", {"angles": 32}, 0.005),
}


def phantoms(count: int, side: int) -> torch.Tensor:
    """Heads of ellipses, (count, 1, side, side) in [−1, 1]: a bright rim, a grey inside, three to eight spots in it."""
    at = (torch.arange(4 * side) + 0.5) / (2 * side) - 1
    out = []
    for seed in range(count):
        g = torch.Generator().manual_seed(1000 + seed)
        rand = lambda low, high, g=g: low + (high - low) * float(torch.rand((), generator=g))

        def inside(cx: float, cy: float, a: float, b: float, turn: float) -> torch.Tensor:
            x, y = at[None] - cx, -at[:, None] - cy
            u, v = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
            return ((u / a) ** 2 + (v / b) ** 2 < 1).float()

        a, b, turn = rand(0.6, 0.75), rand(0.75, 0.9), rand(-0.3, 0.3)
        f = inside(0, 0, a, b, turn) * rand(0.8, 1)
        f = f - inside(0, 0, a - 0.06, b - 0.06, turn) * (f.max() - rand(0.2, 0.5))
        for _ in range(3 + int(rand(0, 6))):
            spot = inside(rand(-0.35, 0.35), rand(-0.45, 0.45), rand(0.03, 0.2), rand(0.03, 0.2), rand(0, math.pi))
            f = f + spot * rand(-0.15, 0.3)
        out.append(torch.nn.functional.avg_pool2d(f.clamp(0, 1)[None, None], 4)[0])
    return 2 * torch.stack(out) - 1


def main() -> None:
    """Runs what `ct_slices.json` does not have, image by image, and fills the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="brain_128.npz")
    held = Held(parser.parse_args().data, "brain")
    names = held.names()[:: len(held.names()) // COUNT][:COUNT]
    images = {
        "slices": torch.stack([held.load(name).reshape(1, SIDE, SIDE) for name in names]),
        "phantoms": phantoms(COUNT, SIDE),
    }
    rows = json.loads(FILE.read_text()) if FILE.exists() else {}
    for task, (prior, what, options, sigma) in TASKS.items():
        A, x = OPERATORS["ct"]((1, SIDE, SIDE), **options), images[what]
        like = likelihood(A, Gaussian(sigma), Gaussian(sigma).sample(A(x), Rng(range(COUNT))))
        for spec in (*CLASSICAL, *LEARNED):
            if f"{task}; {spec}" in rows:
                continue
            model, began = (NoPrior() if spec in CLASSICAL else xhat.build_prior(prior)), time.process_time()
            with counting() as calls:
                z = solve(as_solver(spec), model, like, Rng(range(100, 100 + COUNT)))
            seconds = time.process_time() - began
            found, expected = like.misfit(z)
            rows[f"{task}; {spec}"] = {
                "psnr": psnr(z, x).tolist(),
                "ssim": ssim(z, x).tolist(),
                "residual": (found / expected).tolist(),
                "operator": calls.operator / COUNT,
                "cpu": seconds / COUNT,
            }
            print(task, spec, f"{float(psnr(z, x).mean()):.2f} dB, {seconds / COUNT:.2f} s", flush=True)
            FILE.write_text(json.dumps(rows, indent=1) + "\n")
    for name in ("brain", "photo"):
        rows[f"cost; {name}"] = cost(name, images["slices"][:1])
    FILE.write_text(json.dumps(rows, indent=1) + "\n")
    sheet(images).save(ROOT / "docs" / "ct.png", optimize=True)
    fill(ROOT / "docs" / "ct.md", "ct-slices", table(rows))
    fill(ROOT / "docs" / "ct.md", "ct-cost", costs(rows))


def sheet(images: dict[str, torch.Tensor]) -> Image.Image:
    """The first slice and the first phantom from 32 views: the truth, and what four methods make of it."""
    lines = []
    for task in ("slices, 32 views, σ 0.005", "phantoms, 32 views, σ 0.005"):
        prior, kind, options, sigma = TASKS[task]
        x = images[kind][:1]
        A = OPERATORS["ct"]((1, SIDE, SIDE), **options)
        like = likelihood(A, Gaussian(sigma), Gaussian(sigma).sample(A(x), Rng([0])))
        line: list[Tile] = [("truth", x[0])]
        for spec in ("fbp", "cgls", "tv", "lmaps:steps=20"):
            model = NoPrior() if spec in CLASSICAL else xhat.build_prior(prior)
            z = solve(as_solver(spec), model, like, Rng([100]))
            line.append((f"{spec}\n{float(psnr(z, x)):.2f} dB", z[0]))
        lines.append(line)
    return panel(lines, 192).convert("P", palette=Image.Palette.ADAPTIVE)


def cost(name: str, x: torch.Tensor) -> dict[str, float]:
    """CPU seconds of LMAPS on 32 views of one image, and of the same calls of its network alone: best of three."""
    prior, A = xhat.build_prior(name), OPERATORS["ct"]((1, SIDE, SIDE), angles=32)
    like = likelihood(A, Gaussian(0.005), Gaussian(0.005).sample(A(x), Rng([0])))
    solver = as_solver("lmaps:steps=20")
    levels = solver.levels_for(None, prior, like)[:-1]
    alone, whole = [], []
    with torch.no_grad():
        for _ in range(4):  # the first warms up
            began = time.process_time()
            for t in levels:
                prior(t.alpha * x, t)
            alone.append(time.process_time() - began)
            began = time.process_time()
            with counting() as calls:
                solve(solver, prior, like, Rng([0]))
            whole.append(time.process_time() - began)
    return {"network": min(alone[1:]), "lmaps": min(whole[1:]), "operator": calls.operator}


def table(rows: dict[str, dict[str, list[float]]]) -> str:
    """PSNR with its interval, SSIM and residual of each method, task by task; the best PSNR is bold."""
    out = []
    for task in TASKS:
        out += [f"| {task} | psnr | ssim | residual / expected | operator calls | cpu s |", "|---|---|---|---|---|---|"]
        found = {spec: rows[f"{task}; {spec}"] for spec in (*CLASSICAL, *LEARNED)}
        means = {spec: sum(r["psnr"]) / COUNT for spec, r in found.items()}
        for spec, r in found.items():
            wide = STUDENT * float(torch.tensor(r["psnr"]).std()) / COUNT**0.5
            bold = "**" if means[spec] == max(means.values()) else ""
            out.append(
                f"| `{spec}` | {bold}{means[spec]:.2f}{bold} ± {wide:.2f} | {sum(r['ssim']) / COUNT:.3f} | "
                f"{sum(r['residual']) / COUNT:.2f} | {r['operator']:.0f} | {r['cpu']:.2g} |"
            )
        best = max(CLASSICAL, key=lambda spec: means[spec])
        apart = torch.tensor(found["lmaps:steps=20"]["psnr"]) - torch.tensor(found[best]["psnr"])
        wide = STUDENT * float(apart.std()) / COUNT**0.5
        out += ["", f"LMAPS − `{best}`, image by image: {float(apart.mean()):+.2f} ± {wide:.2f} dB.", ""]
    return "\n".join(out)


def costs(rows: dict[str, dict[str, float]]) -> str:
    """What LMAPS takes as a multiple of what its network takes."""
    out = [
        "| prior | 20 calls of the network, cpu s | LMAPS in all, cpu s | ratio | operator calls |",
        "|---|---|---|---|---|",
    ]
    for name in ("brain", "photo"):
        r = rows[f"cost; {name}"]
        ratio = r["lmaps"] / r["network"]
        out.append(f"| `{name}` | {r['network']:.2f} | {r['lmaps']:.2f} | {ratio:.1f} | {r['operator']:.0f} |")
    return "\n".join(out)


if __name__ == "__main__":
    main()
