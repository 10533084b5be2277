"""One study: every arm on every problem, with intervals over images, and a page that says what came out.

    python -m benchmarks.study studies/NAME.toml [-o docs/studies] [--report]

writes NAME.jsonl (a record for each run; what is there is not run again), NAME.png and NAME.md. `--report` runs
nothing. A study names its `prior` (a spec as for `xhat restore --prior`, or `gaussian`, `mixture`: analytic, 12 x 12),
`images`, `seeds`, `problems` and `arms`; a problem may have a prior and a number of images of its own, an arm a
`schedule`, and with `flow` so many steps of Heun through the probability flow as its consistency model.
"""

import argparse
import gzip
import time
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xhat.files.photographs import PHOTOGRAPHS, photographs
from xhat.likelihoods import Likelihood, LinearGaussian
from xhat.loop import Step
from xhat.numerics.calls import Calls
from xhat.numerics.linalg import rms
from xhat.priors import FlowPrior, GaussianPrior, MixturePrior, Prior, build_prior
from xhat.rng import Rng
from xhat.schedule import EDM, Level
from xhat.task.account import recorded
from xhat.task.run import STREAM
from xhat.task.task import Task

from .study_page import Row, key, page, plot, stored

SIDE, EPS, TOP = 12, 0.002, 20.0
FASHION = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")  # Debian: dataset-fashion-mnist
ANALYTIC = ("gaussian", "mixture")


def smooth(n: int, length: float) -> Tensor:
    """The covariance of a field with unit variance on the pixel grid."""
    grid = torch.stack(torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij"), -1).reshape(-1, 2).double()
    return torch.exp(-(torch.cdist(grid, grid) ** 2) / (2 * length**2)) + 1e-3 * torch.eye(n * n, dtype=torch.float64)


@lru_cache
def prior_of(name: str) -> Prior:
    """`gaussian`: a smooth field of standard deviation 0.5; `mixture`: ten patterns, each with white noise of 0.15."""
    if name not in ANALYTIC:
        return build_prior(name, "cpu")
    field = GaussianPrior((1, SIDE, SIDE), 0.25 * smooth(SIDE, 2.0), schedule=EDM(EPS, TOP))
    if name == "gaussian":
        return field
    patterns = 0.7 * torch.tanh(4 * field.sample(Rng(range(1000, 1010))))
    return MixturePrior(patterns, 0.15**2, schedule=EDM(EPS, TOP))


@lru_cache
def flow_of(name: str, steps: int) -> FlowPrior:
    """The probability flow of an analytic prior as its consistency model, by `steps` of Heun's method."""
    base = prior_of(name)
    assert isinstance(base, GaussianPrior | MixturePrior)
    return FlowPrior(base, steps, EPS, TOP)


@lru_cache
def truths(prior: str, n: int, size: int) -> Tensor:
    """Draws from an analytic prior, test pictures of clothes, else patches of photographs: (n, *image)."""
    base = prior_of(prior)
    if isinstance(base, GaussianPrior | MixturePrior):
        return base.sample(Rng(range(50_000, 50_000 + n)))  # not the streams of the solvers
    if prior.split(":")[0] == "fashion":
        with gzip.open(FASHION) as file:
            pixels = torch.frombuffer(bytearray(file.read()[16 : 16 + n * 28 * 28]), dtype=torch.uint8)
        return torch.nn.functional.pad(pixels.reshape(n, 1, 28, 28) / 127.5 - 1, (2, 2, 2, 2), value=-1.0)
    whole = photographs(2 * size, PHOTOGRAPHS)
    corners = [whole[:, :, i : i + size, j : j + size] for i, j in ((0, 0), (size, size), (0, size), (size, 0))]
    return torch.cat(corners)[:n]


def best_mode(base: Prior, like: LinearGaussian) -> Tensor:
    """The mode of p(x|y): exact for a Gaussian, the best of the components' own for a mixture."""
    if isinstance(base, MixturePrior):
        centres = [m.expand(len(like.y), *m.shape) for m in base.means]
        modes = [like.prox(m, like.var / (v + EPS**2)) for m, v in zip(centres, base.v, strict=True)]
        values = torch.stack([log_posterior(x, base, like) for x in modes])
        return torch.stack(modes)[values.argmax(0), torch.arange(len(like.y))]
    assert isinstance(base, GaussianPrior)
    n, A = base.lam.numel(), like.A
    C = (base.Q.double() * (base.lam.double() + EPS**2)) @ base.Q.double().T
    H = A(torch.eye(n).reshape(n, *A.shape)).flatten(1).T.double()
    S = H @ C @ H.T + float(like.var[0]) * torch.eye(len(H))
    return (torch.linalg.solve(S, like.y.flatten(1).T.double()).T @ H @ C).to(like.y).reshape(-1, *A.shape)


def log_posterior(x: Tensor, base: Prior, like: Likelihood) -> Tensor:
    """log p_ε(x) + log p(y|x) per image, up to a constant."""
    if isinstance(base, MixturePrior):
        return base.log_density(x, Level(0.0, 1.0, EPS)) - like.nll(x)
    assert isinstance(base, GaussianPrior)
    z = (x - base.mean).flatten(1).double() @ base.Q.double()
    return -((z**2 / (base.lam.double() + EPS**2)).sum(1) / 2).to(x) - like.nll(x)


def error(x: Tensor, truth: Tensor) -> Tensor:
    """The root mean square of x − x*, (b,)."""
    return rms(x - truth)


def psnr(x: Tensor, truth: Tensor) -> Tensor:
    """PSNR in dB of images of the range 2, not clipped, (b,)."""
    return 20 * (2 / error(x, truth)).log10()


def task_of(study: dict[str, Any], problem: dict[str, Any], arm: dict[str, Any], seed: int) -> Task:
    """One arm on all images of a problem."""
    study = study | problem
    torch.set_default_dtype(torch.float64 if study["prior"] in ANALYTIC else torch.float32)
    x = truths(study["prior"], study["images"], study.get("size", 64))
    noise_seeds = range(10_000 + 100 * seed, 10_000 + 100 * seed + len(x))
    return Task(
        operator=problem["operator"],
        noise=problem["noise"],
        prior=flow_of(study["prior"], arm["flow"]) if "flow" in arm else prior_of(study["prior"]),
        solver=arm["solver"],
        seeds=[[s] for s in range(1000 * seed, 1000 * seed + len(x))],
        truth=x,
        noise_seeds=[s ^ STREAM for s in noise_seeds],  # the studies draw noise from these streams as they are
        schedule=arm.get("schedule"),
    )


def mode_of(base: Prior, like: Likelihood) -> Tensor | None:
    """The logarithm of the largest posterior density, (b,), up to a constant; None if it is unknown."""
    analytic = isinstance(base, GaussianPrior | MixturePrior)
    if not analytic or not isinstance(like, LinearGaussian) or not bool((like.var > 0).all()):
        return None
    return log_posterior(best_mode(base, like), base, like)


def measure(study: dict[str, Any], problem: dict[str, Any], arm: dict[str, Any], seed: int) -> Row:
    """One run on all images: its record, and what a study adds to it."""
    task, base = task_of(study, problem, arm, seed), prior_of((study | problem)["prior"])
    like = task.problem()
    top, curve = mode_of(base, like), []

    def gap(x: Tensor) -> Tensor:
        assert top is not None
        return (top - log_posterior(x, base, like)) / x[0].numel()

    def watch(step: Step, _: Likelihood, calls: Calls) -> None:
        spent = (calls.forwards + calls.backwards) / len(like.y)
        curve.append([spent, round(float(gap(step.state.estimate).mean()), 5)])

    began = time.process_time()
    follow = watch if study.get("curve") and top is not None else None
    row, found = recorded(task, {"psnr": psnr, "error": error}, follow, device="cpu")
    named = {"prior": (study | problem)["prior"], "key": key(study, problem, arm, seed), "flow": arm.get("flow")}
    row |= {**named, "curve": curve, "cpu_seconds": round(time.process_time() - began, 2), "spent": None}
    if not found:
        return row
    if not (torch.tensor(row["metrics"]["error"]) < 1e3).all():  # images have a range of 2
        return row | {"status": "diverged", "error": "an image is far outside the range of images", "metrics": {}}
    if top is not None:
        row["metrics"]["gap"] = gap(torch.cat([r.images for r in found])).tolist()
    row["metrics"] = {k: [round(v, 5) for v in values] for k, values in row["metrics"].items()}
    return row | {"spent": (row["calls"]["forwards"] + row["calls"]["backwards"]) / len(like.y)}


def run(study: dict[str, Any], file: Path, quiet: bool = False) -> None:
    kept = stored(file)
    for seed in range(study["seeds"]):
        for problem in study["problems"]:
            for arm in study["arms"]:
                if kept.missing([key(study, problem, arm, seed)]):
                    row = measure(study, problem, arm, seed)
                    kept.add(row)
                    if not quiet:
                        print(problem["name"], "|", arm["name"], "|", row["error"] or row["cpu_seconds"], flush=True)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("study", type=Path, nargs="+")
    p.add_argument("-o", "--out", type=Path, default=Path("docs/studies"))
    p.add_argument("--report", action="store_true")
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for path in args.study:
        study, file = tomllib.loads(path.read_text(encoding="utf-8")), args.out / f"{path.stem}.jsonl"
        if not args.report:
            run(study, file)
        file.with_suffix(".md").write_text(page(study, file), encoding="utf-8")
        plot(study, file)


if __name__ == "__main__":
    main()
