"""xhat beside DeepInverse and azula: the same measurement, the same network, the same number of steps.

    pip install 'xhat[peers]'
    OMP_NUM_THREADS=1 python -m benchmarks.peers peers.json --page docs/peers.md
    OMP_NUM_THREADS=1 python -m benchmarks.peers --quick        # one method, one problem, in a minute; fills no page

Goes on where it was interrupted, and refuses a file that other versions began. Every method runs as its library ships
it, with its own hyper-parameters and levels; only the number of steps is set, and the highest level where it can be.
Seconds are those of the processor, of one thread. Needs Linux.
"""

import argparse
import ctypes
import gc
import json
import math
import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xhat.files.photographs import photographs
from xhat.likelihoods import likelihood
from xhat.loop import solve
from xhat.noise import Gaussian
from xhat.operators import OPERATORS
from xhat.operators.base import LinearOperator
from xhat.priors import PowerLaw, Prior, build_prior
from xhat.rng import Rng
from xhat.schedule import Level
from xhat.solvers import SOLVERS
from xhat.spec import build

from .page import fill
from .peers_features import features

SIGMA, SIZE, DRAWS = 0.05, 64, 20
TOP = 3.0  # the highest ρ that the network was trained on, where a library lets one choose its levels
TASKS = {
    "7 of 10 pixels lost": "inpaint:keep=0.3",
    "blur": "gaussian_blur:std=1.5",
    "4 times smaller": "super_resolution",
}
STEPS = {"DPS": 50, "DiffPIR": 20, "PiGDM": 20, "MMPS": 20, "DDRM": 20, "LMAPS": 20}
PEERS = ("xhat", "deepinv", "azula")


class Counted(nn.Module):
    """The prior as a function of image and noise level ρ = σ/α, which counts how often an image goes through it."""

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.prior, self.calls = prior, 0

    def clean(self, x: Tensor, rho: Tensor | float) -> Tensor:
        """E[x₀ given x₀ + ρ ε = x], in [−1, 1]."""
        self.calls += 1
        level = Level(0.5, 1.0, float(torch.as_tensor(rho).reshape(-1)[0]))
        if level.sigma == 0:
            return x
        return self.prior(x.to(torch.float32), level).to(x.dtype)


def ours(method: str, net: Counted, A: LinearOperator, y: Tensor, seed: int) -> Tensor:
    """A restoration by xhat."""
    solver = build(f"{method.lower()}:steps={STEPS[method]}", SOLVERS)
    forward = net.prior.forward

    def counted(*args: Any) -> Tensor:
        net.calls += 1
        return forward(*args)

    net.prior.forward = counted  # type: ignore[method-assign]
    try:
        rng = Rng([seed * 1000 + i for i in range(len(y))])
        return solve(solver, net.prior, likelihood(A, Gaussian(SIGMA), y), rng)
    finally:
        del net.prior.forward


def deepinv(method: str, net: Counted, A: LinearOperator, y: Tensor, seed: int) -> Tensor | None:
    """A restoration by DeepInverse, whose images lie in [0, 1]; None if it has no such method for such an operator."""
    import deepinv as dinv

    class Unit(dinv.models.Denoiser):  # type: ignore[misc]
        def forward(self, x: Tensor, sigma: Any, **_: Any) -> Tensor:
            return net.clean(2 * x - 1, 2 * torch.as_tensor(sigma)) / 2 + 0.5

    ones = torch.ones(1, *A.shape)
    unit = (y + A(ones)) / 2  # of images in [0, 1], with half the noise
    noise = dinv.physics.GaussianNoise(SIGMA / 2)
    if type(A).__name__ == "Inpaint":
        physics = dinv.physics.Inpainting(img_size=tuple(A.shape), mask=A(ones)[0], noise_model=noise)
    else:
        physics = dinv.physics.LinearPhysics(
            A=lambda x, **_: A(x), A_adjoint=lambda v, **_: A.adjoint(v), noise_model=noise
        )
    steps, shape = STEPS[method], (len(y), *A.shape)
    torch.manual_seed(seed)
    if method == "DiffPIR":
        model = dinv.sampling.DiffPIR(Unit(), dinv.optim.data_fidelity.L2(), sigma=SIGMA / 2, max_iter=steps)
        return 2 * model(unit, physics) - 1
    if method == "DDRM" and isinstance(physics, dinv.physics.DecomposablePhysics):
        import numpy as np

        return 2 * dinv.sampling.DDRM(Unit(), sigmas=np.linspace(1, 0, steps))(unit, physics) - 1
    guided = {
        "DPS": lambda q: dinv.sampling.DPSDataFidelity(q, clip=[-1.0, 1.0]),  # as their class DPS makes it
        "PiGDM": dinv.sampling.PiGDMDataFidelity,
        "MMPS": dinv.sampling.MomentMatchingDataFidelity,
    }
    if method not in guided:
        return None
    low = 0.1  # β at the end; that at the start is such that ρ = TOP there: ρ² + 1 = exp(mean of β)
    high = 2 * math.log(TOP**2 + 1) - low
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    model = dinv.sampling.PosteriorDiffusion(
        data_fidelity=guided[method](Unit()),
        denoiser=Unit(),
        sde=dinv.sampling.VariancePreservingDiffusion(low, high, alpha=1.0, dtype=torch.float64),
        solver=dinv.sampling.DDPMSolver(timesteps=times, rng=torch.Generator().manual_seed(seed)),
        dtype=torch.float64,
    )
    return 2 * model(unit, physics, x_init=shape, seed=seed).float() - 1


def azula(method: str, net: Counted, A: LinearOperator, y: Tensor, seed: int) -> Tensor | None:
    """A restoration by azula, whose levels are those of its VPSchedule; None if it has no such method."""
    from azula.denoise import Denoiser, DiracPosterior
    from azula.guidance.diffpir import DiffPIRDenoiser
    from azula.guidance.dps import DPSSampler
    from azula.guidance.mmps import MMPSDenoiser
    from azula.guidance.pgdm import PGDMSampler
    from azula.linalg.covariance import IsotropicCovariance
    from azula.noise import VPSchedule
    from azula.sample import DDPMSampler

    class Plain(Denoiser):  # type: ignore[misc]
        schedule = VPSchedule(alpha_min=(TOP**2 + 1) ** -0.5, sigma_min=0.03)

        def forward(self, x: Tensor, t: Tensor, **_: Any) -> DiracPosterior:
            alpha, sigma = self.schedule(t)
            return DiracPosterior(mean=net.clean(x / alpha, sigma / alpha))

    how: dict[str, Any] = {"steps": STEPS[method], "silent": True}
    torch.manual_seed(seed)
    q = Plain()
    if method == "DPS":
        sampler = DPSSampler(q, y, A, **how)
    elif method == "PiGDM":
        sampler = PGDMSampler(q, y, A, A.pinv, eta=1.0, **how)
    elif method == "DiffPIR":
        sampler = DDPMSampler(DiffPIRDenoiser(q, y, A, var_y=SIGMA**2), **how)
    elif method == "MMPS":
        sampler = DDPMSampler(MMPSDenoiser(q, y, A, cov_y=IsotropicCovariance(torch.tensor(SIGMA**2))), **how)
    else:
        return None
    return sampler(sampler.init((len(y), *A.shape)))


RUNS: dict[str, Callable[..., Tensor | None]] = {"xhat": ours, "deepinv": deepinv, "azula": azula}


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Seconds of the processor, and the peak of the memory above what was in use before, in MB."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed before does not hide what is taken now
    statm, page, out, done = Path("/proc/self/statm"), 4096, {"memory": 0.0}, threading.Event()
    before = int(statm.read_text().split()[1])

    def look() -> None:
        while not done.wait(0.02):
            now = int(statm.read_text().split()[1])
            out["memory"] = max(out["memory"], (now - before) * page / 1e6)

    thread = threading.Thread(target=look)
    thread.start()
    began = time.process_time()
    try:
        yield out
    finally:
        out["seconds"] = time.process_time() - began
        done.set()
        thread.join()


def pictures(peer: str, method: str, task: str, prior: Prior, truth: Tensor) -> dict[str, Any] | None:
    """One cell on photographs: PSNR of each, calls, seconds and memory of all; None where the method is missing."""
    A = build(TASKS[task], OPERATORS, tuple(truth.shape[1:]))
    y = Gaussian(SIGMA).sample(A(truth), Rng(range(len(truth))))
    net = Counted(prior)
    with watched() as cost:
        x = RUNS[peer](method, net, A, y, 1)
    if x is None:
        return None
    mse = (x.clamp(-1, 1) - truth).square().flatten(1).mean(1)
    psnr = (10 * torch.log10(4 / mse)).tolist()
    return {"psnr": psnr, "calls": net.calls, "seconds": cost["seconds"] / len(truth), "memory": cost["memory"]}


def mixing(peer: str, method: str, prior: Prior, truth: Tensor) -> float | None:
    """How far, in grey levels of 255, the first image of a batch moves when the second is replaced by another one."""
    small = truth[:, :, 32:64, 32:64].contiguous()
    A = build(TASKS["7 of 10 pixels lost"], OPERATORS, tuple(small.shape[1:]))
    y = Gaussian(SIGMA).sample(A(small), Rng(range(len(small))))
    one, two = (RUNS[peer](method, Counted(prior), A, y[[0, k]], 1) for k in (1, 3))
    return None if one is None or two is None else float((one[0] - two[0]).abs().max()) * 127.5


def calibration(peer: str, method: str) -> dict[str, float] | None:
    """Samples of a posterior known in closed form: their mean and their spread in units of its own spread."""
    prior, shape = PowerLaw(std=0.3), (1, 12, 12)
    A = build("inpaint:keep=0.5", OPERATORS, shape)
    n = 144
    eye = torch.eye(n, dtype=torch.float64).reshape(n, *shape)
    M = prior(eye, Level(0.5, 1.0, 1.0)).reshape(n, n) - prior(torch.zeros_like(eye), Level(0.5, 1.0, 1.0)).reshape(
        n, n
    )
    C = torch.linalg.solve(torch.eye(n, dtype=torch.float64) - M, M)  # D = C (C + I)⁻¹
    H = A(eye.float()).double().reshape(n, -1).T
    S = torch.linalg.inv(torch.linalg.inv(C) + H.T @ H / SIGMA**2)
    truth = prior.sample(torch.randn(1, *shape, generator=torch.Generator().manual_seed(5)))
    y = Gaussian(SIGMA).sample(A(truth), Rng([7]))
    mean = S @ H.T @ y.double().flatten() / SIGMA**2
    draws = []
    for seed in range(DRAWS):  # one image at a time, so that no library is blamed for mixing a batch
        x = RUNS[peer](method, Counted(prior), A, y, seed + 1)
        if x is None:
            return None
        draws.append(x.double().flatten())
    x, std = torch.stack(draws), S.diagonal().sqrt()
    return {"mean": float(((x.mean(0) - mean) / std).square().mean().sqrt()), "spread": float((x.std(0) / std).mean())}


def measured(file: Path | None, methods: Sequence[str], tasks: Sequence[str]) -> dict[str, Any]:
    """All cells of `methods` and `tasks`, those that `file` has already as they are; it is written after each."""
    out: dict[str, Any] = json.loads(file.read_text()) if file and file.exists() else {}
    versions = {p: version(p) for p in (*PEERS, "torch")}
    if any(out.get("facts", versions)[p] != v for p, v in versions.items()):
        raise SystemExit(f"{file} was begun by {out['facts']}, here is {versions}: give the name of a new file")
    truth = photographs(SIZE)
    prior = build_prior("photo:dtype=float32", "cpu")
    for peer in PEERS:  # what a library loads when it is first used counts for none of its methods
        mixing(peer, "DiffPIR", prior, truth)
    jobs: list[tuple[str, Callable[[], Any]]] = []
    for method, peer in [(m, p) for m in methods for p in PEERS if m != "LMAPS" or p == "xhat"]:
        for task in tasks:
            jobs.append((f"{task}/{method}/{peer}", partial(pictures, peer, method, task, prior, truth)))
        jobs.append((f"mixing/{method}/{peer}", partial(mixing, peer, method, prior, truth)))
        if method != "LMAPS":  # a point estimator
            jobs.append((f"calibration/{method}/{peer}", partial(calibration, peer, method)))
    jobs.sort(key=lambda job: job[0].startswith("calibration"))
    for key, job in jobs:
        if key not in out:
            out[key] = job()
            print(key, out[key], flush=True)
            facts = {"date": str(date.today()), "processor": platform.machine(), "python": platform.python_version()}
            out["facts"] = facts | versions
            if file:
                file.write_text(json.dumps(out, indent=1) + "\n")
    return out


def tables(found: dict[str, Any]) -> str:
    """The numbers as Markdown."""
    facts = found["facts"]
    lines = [
        f"xhat {facts['xhat']}, deepinv {facts['deepinv']}, azula {facts['azula']}; torch {facts['torch']}, Python "
        f"{facts['python']}, one thread of a {facts['processor']} processor, {facts['date']}.",
        "",
        f"| method, steps | library | {' | '.join(f'{t}, dB' for t in TASKS)} | calls | seconds | MB |",
        "|---|---|" + "---:|" * (len(TASKS) + 3),
    ]
    for method, steps in STEPS.items():
        for peer in PEERS:
            cells = [found.get(f"{t}/{method}/{peer}") for t in TASKS]
            done = [c for c in cells if c]
            if not done:
                continue
            psnr = [f"{sum(c['psnr']) / len(c['psnr']):.2f}" if c else "–" for c in cells]
            cost = [
                f"{sum(c[k] for c in done) / len(done):.{d}f}" for k, d in (("calls", 0), ("seconds", 1), ("memory", 0))
            ]
            lines.append(f"| {method}, {steps} | {peer} | {' | '.join([*psnr, *cost])} |")
    lines += [
        "",
        "| method | library | another image in the batch moves this one by | error of the mean | spread |",
        "|---|---|---:|---:|---:|",
    ]
    for method in STEPS:
        for peer in PEERS:
            moved, fit = found.get(f"mixing/{method}/{peer}"), found.get(f"calibration/{method}/{peer}")
            if moved is None:
                continue
            exact = [f"{fit['mean']:.2f}", f"{fit['spread']:.2f}"] if fit else ["–", "–"]
            lines.append(f"| {method} | {peer} | {moved:.2g} of 255 | {' | '.join(exact)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures what is missing and writes the page."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("file", type=Path, nargs="?", help="the JSON file of the numbers")
    p.add_argument("--quick", action="store_true", help="try one method on one problem, and print")
    p.add_argument("--page", type=Path, default=Path("docs/peers.md"), help="the page whose table is filled")
    args = p.parse_args()
    torch.set_num_threads(1)
    if args.quick:
        print("\n".join([tables(measured(None, ["DiffPIR"], list(TASKS)[:1])), "", *features()]))
        return
    if args.file is None:
        p.error("the JSON file of the numbers is missing; --quick needs none")
    fill(args.page, "peers", tables(measured(args.file, list(STEPS), list(TASKS))))
    fill(args.page, "features", "\n".join(features()))


if __name__ == "__main__":
    main()
