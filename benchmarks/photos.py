"""All solvers on the ten image tasks, on the demo photographs, and a survey of them at 64 x 64.

    python -m benchmarks.photos run --solvers "lmaps;dps:steps=300" [--tasks "SR x4,box"]
    python -m benchmarks.photos table
    python -m benchmarks.photos run --size 64 --survey      # every solver, the long ones cut short
    python -m benchmarks.photos table --size 64 --page docs/solvers.md

One record per (task, solver) in `photos.jsonl`; what is there is not run again. Each record is measured
in one batch of the four photographs, seeds 0 to 3, with the solver's defaults unless its spec says otherwise.
"""

import argparse
from pathlib import Path

import torch

from xhat.bench.stats import value
from xhat.files.photographs import photographs
from xhat.files.rows import Row, Rows
from xhat.likelihoods import BlindGaussian, NoiselessLinear, NoiselessSpectral
from xhat.metrics.registry import metric
from xhat.solvers import SOLVERS
from xhat.spec import build
from xhat.task.account import recorded
from xhat.task.run import STREAM
from xhat.task.schema import Kinds, validate
from xhat.task.task import Task

from .page import fill

MORE: dict[str, Kinds] = {"task": (str,), "label": (str,), "size": (int,)}
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
# a solver that estimates the kernel has a task of its own
BLIND = {"blind": ("blind_blur", "gaussian:sigma=0.05")}
# Every solver that takes a photograph of 64 x 64, with its defaults if these are at most 100 calls, else cut to
# about 200. Not here: the full and diagonal TMPD (one Jacobian product a pixel) and the two score priors (a
# normalising flow over all pixels, trained for each image).
SURVEY = (
    "lmaps;reddiff;ddrm;ddnm;ddnm+;diffpir;pigdm;pigdm_score;dds;ddpg;mpgd;sitcom;mmps:steps=50;fps;"
    "dps:steps=200;dmps:steps=200;lgd:steps=200;tmpd_rowsum:steps=50;daps:steps=40;daps_exact:steps=40;"
    "diffstategrad:inner=dps,steps=200;ilvr;mcg:steps=200;repaint:steps=50,jump=5,resample=4;"
    "score_sde:steps=100;implicit_prior:steps=200;score_ald:steps=60;snips:steps=40;"
    "fps_smc:steps=40;tds:steps=25,particles=8;mcgdiff:steps=25,particles=8;smcdiff:steps=25,particles=8;"
    "pnpdm:steps=20,reverse_steps=10;pmc_red:steps=200;pmc_pnp:steps=200;"
    "dcdp:steps=10,ode_steps=20;resample:steps=100,inner_steps=20;csgm:steps=20;dflow:steps=30;dmplug:steps=60;"
    "shred:steps=20;map_ga:steps=20,inner_steps=5;map_ga_generic:steps=20,inner_steps=5;"
    "map_ga_pigdm:steps=15,inner_steps=5,pigdm_steps=15;blind_dps:steps=200;blind_reddiff:steps=200;gibbs_ddrm"
)


def measure(task: str, spec: str, x: torch.Tensor, prior: str) -> Row:
    """One batch: the record of all its images."""
    operator, noise = (TASKS | BLIND)[task]
    if build(spec, SOLVERS).needs in (NoiselessLinear, NoiselessSpectral):  # an easier problem, marked in the table
        noise = "noiseless"
    job = Task(
        operator=operator,
        noise=noise,
        prior=prior,
        solver=spec,
        seeds=[[i] for i in range(len(x))],
        truth=x,
        noise_seeds=[(10_000 + i) ^ STREAM for i in range(len(x))],  # this table draws noise from these streams
    )
    row, _ = recorded(job, {name: metric(name) for name in ("psnr", "ssim")})
    return row | {"task": task, "label": spec, "size": x.shape[-1], "noise": noise, "prior": prior}


def stored(file: Path) -> Rows[tuple[str, str, int, str]]:
    """The records by task, solver, size and prior, each checked against the schema."""
    kept = Rows(file, lambda r: (r["task"], r["label"], r["size"], r["prior"]))
    for row in kept.rows.values():
        validate(row, file, MORE)
    return kept


def run(args: argparse.Namespace) -> None:
    x, kept = photographs(args.size), stored(args.file)
    for spec in (SURVEY if args.survey else args.solvers).split(";"):
        own = BLIND if build(spec, SOLVERS).needs is BlindGaussian else TASKS
        for task in args.tasks.split(",") if args.tasks else own:
            if kept.missing([(task, spec, args.size, args.prior)]):
                row = measure(task, spec, x, args.prior)
                print(task, spec, row["error"] or f"{value(row, 'psnr'):.2f} dB", flush=True)
                kept.add(row)


def table(args: argparse.Namespace) -> None:
    """Markdown, printed or into a page; best in bold, within 0.3 dB of it in italics, ° for data without noise."""
    cells = {(r["label"], r["task"]): r for r in stored(args.file).rows.values() if r["size"] == args.size}
    tasks = {t: noise for t, (_, noise) in (TASKS | BLIND).items() if any(task == t for _, task in cells)}
    best = {t: max((score(c) for (_, k), c in cells.items() if k == t and fair(c, tasks)), default=0) for t in tasks}
    columns = ["solver", "gives", *tasks, "forwards", "backwards", "s/image"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for spec in dict.fromkeys(s for s, _ in cells):
        own = [cells.get((spec, t)) for t in tasks]
        ran = [r for r in own if r and r["status"] == "ok"]
        if not ran:
            continue
        scores = " | ".join(shown(r, best[t], tasks) for t, r in zip(tasks, own, strict=True))
        cost = [max(an_image(r, r["calls"][k]) for r in ran) for k in ("forwards", "backwards")]
        seconds = [an_image(r, r["seconds"]) for r in ran]
        spent = f"{cost[0]:g} | {cost[1]:g} | {min(seconds):.0f}–{max(seconds):.0f}"
        lines.append(f"| {spec} | {build(spec, SOLVERS).returns} | {scores} | {spent} |")
    if args.page:
        fill(args.page, "photos", "\n".join(lines))
    else:
        print("\n".join(lines))


def score(row: Row) -> float:
    """The mean PSNR of a record, to as many decimals as it is worth."""
    return round(value(row, "psnr") or 0.0, 3)


def an_image(row: Row, total: float) -> float:
    """An image's share of the cost of a batch."""
    return total / row["measurements"]


def fair(row: Row, tasks: dict[str, str]) -> bool:
    """Measured on the task's own noise."""
    return row["status"] == "ok" and row["noise"] == tasks[row["task"]]


def shown(row: Row | None, best: float, tasks: dict[str, str]) -> str:
    if row is None or row["status"] != "ok":
        return "fails" if row and row["status"] == "diverged" else "–"
    if not fair(row, tasks):
        return f"{score(row):.2f}°"
    mark = "**" if score(row) == best else "*" if score(row) >= best - 0.3 else ""
    return f"{mark}{score(row):.2f}{mark}"


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("action", choices=["run", "table"])
    p.add_argument("--size", type=int, default=128)
    p.add_argument("--tasks", help="comma-separated; default all")
    p.add_argument("--solvers", default="lmaps", help="semicolon-separated specs")
    p.add_argument("--survey", action="store_true", help="the standing list of all solvers, cut short")
    p.add_argument("--prior", default="photo:dtype=bfloat16")
    p.add_argument("--file", type=Path, default=Path(__file__).with_name("photos.jsonl"))
    p.add_argument("--page", type=Path, help="where the table goes, between its marks")
    args = p.parse_args()
    {"run": run, "table": table}[args.action](args)


if __name__ == "__main__":
    main()
