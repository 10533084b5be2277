"""What a default restoration costs and gives now and at an earlier release, in turn in one run.

    git worktree add ../old d88c361   # version 0.1.0
    python -m benchmarks.releases ../old [--size 256] [--rounds 3] [--page docs/ten_tasks.md]

Each round starts a process of either code, whose package comes from its own checkout and whose options are its own
defaults. It restores two photographs of the package behind each operator, after one unmeasured run, from the same
measurements, and times one call of the prior in bfloat16. The best of the rounds counts. Beside them stands what the
convolutions of a call take at the fastest rate that this machine was seen to convolve at, which no network can beat.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.page import fill
from xhat.files.photographs import photographs
from xhat.metrics.pixels import psnr
from xhat.noise import NOISES
from xhat.operators.building import build_operator
from xhat.priors import build_prior
from xhat.rng import Rng
from xhat.schedule import Level
from xhat.spec import build

NOISE = "gaussian:sigma=0.05"
MASK = "mask.png"
TASKS = {
    "gaussian_blur:std=2": NOISE,
    "super_resolution": NOISE,
    f"inpaint:mask={MASK}": NOISE,
    "jpeg:quality=10": "noiseless",
}
RHO = 0.5  # the level of the call that is timed
CALLS = 12
Rounds = dict[str, list[dict[str, Any]]]  # by the name of a code what each of its processes measured
PICTURES = 2

# Runs in a folder of measurements under the code of either release, so it names only what both have.
WORKER = f"""
import json, resource, sys, time
import torch
import xhat
from xhat.priors import build_prior
from xhat.schedule import Level
from xhat.spec import build

tasks, code, threads = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
torch.set_num_threads(threads)
x, seconds = torch.load("truth.pt"), {{}}
for i, (operator, noise) in enumerate(tasks.items()):
    y = torch.load(f"{{i}}.pt")
    run = lambda one: xhat.restore(one, operator=operator, noise=noise, solver="lmaps", shape=tuple(x.shape[1:]))
    run(y[0])
    start = time.perf_counter()
    out = [run(one).images.reshape(x[:1].shape).float() for one in y]
    seconds[operator] = (time.perf_counter() - start) / len(y)
    torch.save(torch.cat(out), f"{{code}}_{{i}}.pt")
prior, calls = build_prior("photo:dtype=bfloat16"), []
with torch.no_grad():
    for _ in range({CALLS}):
        start = time.perf_counter()
        prior(x[:1], Level(0.5, 1.0, {RHO}))
        calls.append(time.perf_counter() - start)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({{"seconds": seconds, "call": min(calls), "memory": peak}}))
"""


def measured(folder: Path, size: int) -> torch.Tensor:
    """Writes what either code is given, and returns the photographs, (n, 3, size, size)."""
    x = photographs(size)[:PICTURES]
    torch.save(x, folder / "truth.pt")
    known = torch.rand(size, size, generator=torch.Generator().manual_seed(0)) < 0.5
    Image.fromarray((255 * known.numpy()).astype(np.uint8)).save(folder / MASK)
    for i, (operator, noise) in enumerate(TASKS.items()):
        A = build_operator(operator.replace(MASK, str(folder / MASK)), tuple(x.shape[1:]))
        torch.save(build(noise, NOISES).sample(A(x), Rng(range(len(x)))), folder / f"{i}.pt")
    return x


def run(code: Path, name: str, folder: Path, threads: int) -> dict[str, Any]:
    """Seconds of a restoration by task, of a call, and the peak in megabytes, of a process of the package in `code`."""
    command = [sys.executable, "-c", WORKER, json.dumps(TASKS), name, str(threads)]
    environment = {**os.environ, "PYTHONPATH": str(code.resolve() / "src")}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def convolution_rate() -> float:
    """The fastest that this machine convolves in bfloat16, in operations a second: the best of several layers."""
    best = 0.0
    for channels, side in ((96, 128), (128, 64), (256, 64), (512, 32)):
        layer = torch.nn.Conv2d(channels, channels, 3, padding=1).bfloat16().to(memory_format=torch.channels_last)
        x = torch.randn(4, channels, side, side).bfloat16().contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            for _ in range(CALLS):
                start = time.perf_counter()
                layer(x)
                best = max(best, 2 * 9 * channels**2 * x[:, 0].numel() / (time.perf_counter() - start))
    return best


def operations(x: torch.Tensor) -> float:
    """Those of one call of the prior's network, counted by torch in float32."""
    prior = build_prior("photo:dtype=float32")
    with torch.no_grad(), FlopCounterMode(display=False) as count:
        prior(x[:1], Level(0.5, 1.0, RHO))
    return float(count.get_total_flops())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="a checkout of the earlier release")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    codes = {"old": args.old, "new": Path(__file__).parent.parent}
    rounds: Rounds = {name: [] for name in codes}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        x = measured(folder, args.size)
        for _ in range(args.rounds):
            for name, code in codes.items():
                rounds[name].append(run(code, name, folder, args.threads))
                print(name, rounds[name][-1], flush=True)
        quality = {
            (name, i): float(psnr(torch.load(folder / f"{name}_{i}.pt"), x).mean())
            for name in codes
            for i in range(len(TASKS))
        }
    torch.set_num_threads(args.threads)
    text = table(rounds, quality, operations(x) / convolution_rate(), version(args.old))
    print(text)
    if args.page:
        fill(args.page, "releases", text)


def version(code: Path) -> str:
    """The version of the package in a checkout."""
    return str(tomllib.loads((code / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def table(rounds: Rounds, quality: dict[tuple[str, int], float], floor: float, release: str) -> str:
    """In Markdown, beside a `release`; `floor` is what a call's convolutions take at the fastest rate, in seconds."""

    def best(name: str, of: Callable[[dict[str, Any]], float]) -> float:
        return min(map(of, rounds[name]))

    lines = [f"| | {release} | now | now / {release} |", "|---|---|---|---|"]
    for i, task in enumerate(TASKS):
        old, new = (best(name, lambda r, task=task: r["seconds"][task]) for name in ("old", "new"))
        cells = (f"{s:.2f} s, {quality[name, i]:.2f} dB" for name, s in (("old", old), ("new", new)))
        lines.append(f"| `{task.replace(f':mask={MASK}', '')}` | {' | '.join(cells)} | {new / old:.3f} |")
    old, new = (best(name, lambda r: r["call"]) for name in ("old", "new"))
    lines.append(f"| one call of the prior, bfloat16 | {1e3 * old:.0f} ms | {1e3 * new:.0f} ms | {new / old:.2f} |")
    lines.append(f"| the call over its convolutions at the machine's best | | {new / floor:.2f} | |")
    old, new = (best(name, lambda r: r["memory"]) for name in ("old", "new"))
    lines.append(f"| peak of the process | {old:.0f} MB | {new:.0f} MB | {new / old:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
