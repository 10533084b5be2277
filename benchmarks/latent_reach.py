"""Whether FlowDPS and TReg reach the data under a small latent prior: residuals and PSNR on held-out faces.

    python -m benchmarks.latent_reach PRIOR FACES [--count 6] [--page docs/latent.md]

PRIOR is a folder made as docs/latent.md says, FACES what it was trained on, of which it left the held-out ones aside.
The prior hears no text, so TReg's prompt says nothing and its negative prompt is not turned. Each method is run as it
is, and without its last step, the fit to the data.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xhat.likelihoods import Likelihood, likelihood
from xhat.loop import solve
from xhat.metrics.pixels import psnr
from xhat.noise import Gaussian
from xhat.operators import OPERATORS
from xhat.priors import build_prior
from xhat.priors.latent import LatentPrior, Text, TextPrior
from xhat.rng import Rng
from xhat.schedule import SCHEDULES, Level
from xhat.solvers import SOLVERS
from xhat.spec import build
from xhat.train.dataset import load
from xhat.train.recipe import DataOptions

from .page import fill

SIGMA = 0.05
TASKS = {"SR x4": "super_resolution", "box": "inpaint:mask=box25", "Gaussian blur": "gaussian_blur:std=1.5"}
RUNS = {"flowdps": "flow:shift=4", "treg:negation=0": None}  # with the schedule that a method is written for


class Deaf(TextPrior):
    """A latent prior that hears no word of the text it is given."""

    guidance = 1.0

    def __init__(self, base: LatentPrior) -> None:
        super().__init__()
        self.base, self.autoencoder, self.schedule = base, base.autoencoder, base.schedule
        self.prompt = self.negative = torch.zeros(1, 1, 1)

    def check(self, shape: tuple[int, ...]) -> None:
        self.base.check(shape)

    def denoise(self, z: Tensor, t: Level, c: Text) -> Tensor:
        return self.base.forward(z, t)


def measure(prior: LatentPrior, truth: Tensor) -> list[str]:
    """The lines of the table."""
    lines = ["| method | " + " | ".join(TASKS) + " |", "|---" * (len(TASKS) + 1) + "|"]
    again = prior.image(prior.autoencoder.encode(truth))
    alone = [scored(again, posed(truth, spec), truth) for spec in TASKS.values()]
    lines.append("| the true image through the autoencoder | " + " | ".join(alone) + " |")
    for spec, schedule in RUNS.items():
        whole: Any = build(spec, SOLVERS)
        for said, solver in ((spec, whole), (f"{spec}, no fit at the end", replace(whole, last_steps=0))):
            cells = [run(solver, schedule, prior, truth, spec) for spec in TASKS.values()]
            lines.append(f"| `{said}` | " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    return lines


def posed(truth: Tensor, spec: str) -> Likelihood:
    """The measurements of the images `truth` through the operator `spec`, with noise."""
    A, noise, n = build(spec, OPERATORS, tuple(truth.shape[1:])), Gaussian(SIGMA), len(truth)
    return likelihood(A, noise, noise.sample(A(truth), Rng(range(100, 100 + n))))


def scored(x: Tensor, like: Likelihood, truth: Tensor) -> str:
    """The mean PSNR, and the root mean square residual over that of the noise."""
    found, expected = like.misfit(x)
    return f"{float(psnr(x, truth).mean()):.2f}, {float((found / expected).square().mean().sqrt()):.2f}"


def run(solver: Any, schedule: str | None, prior: LatentPrior, truth: Tensor, spec: str) -> str:
    """The score of a solver on one task."""
    like, heard = posed(truth, spec), Deaf(prior)
    levels = build(schedule, SCHEDULES) if schedule else prior.schedule
    x = prior.image(solve(solver, heard, heard.problem(like), Rng(range(len(truth))), schedule=levels))
    return scored(x, like, truth)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior")
    parser.add_argument("faces")
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    prior = build_prior(args.prior, "cpu")
    assert isinstance(prior, LatentPrior), f"{args.prior} is no latent prior"
    truth = load(args.faces, DataOptions(square=64, channels=3)).validation(args.count)
    lines = measure(prior, truth)
    print("\n".join(lines))
    if args.page:
        fill(args.page, "reach", "\n".join(lines))


if __name__ == "__main__":
    main()
