"""Phase retrieval by DAPS from many starts: how often it succeeds, and what a person would pick.

    python -m benchmarks.phase PHOTOS FACES [--starts 20] [--images 2] [--page docs/ten_tasks.md]

PHOTOS is a folder of photographs, of which the central 64 x 64 of the first colour ones are taken; FACES is the archive
that `faces` was trained from, of which it held out the faces taken here. The levels are those of DAPS for this
task, from ρ = 100 down to 0.1. An amplitude is the same for an image that is turned by half a circle or moved in its
margin of zeros, so the PSNR is the best over these.
"""

import argparse
import math
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor

from xhat.bench.images import open_images
from xhat.likelihoods import Likelihood, likelihood
from xhat.loop import solve
from xhat.noise import NOISES
from xhat.operators import OPERATORS
from xhat.operators.phase_retrieval import margin
from xhat.priors import PRIORS
from xhat.rng import Rng
from xhat.schedule import SCHEDULES
from xhat.solvers import SOLVERS
from xhat.spec import build

from .page import fill
from .simple import crops

SIZE = 64
FOUND = (20.0, 25.0)  # dB: what is recognised, and what is close
LEVELS = "edm:sigma_min=0.1,sigma_max=100"
DAPS = "daps:steps=40,ode_steps=2,mcmc_steps=20,tau=0.01"  # the data weigh what they do in the official code


def up_to_symmetries(x: Tensor, truth: Tensor, pad: int) -> list[float]:
    """The PSNR in dB of each image (b, c, h, w) in [−1, 1], the best over half turns and shifts in the padded frame."""
    frame = lambda v: torch.nn.functional.pad((v.clamp(-1, 1) + 1) / 2, [pad] * 4)
    a, best = frame(truth[None]), torch.full((len(x),), math.inf)
    for turned in (x, x.flip((-2, -1))):
        b = frame(turned)
        alike = torch.fft.irfft2(torch.fft.rfft2(a) * torch.fft.rfft2(b).conj(), s=a.shape[-2:]).sum(1)
        error = a.square().sum() + b.square().sum((1, 2, 3)) - 2 * alike.flatten(1).amax(1)
        best = best.minimum(error)
    return [-10 * math.log10(max(float(e), 1e-9) / truth.numel()) for e in best]


def problem(truth: Tensor, starts: int) -> Likelihood:
    """The same amplitudes, with noise of 0.05, for each of the starts."""
    A, noise = build("phase_retrieval", OPERATORS, tuple(truth.shape)), build("gaussian:sigma=0.05", NOISES)
    y = noise.sample(A(truth[None]), Rng([100]))
    return likelihood(A, noise, y.expand(starts, *y.shape[1:]))


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--solver", default=DAPS)
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    held = open_images(f"held:path={args.faces},recipe=faces")
    faces = torch.stack([held.load(name) for name in held.names()[: args.images]])
    lines = ["| prior | image | over 20 dB | over 25 dB | best start | least residual | mean |", "|---" * 7 + "|"]
    for name, images in (("faces", faces), ("photo", crops([args.photos], SIZE, args.images))):
        prior = build(name, PRIORS)
        for number, truth in enumerate(images, 1):
            like = problem(truth, args.starts)
            x = solve(build(args.solver, SOLVERS), prior, like, Rng(range(args.starts)), build(LEVELS, SCHEDULES))
            scores = up_to_symmetries(x, truth, margin(SIZE, 2.0))
            picked = scores[int(like.misfit(x)[0].argmin())]
            counts = [f"{sum(s >= least for s in scores)} of {len(scores)}" for least in FOUND]
            cells = [*counts, *(f"{v:.2f}" for v in (max(scores), picked, mean(scores)))]
            lines.append(f"| {name} | {number} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    if args.page:
        fill(args.page, "phase", "\n".join(lines))


if __name__ == "__main__":
    main()
