"""The table `continued` of docs/fwi.md: LMAPS from where classical inversion ends, on the grounds of the suite.

    python -m benchmarks.fwi_continued

L-BFGS goes from low frequencies to high without a prior; LMAPS begins at its image with noise of a level ρ, as
`xhat restore --start FILE --start-rho` does.
"""

import torch

import xhat
from xhat.bench.grid import load
from xhat.bench.images import open_images
from xhat.bench.stats import interval
from xhat.likelihoods import likelihood
from xhat.loop import solve
from xhat.noise import NOISES
from xhat.operators import OPERATORS
from xhat.priors.base import Prior
from xhat.rng import Rng
from xhat.schedule import Level
from xhat.science.fwi.metrics import velocity_l2
from xhat.solvers.base import State
from xhat.solvers.started import Start, WarmStart
from xhat.task.parts import as_solver

from .page import ROOT, fill

CLASSICAL = "lbfgs:steps=60,bands=4,lowest=0.2,smooth=1"
LMAPS = "lmaps:steps=10,inner=adam,inner_steps=4,lr=0.03"
RUNS = (("velocity:size=24", 0.3), ("velocity:size=24", 0.1), ("velocity_net", 0.3), ("velocity_net", 0.1))


class Each(WarmStart):
    """A warm start of a whole batch: one image for each."""

    def init(self, t: Level, prior: Prior, like: xhat.Likelihood, rng: Rng) -> State:
        made: State = self.solver.from_image(self.start.image, t, prior, like, rng)
        return made


def main() -> None:
    cell = load("science-fwi").cells()[0]
    images = open_images(cell.data)
    x = torch.stack([images.load(name) for name in images.names()])
    n = len(x)
    A, noise = xhat.build(cell.operator, OPERATORS, tuple(x.shape[1:])), xhat.build(cell.noise, NOISES)
    like = likelihood(A, noise, noise.sample(A(x), Rng(range(n))))
    begun = solve(as_solver(CLASSICAL), xhat.build_prior("none"), like, Rng(range(n)))
    out = ["| | velocity_l2 | residual / expected | better than L-BFGS |", "|---|---|---|---|"]
    out.append(line(f"`{CLASSICAL}`", begun, x, like, begun))
    for spec, rho in RUNS:
        warm = Each(solver=as_solver(LMAPS), start=Start(begun, rho, "L-BFGS"))
        found = solve(warm, xhat.build_prior(spec), like, Rng(range(100, 100 + n)))
        out.append(line(f"`{LMAPS}` from there, ρ = {rho}, `{spec}`", found, x, like, begun))
    fill(ROOT / "docs" / "fwi.md", "continued", "\n".join(out))


def line(name: str, z: torch.Tensor, x: torch.Tensor, like: xhat.Likelihood, begun: torch.Tensor) -> str:
    """A row of the table: means over grounds with 95 % intervals, and the mean difference to `begun` in pairs."""
    score, (found, expected) = velocity_l2(z, x), like.misfit(z)
    mean, gain = interval(score.tolist()), interval((velocity_l2(begun, x) - score).tolist())
    better = "–" if z is begun else f"{gain.value:+.3f} ± {gain.half:.3f}"
    row = f"| {name} | {mean.value:.3f} ± {mean.half:.3f} | {float((found / expected).mean()):.2f} | {better} |"
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
