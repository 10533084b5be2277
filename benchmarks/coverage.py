"""The tables `coverage` of the sciences' pages: whether 90 % intervals of samplers hold 90 % of truths from the prior.

    python -m benchmarks.coverage [SCIENCE ...]

Truths are drawn from the very prior that the solver is given, so that an exact sampler has 90 %: of 19 draws and a
truth that is one more of them, the truth lies between the least and the largest draw in 18 of 20 cases. Rows that
`coverage.jsonl` here has are not made again. Small images: minutes for all.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import xhat
from xhat.bench.stats import interval
from xhat.errors import DivergedError, MismatchError
from xhat.likelihoods import likelihood
from xhat.loop import solve
from xhat.noise import NOISES
from xhat.operators import OPERATORS
from xhat.priors.base import Prior
from xhat.priors.low_rank import LowRankMixture
from xhat.rng import Rng
from xhat.science.mri.prior import Magnitude
from xhat.task.parts import as_solver

from .page import ROOT, fill

FILE = Path(__file__).parent / "coverage.jsonl"
DRAWS = 19  # whose least and largest are a 90 % interval
TRUTHS = 6
BRIGHT = 0.9  # the quantile of a truth beyond which its pixels are bright


@dataclass(frozen=True)
class Case:
    """A problem and the samplers that are tried on it."""

    prior: str
    operator: str
    shape: tuple[int, ...]
    noise: str
    solvers: tuple[str, ...]


LINEAR = ("mmps:steps=50", "ddrm:steps=50", "daps_exact:steps=50", "dps:steps=100", "diffpir:steps=50")
SIMULATED = (
    "daps:steps=10,ode_steps=2,mcmc_steps=6,lr=1e-4",
    "dps:steps=50,c=0.01",
)
PICTURES = "velocity:size=24,components=10"  # layers, faults and lenses: any mixture whose draws are pictures would do
CASES = {
    "mri": Case(f"magnitude:prior=({PICTURES})", "mri:acceleration=4", (2, 24, 24), "gaussian:sigma=0.03", LINEAR),
    "ct": Case(PICTURES, "ct:angles=8", (1, 24, 24), "gaussian:sigma=0.03", LINEAR),
    "scattering": Case(
        PICTURES, "scattering:receivers=12,transmitters=6,wavelength=0.03", (1, 24, 24), "gaussian:sigma=2e-4", LINEAR
    ),
    "black_hole": Case(
        "blackhole:size=24,components=10",
        "black_hole_array:fov=128,flux=0.6,white=0.014",
        (1, 24, 24),
        "vlbi",
        ("daps:steps=30,mcmc_steps=20", "dps:steps=100"),
    ),
    "fwi": Case(
        "velocity:size=16,components=10",
        "fwi:sources=2,receivers=16,dx=80,dz=80,dt=8,time=800,cells=6,frequency=2,slowest=1,fastest=5.9",
        (1, 16, 16),
        "gaussian:sigma=1",
        SIMULATED,
    ),
    "navier_stokes": Case(
        "vorticity:size=16,rank=100,pictures=640",
        "navier_stokes:scale=25,courant=1,time=0.2",
        (1, 16, 16),
        "gaussian:sigma=2",
        SIMULATED,
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("science", nargs="*", choices=[*CASES, []])
    wanted = parser.parse_args().science or list(CASES)
    rows = [json.loads(line) for line in FILE.read_text().splitlines()] if FILE.exists() else []
    for name in wanted:
        case = CASES[name]
        made = {r["solver"] for r in rows if r["science"] == name and r["case"] == repr(case)}
        todo = [s for s in case.solvers if s not in made]
        if todo:
            problem = drawn(case)
            for spec in todo:
                row = {"science": name, "case": repr(case), "solver": spec, **covered(spec, *problem)}
                rows.append(row)
                with FILE.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(row, flush=True)
        fill(ROOT / "docs" / f"{name}.md", "coverage", table(case, [r for r in rows if r["case"] == repr(case)]))


def drawn(case: Case) -> tuple[Prior, xhat.Likelihood, Tensor]:
    """The prior, measurements of truths that it draws, and the truths."""
    prior = xhat.build_prior(case.prior)
    x = draw(prior, Rng(range(TRUTHS)))
    A = xhat.build(case.operator, OPERATORS, case.shape)
    noise = xhat.build(case.noise, NOISES)
    return prior, likelihood(A, noise, noise.bind(A.detector).sample(A(x), Rng(range(100, 100 + TRUTHS)))), x


def draw(prior: Prior, rng: Rng) -> Tensor:
    """Exact draws from a prior that is known in closed form, one for each seed."""
    if isinstance(prior, Magnitude):
        grey = draw(prior.inner, rng)
        return torch.cat([(grey + 1) / 2, prior.imaginary * rng.randn_like(grey)], 1)
    assert isinstance(prior, LowRankMixture)
    return prior.sample(rng)


def covered(spec: str, prior: Prior, like: xhat.Likelihood, x: Tensor) -> dict[str, object]:
    """Which share of all and of bright pixels lies between the least and the largest of the draws, truth by truth."""
    rng, begun = Rng(range(1000, 1000 + TRUTHS * DRAWS)), time.process_time()
    many = like.spread(DRAWS)
    try:
        z = solve(as_solver(spec), prior, many, rng)
    except (MismatchError, DivergedError) as e:
        return {"failed": str(e)}
    found, expected = many.misfit(z)
    z = z.reshape(TRUTHS, DRAWS, *x.shape[1:])
    inside = ((x >= z.amin(1)) & (x <= z.amax(1))).double().flatten(1)
    top = x[:, 0].flatten(1)  # of a complex image, whose truths are real but for noise, the real part
    bright = (top >= top.quantile(BRIGHT, 1, keepdim=True)).double()
    hit = inside[:, : top.shape[1]]
    error = (z - x[:, None]).square().flatten(1).mean(1).sqrt()
    return {
        "all": inside.mean(1).tolist(),
        "bright": ((hit * bright).sum(1) / bright.sum(1)).tolist(),
        "apart": float((z.std(1).square().flatten(1).mean(1).sqrt() * 2**0.5 / error).mean()),
        "residual": float((found / expected).mean()),
        "seconds": round(time.process_time() - begun, 1),
    }


def table(case: Case, rows: list[dict[str, object]]) -> str:
    """The table of one page, with 95 % intervals over truths."""
    out = [
        f"Prior `{case.prior}`, operator `{case.operator}` on {' x '.join(map(str, case.shape))}, noise "
        f"`{case.noise}`, {TRUTHS} truths drawn from the prior, {DRAWS} draws each.",
        "",
        "| sampler | held, % of all pixels | held, % of the bright ones | residual / expected | CPU s |",
        "|---|---|---|---|---|",
    ]
    for r in rows:
        if "failed" in r:
            why = str(r["failed"]).splitlines()[0].split(";")[0]
            out.append(f"| `{r['solver']}` | – | – | {why[:110]} | – |")
        else:
            both = f"{mean(r['all'])} | {mean(r['bright'])}"
            out.append(f"| `{r['solver']}` | {both} | {r['residual']:.2f} | {r['seconds']:.0f} |")
    return "\n".join(out)


def mean(shares: object) -> str:
    """The mean of shares in per cent, with its 95 % interval by Student's t."""
    m = interval([100 * float(v) for v in shares])  # type: ignore[attr-defined]
    return f"{m.value:.0f} ± {m.half or 0:.0f}"


if __name__ == "__main__":
    main()
