"""What DAPS makes of directions that nobody measured, under priors whose denoiser is exact.

python -m benchmarks.daps_unseen
"""

import math

import torch
from torch import Tensor

from xhat.likelihoods import likelihood
from xhat.loop import solve
from xhat.noise import Gaussian
from xhat.operators import OPERATORS
from xhat.priors import Prior
from xhat.rng import Rng
from xhat.schedule import EDM, Level
from xhat.solvers import SOLVERS
from xhat.spec import build
from xhat.types import Image

SHAPE = (1, 8, 8)
LEVELS = EDM(0.002, 40.0)
RUNS = 400
SETTINGS = (
    "daps_exact:steps=50",
    "daps_exact:steps=200",
    "daps_exact:steps=1000",
    "daps_exact:steps=50,mode=true",
    "mmps:steps=200",
)


class UnknownContrast(Prior):
    """x₀ = s n with n ~ N(0, I) and ln s even between ln 0.01 and 0: a texture whose contrast nobody knows, as in
    photographs. E[x₀|x_t] is a sum over `S` values of s.
    """

    closed_form = True
    source = "closed form"

    def __init__(self, count: int = 60) -> None:
        super().__init__()
        self.schedule = LEVELS
        self.register_buffer("s", torch.logspace(-2, 0, count))

    def forward(self, x: Image, t: Level) -> Image:
        z, var = (x / t.alpha).flatten(1), self.s**2 + t.ratio**2
        log = -0.5 * (z.square().sum(1, keepdim=True) / var + z.shape[1] * torch.log(var))
        return ((torch.softmax(log, 1) * self.s**2 / var).sum(1, keepdim=True) * z).reshape(x.shape)


def main() -> None:
    """Prints the contrast that the prior and each setting have, at the 10, 50 and 90 % quantile."""
    prior = UnknownContrast()
    drawn = torch.logspace(-2, 0, 60)[torch.randint(60, (RUNS,), generator=torch.Generator().manual_seed(0))]
    print("| | contrast, 10 % | 50 % | 90 % |\n|---|---|---|---|")
    print(row("the prior", drawn))
    for spec in SETTINGS:
        print(row(f"`{spec}`", contrast(prior, spec)))


def contrast(prior: Prior, spec: str) -> Tensor:
    """The root mean square of each of `RUNS` results, (RUNS,), where y tells nothing, for its noise is a thousand."""
    A = OPERATORS["denoise"](SHAPE)
    like = likelihood(A, Gaussian(1000.0), torch.zeros(RUNS, *A.data_shape))
    x = solve(build(spec, SOLVERS), prior, like, Rng(range(RUNS)))
    return x.square().flatten(1).mean(1).sqrt()


def row(name: str, values: Tensor) -> str:
    """A line of the table."""
    found = values.quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
    return f"| {name} | " + " | ".join(f"{v:.2g}" if math.isfinite(v) else "–" for v in found) + " |"


if __name__ == "__main__":
    main()
