"""What a solver costs beyond its own network calls, as ratios measured side by side in one run.

    python benchmarks/speed.py [--size 256] [--steps 12]

1. Seconds of a run over the seconds its network calls took inside that same run, per solver and operator.
2. The same for LMAPS with the paper's inner loop (Adam, 100 steps) beside the exact solve, at their PSNR.
3. Peak memory of a run over that of one network call, each in a process of its own.
4. Four samples in one batch over four runs.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

from xhat.files.photographs import photographs
from xhat.likelihoods import Likelihood, likelihood
from xhat.loop import solve
from xhat.metrics.pixels import psnr
from xhat.noise import Gaussian
from xhat.operators import OPERATORS
from xhat.priors import Prior, build_prior
from xhat.rng import Rng
from xhat.schedule import Level
from xhat.solvers import SOLVERS
from xhat.spec import build
from xhat.types import Image

EXACT = ["inpaint", "gaussian_blur:boundary=circular", "motion_blur:boundary=circular",
         "super_resolution:kind=average", "compressed_sensing", "gaussian_blur", "super_resolution"]  # fmt: skip
ITERATIVE = ["motion_blur:seed=0", "motion_blur:seed=1"]  # reflecting boundary: conjugate gradient
FAST = ["lmaps", "diffpir", "ddrm", "ddnm"]


class Timed(Prior):
    """A prior that adds up the seconds spent in it."""

    def __init__(self, inner: Prior) -> None:
        super().__init__()
        self.inner, self.schedule, self.seconds = inner, inner.schedule, 0.0

    def forward(self, x: Image, t: Level) -> Image:
        start = time.perf_counter()
        out = self.inner(x, t)
        self.seconds += time.perf_counter() - start
        return out


def problem(operator: str, x: Image) -> Likelihood:
    A, noise = build(operator, OPERATORS, tuple(x.shape[1:])), Gaussian(0.05)
    return likelihood(A, noise, noise.sample(A(x), Rng(range(100, 100 + len(x)))))


def ratio(solver: str, like: Likelihood, prior: Prior, steps: int) -> tuple[float, Image]:
    """Seconds of the whole run over those in the network."""
    timed = Timed(prior)
    start = time.perf_counter()
    out = solve(
        build(f"{solver}{',' if ':' in solver else ':'}steps={steps}", SOLVERS), timed, like, Rng(range(len(like.y)))
    )
    return (time.perf_counter() - start) / timed.seconds, out


def overheads(prior: Prior, x: Image, steps: int, repeats: int = 3) -> list[dict]:
    rows = []
    for operator in EXACT + ITERATIVE:
        like = problem(operator, x)
        for solver in FAST:
            if isinstance(like, SOLVERS[solver].needs):
                best = min(ratio(solver, like, prior, steps)[0] for _ in range(repeats))
                rows.append({"operator": operator, "solver": solver, "ratio": round(best, 3)})
                print(f"{operator:36s} {solver:8s} {best:.3f}", flush=True)
    return rows


def inner_loops(prior: Prior, x: Image, steps: int) -> list[dict]:
    rows = []
    for operator in ("gaussian_blur", "motion_blur"):
        like = problem(operator, x)
        for solver in ("lmaps", "lmaps:inner=adam,inner_steps=100"):
            r, out = ratio(solver, like, prior, steps)
            rows.append(
                {
                    "operator": operator,
                    "solver": solver,
                    "ratio": round(r, 2),
                    "psnr": round(float(psnr(out, x).mean()), 2),
                }
            )
            print(f"{operator:20s} {solver:40s} {r:6.2f}  {rows[-1]['psnr']:.2f} dB", flush=True)
    return rows


def batching(prior: Prior, size: int, steps: int) -> float:
    """Seconds of four samples in one batch over those of four runs, the better of two measurements each."""
    one = problem("gaussian_blur", photographs(size)[:1])
    four, solver = one.take(torch.zeros(4, dtype=torch.long)), build(f"lmaps:steps={steps}", SOLVERS)

    def seconds(like: Likelihood, repeats: int) -> float:
        start = time.perf_counter()
        for i in range(repeats):
            solve(solver, prior, like, Rng(range(i, i + len(like.y))))
        return time.perf_counter() - start

    best = [min(seconds(like, n) for _ in range(2)) for like, n in ((four, 1), (one, 4))]
    return round(best[0] / best[1], 2)


def peak(what: str, size: int) -> float:
    """Megabytes that `what` adds at its peak to a fresh process that has loaded everything."""
    code = f"import benchmarks.speed as s; s.resident({what!r}, {size})"
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True)
    return float(done.stdout)


def resident(what: str, size: int) -> None:
    """Prints it. The kernel's high-water mark is reset first: loading may have peaked higher."""
    prior, x = build_prior("photo"), photographs(size)[:1]
    like = problem("gaussian_blur", x)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    with torch.no_grad():
        if what == "call":
            prior(x, Level(0.5, 1.0, 0.5))
        else:
            solve(build(f"{what}:steps=4", SOLVERS), prior, like, Rng([0]))
    print((status("VmHWM") - before) / 1024)


def status(key: str) -> int:
    """A line of /proc/self/status, in kilobytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--size", type=int, default=256)
    p.add_argument("--steps", type=int, default=12)
    p.add_argument("--file", type=Path, default=Path(__file__).with_name("speed.json"))
    args = p.parse_args()
    prior, x = build_prior("photo"), photographs(args.size)[:1]
    like = problem("gaussian_blur", x)
    ratio("lmaps", like, prior, 2)  # the first call of a network is slow
    found = {"size": args.size, "steps": args.steps, "threads": torch.get_num_threads()}
    found["overhead"] = overheads(prior, x, args.steps)
    found["inner"] = inner_loops(prior, x, 4 * args.steps)
    call = peak("call", args.size)
    found["memory"] = {s: round(peak(s, args.size) / call, 2) for s in FAST}
    print("memory over one network call:", found["memory"])
    found["batch of 4 over 4 runs"] = {size: batching(prior, size, args.steps) for size in (64, 128, 256)}
    print("batch of 4 over 4 runs:", found["batch of 4 over 4 runs"])
    args.file.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
