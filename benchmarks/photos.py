"""All solvers on the ten image tasks, on the demo photographs: the table in the README.

    python benchmarks/photos.py run  [--size 128] [--tasks sr,box] [--solvers lmaps,dps:steps=300]
    python benchmarks/photos.py table

One line of JSON per (task, solver) in `photos.jsonl`; what is there is not run again. Each line is measured
in one batch of the four photographs, seeds 0 to 3, with the solver's defaults unless its spec says otherwise.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from xhat import __version__
from xhat.calls import counting
from xhat.demo import photographs
from xhat.errors import XhatError
from xhat.likelihood import likelihood
from xhat.metrics import psnr, ssim
from xhat.noise import NOISES
from xhat.operators import OPERATORS
from xhat.priors import build_prior
from xhat.rng import Rng
from xhat.solve import solve
from xhat.solvers import SOLVERS
from xhat.spec import build

# protocol tasks 1 to 10; a code is its own noise
TASKS = {
    "SR x4": ("super_resolution", "gaussian:sigma=0.05"),
    "box": ("inpaint:mask=box", "gaussian:sigma=0.05"),
    "random": ("inpaint:keep=0.3", "gaussian:sigma=0.05"),
    "Gaussian": ("gaussian_blur", "gaussian:sigma=0.05"),
    "motion": ("motion_blur", "gaussian:sigma=0.05"),
    "phase": ("phase_retrieval", "gaussian:sigma=0.05"),
    "non-linear": ("nonlinear_blur", "gaussian:sigma=0.05"),
    "HDR": ("hdr", "gaussian:sigma=0.05"),
    "JPEG 5": ("jpeg:quality=5", "noiseless"),
    "2 bit": ("quantize:bits=2", "noiseless"),
}
# the paper's step count where it fits in an afternoon on a CPU
SHORTER = {"dps": "dps:steps=300"}


def measure(task: str, spec: str, x: torch.Tensor, prior_spec: str) -> dict[str, object]:
    """One batch: means over its images, standard error of PSNR, cost per image."""
    operator, noise_spec = TASKS[task]
    A, noise = build(operator, OPERATORS, tuple(x.shape[1:])), build(noise_spec, NOISES)
    y = noise.sample(A(x), Rng([10_000 + i for i in range(len(x))]))
    like, solver, prior = likelihood(A, noise, y), build(spec, SOLVERS), build_prior(prior_spec)
    row: dict[str, object] = {
        "task": task,
        "solver": spec,
        "prior": prior_spec,
        "size": x.shape[-1],
        "version": __version__,
    }
    start = time.perf_counter()
    try:
        with counting() as calls:
            out = solve(solver, prior, like, Rng(range(len(x))))
    except XhatError as e:
        return row | {"error": f"{type(e).__name__}: {e}"}
    n, p = len(x), psnr(out, x)
    return row | {
        "psnr": round(float(p.mean()), 3),
        "se": round(float(p.std() / n**0.5), 3),
        "ssim": round(float(ssim(out, x).mean()), 4),
        "residual": round(float(noise.residual(y, A(out)).mean()), 4),
        "forwards": calls.forwards / n,
        "backwards": calls.backwards / n,
        "operator": calls.operator / n,
        "seconds": round((time.perf_counter() - start) / n, 2),
    }


def run(args: argparse.Namespace) -> None:
    x = photographs(args.size)
    done = {(r["task"], r["solver"], r["size"], r["prior"]) for r in rows(args.file)}
    for name in args.solvers.split(";") if args.solvers else list(SOLVERS):
        spec = SHORTER.get(name, name)
        for task in args.tasks.split(",") if args.tasks else TASKS:
            if (task, spec, args.size, args.prior) not in done:
                row = measure(task, spec, x, args.prior)
                print(row, flush=True)
                with args.file.open("a") as f:
                    f.write(json.dumps(row) + "\n")


def rows(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def table(args: argparse.Namespace) -> None:
    """Markdown: PSNR per task, then cost; best in bold, within 0.3 dB of it in italics."""
    cells = {(r["solver"], r["task"]): r for r in rows(args.file) if r["size"] == args.size}
    best = {
        t: max((r["psnr"] for (_, task), r in cells.items() if task == t and "psnr" in r), default=0) for t in TASKS
    }
    print("| solver | " + " | ".join(TASKS) + " | forwards | backwards | s/image |\n" + "|---" * (len(TASKS) + 4) + "|")
    for spec in dict.fromkeys(s for s, _ in cells):
        own = [cells.get((spec, t), {}) for t in TASKS]
        if not any("psnr" in r for r in own):
            continue
        line = []
        for t, r in zip(TASKS, own, strict=True):
            mark = "**" if r.get("psnr") == best[t] else "*" if r.get("psnr", 0) >= best[t] - 0.3 else ""
            line.append(
                f"{mark}{r['psnr']:.2f}{mark}" if "psnr" in r else "fails" if "Diverged" in r.get("error", "") else "–"
            )
        ran = [r for r in own if "psnr" in r]
        cost = [max(r["forwards"] for r in ran), max(r["backwards"] for r in ran)]
        seconds = [r["seconds"] for r in ran]
        print(f"| {spec} | {' | '.join(line)} | {cost[0]:g} | {cost[1]:g} | {min(seconds):.0f}–{max(seconds):.0f} |")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("action", choices=["run", "table"])
    p.add_argument("--size", type=int, default=128)
    p.add_argument("--tasks", help="comma-separated; default all")
    p.add_argument("--solvers", help="semicolon-separated specs; default every registered solver")
    p.add_argument("--prior", default="photo:dtype=bfloat16")
    p.add_argument("--file", type=Path, default=Path(__file__).with_name("photos.jsonl"))
    args = p.parse_args()
    {"run": run, "table": table}[args.action](args)


if __name__ == "__main__":
    main()
