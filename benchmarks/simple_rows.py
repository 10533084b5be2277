"""The rows behind `benchmarks.simple`: one for each picture, task and method, computed once and kept."""

import hashlib
import json
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from xhat.errors import DivergedError
from xhat.exact.cell import CODE
from xhat.files.rows import Row, Rows
from xhat.likelihoods import Likelihood, likelihood
from xhat.loop import solve
from xhat.metrics.perceptual import stlpips
from xhat.metrics.pixels import psnr, ssim
from xhat.noise import NOISES
from xhat.numerics.calls import Calls, counting
from xhat.operators import OPERATORS
from xhat.priors import PRIORS, Prior
from xhat.rng import Rng
from xhat.schedule import Level
from xhat.solvers import SOLVERS
from xhat.spec import build
from xhat.task.checkpoint import digest

from . import simple_calls
from .simple_calls import LEVELS, library, seen

NOISE = "gaussian:sigma=0.05"
TASKS = {
    "noise 13": ("denoise", "gaussian:sigma=0.1"),
    "SR x4": ("super_resolution", NOISE),
    "box": ("inpaint:mask=box", NOISE),
    "random 70 %": ("inpaint:keep=0.3", NOISE),
    "Gaussian": ("gaussian_blur", NOISE),
    "motion": ("motion_blur:seed=1", NOISE),
    "phase": ("phase_retrieval", NOISE),
    "non-linear": ("nonlinear_blur", NOISE),
    "HDR": ("hdr", NOISE),
    "JPEG 10": ("jpeg:quality=10", "noiseless"),
    "2 bit": ("quantize:bits=2", "noiseless"),
}
MEASURED = "the measurement"
FILLED = ("SR x4", "box", "random 70 %")  # where the one call of the prior starts from the library's picture
METRICS = {"psnr": psnr, "ssim": ssim, "stlpips": stlpips}

Key = tuple[str, str, str]
Cost = tuple[Calls, float]  # of all pictures together, with the seconds


def key(row: Row) -> Key:
    """Which task, method and picture a row is of."""
    return row["task"], row["method"], row["picture"]


def is_plain(method: str) -> bool:
    """Whether a row is one that needs no solver."""
    return method.startswith(("library ", "prior ")) or method == MEASURED


class Table:
    """The rows in `file` of the pictures `truth` (n, 3, size, size), under the prior `photo` as it is now."""

    def __init__(self, file: Path, truth: Tensor) -> None:
        self.rows: Rows[Key] = Rows(file, key)
        self.truth, self.prior = truth, build("photo", PRIORS)
        self.pictures = [digest([x]) for x in truth]
        self.weights = digest(self.prior.state_dict().values())

    def under(self, method: str) -> str:
        """The weights that a row of `method` depends on, none for what asks no prior."""
        return "" if method == MEASURED or method.startswith("library ") else self.weights

    def of(self, task: str, method: str) -> list[Row]:
        """The rows of a method under the present weights, in the order of the pictures."""
        rows = [self.rows.rows.get((task, method, p)) for p in self.pictures]
        return [r for r in rows if r is not None and r["weights"] == self.under(method)]

    def missing(self, task: str, method: str, code: str, first: int) -> list[int]:
        """Which of the `first` pictures have no row of this code and of the present weights."""
        done = {r["picture"] for r in self.of(task, method) if r["code"] == code}
        return [i for i, p in enumerate(self.pictures[:first]) if p not in done]

    def add(self, task: str, method: str, code: str, those: list[int], x: Tensor | None, cost: Cost) -> None:
        """Keeps what `method` made of `those` pictures, `x` or None if it failed, at a cost divided among them."""
        n, (calls, seconds) = len(those), cost
        scores = {} if x is None else {k: f(x, self.truth[those]).tolist() for k, f in METRICS.items()}
        for j, i in enumerate(those):
            row = {"task": task, "method": method, "picture": self.pictures[i], "code": code}
            row |= {"weights": self.under(method)}
            row |= {k: round(v[j], 4) for k, v in scores.items()} or dict.fromkeys(METRICS)
            row |= {"forwards": calls.forwards / n, "backwards": calls.backwards / n, "seconds": round(seconds / n, 3)}
            self.rows.add(row)

    def kept(self, methods: Iterable[str]) -> None:
        """Leaves in the file the last row of each of these methods, and of those that need no solver."""
        wanted = set(methods)
        rows = [r for k, r in self.rows.rows.items() if k[1] in wanted or is_plain(k[1])]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        self.rows.path.write_text(text, encoding="utf-8")

    def problem(self, task: str) -> Likelihood:
        """The measurements of all pictures."""
        operator, noise = TASKS[task]
        A, model = build(operator, OPERATORS, tuple(self.truth.shape[1:])), build(noise, NOISES)
        return likelihood(A, model, model.sample(A(self.truth), Rng(range(100, 100 + len(self.truth)))))

    def plain(self, task: str) -> None:
        """Measures what needs no solver: the measurement, each of the library's calls, the prior at each level.

        The prior starts from the picture of the library's call that is best in the mean, or from the measurement.
        """
        like = self.problem(task)
        code = CODE.fingerprint(like.A, like.noise)
        code += hashlib.sha256(Path(simple_calls.__file__).read_bytes()).hexdigest()[:8]
        everything = list(range(len(self.truth)))
        last = (MEASURED, f"prior {LEVELS[-1]}")
        if task == "phase" or not any(self.missing(task, m, code, len(everything)) for m in last):
            return  # a hologram is no picture, and no library's call makes one of it
        start = seen(task, like, self.truth.shape[-1])
        began, nothing, begin, top = time.perf_counter(), Calls(), start, -1.0
        for i, x in enumerate(library(task, like, start)):
            self.add(task, f"library {i}", code, everything, x, (nothing, time.perf_counter() - began))
            score, began = float(psnr(x, self.truth).mean()), time.perf_counter()
            if task in FILLED and score > top:
                begin, top = x, score
        for rho in LEVELS:
            began = time.perf_counter()
            x = self.prior(begin, Level(0.5, 1.0, rho))
            cost = Calls(forwards=len(everything))
            self.add(task, f"prior {rho}", code, everything, x, (cost, time.perf_counter() - began))
        self.add(task, MEASURED, code, everything, start, (nothing, 0.0))  # the last: all of them are there

    def solved(self, task: str, spec: str, first: int) -> None:
        """Measures the solver `spec` on the `first` pictures, five at a time, where it takes the task."""
        solver, like = build(spec, SOLVERS), self.problem(task)
        if solver.mismatch(self.prior, like) is not None:
            return
        code = CODE.fingerprint(solve, solver, like.A, like.noise, self.prior, self.prior.schedule)
        left = self.missing(task, spec, code, first)
        for those in (left[i : i + 5] for i in range(0, len(left), 5)):
            began = time.perf_counter()
            with counting() as calls:
                x = attempt(spec, self.prior, like.take(torch.tensor(those)), those)
            self.add(task, spec, code, those, x, (calls, time.perf_counter() - began))
        if left:
            rows = [r["psnr"] for r in self.of(task, spec)]
            print(task, spec, "failed" if None in rows else f"{sum(rows) / len(rows):.2f} dB", flush=True)


def attempt(spec: str, prior: Prior, like: Likelihood, seeds: list[int]) -> Tensor | None:
    """What the solver makes of the measurements, (b, 3, h, w); None if it diverges."""
    try:
        return solve(build(spec, SOLVERS), prior, like, Rng(seeds))
    except DivergedError as e:
        print(spec, e)
        return None
