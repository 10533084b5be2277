"""`xhat exact --sbc`: calibration of samplers, with a table and a figure of the histograms."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ..errors import SpecError
from ..files.folder import check_folder, check_free, undone
from ..files.markup import markdown as md
from ..files.rows import Row, Rows, begun
from ..files.writing import atomic
from ..notes import tell
from ..numerics.build_dtype import double_by_default
from ..solvers import SOLVERS
from ..spec import build
from ..task.account import failure
from .calibration import BINS, DRAWS, RANKED, Joint, histogram, shape, uniformity
from .cell import FLOOR, Cell, canonical_problem, canonical_solver, check_cost, stamp
from .cell import stale as is_stale
from .grid import SHORT
from .problems import PROBLEMS
from .verdict import WORST

GEOMETRIES = 4  # operators among which the problems are divided
MEASUREMENTS = 400
ALONE = ("two", "mixture:d=8,m=2", "grf:side=8")  # the problems, if none is named
REFERENCE = "tmpd:steps=1000"  # moment matching with the true covariance, exact on a Gaussian prior

Key = tuple[str, str, int]


@dataclass(frozen=True)
class Trial:
    """One solver on one kind of problem: the key of its row."""

    problem: str
    solver: str
    measurements: int = MEASUREMENTS

    @property
    def key(self) -> Key:
        """(problem, solver with all options stated, number of measurements)."""
        return canonical_problem(self.problem)[0], canonical_solver(self.solver), self.measurements


@lru_cache(None)
def made(problem: str, solver: str) -> dict[str, str]:
    """What decides a row besides its key."""
    return stamp(problem, solver, Joint)


def key(row: Row) -> Key:
    """The key of the trial from which `row` comes."""
    return row["problem"], row["solver"], row["measurements"]


def trials(problems: Sequence[str], solvers: Sequence[str], measurements: int | None) -> list[Trial]:
    """What is to be computed. Raises SpecError for an unknown problem or solver, and for too few measurements."""
    n = measurements or MEASUREMENTS
    if n < 5 * BINS or n % GEOMETRIES:
        raise SpecError(f"seeds must be a multiple of {GEOMETRIES} and at least {5 * BINS} with --sbc, not {n}")
    for p in problems:
        build(p, PROBLEMS)
    known = [s for s in SHORT if s == FLOOR or build(s, SOLVERS).returns == "sample"]
    found = [Trial(p, s, n) for p in problems or ALONE for s in solvers or known]
    if not solvers:
        found += [Trial(p, REFERENCE, n) for p in problems or ALONE if p.startswith("grf")]
    for trial in found:
        if trial.solver != FLOOR and build(trial.solver, SOLVERS).returns != "sample":
            raise SpecError(f"{trial.solver} claims one best image, so there is no sampler to calibrate")
    return found


def evaluate(trial: Trial) -> dict[str, Any]:
    """The row of `trial`: a histogram of the ranks in each respect, and its p-value.

    A solver that does not fit, diverges or breaks gives a row as well, with another `status` and the message.
    """
    problem, solver, n = trial.key
    row: dict[str, Any] = {"problem": problem, "label": trial.solver, "solver": solver, "measurements": n}
    row |= {"geometries": GEOMETRIES, "draws": DRAWS, "made": made(problem, solver)}
    began = time.perf_counter()
    with double_by_default():
        try:
            found = [ranks_of(trial, seed, n // GEOMETRIES) for seed in range(GEOMETRIES)]
        except Exception as e:
            status, text = failure(e)
            return row | {"status": status, "error": text}
    counts = {k: histogram(torch.cat([f[k] for f in found])) for k in found[0]}
    scores = {
        k: {"p": uniformity(c), **dict(zip(("mean", "spread"), shape(c), strict=True))} for k, c in counts.items()
    }
    return row | {"status": "ok", "seconds": time.perf_counter() - began, "counts": counts, "scores": scores}


def ranks_of(trial: Trial, seed: int, n: int) -> dict[str, torch.Tensor]:
    """The ranks in `n` problems with the operator that belongs to `seed`."""
    recipe = build(trial.problem, PROBLEMS)
    joint = Joint(recipe.problem(seed), n, seed)
    draws = joint.exact() if trial.solver == FLOOR else joint.draws(build(trial.solver, SOLVERS))
    return joint.ranks(draws)


def calibrate(found: Sequence[Trial], out: Path, quiet: bool = False) -> list[str]:
    """Computes the missing rows and returns the names of the files that were written to the folder `out`."""
    check_folder(out)
    check_free(out, ("sbc.jsonl", "sbc.md", "sbc_*.png"), ours=lambda: begun(out / "sbc.jsonl", key))
    wanted = {t.key: t for t in found}
    with undone(out, ["sbc.jsonl"]):
        results: Rows[Key] = Rows(out / "sbc.jsonl", key)
        stale = {k for k in wanted if k in results.rows and is_stale(results.rows[k], made(*k[:2]))}
        due = [k for k in wanted if k in results.missing(wanted) | stale]
        check_cost([c for k in due for c in cells_of(wanted[k])], 1)
    if stale:
        text = f"{len(stale)} rows of {results.path} are of other code, versions or processor; they are computed again"
        tell(text)
    for k in due:
        results.add(evaluate(wanted[k]))
        row = results.rows[k]
        if not quiet:
            print(f"{row['problem']}  {row['label']}: {verdict(row)}", flush=True)
    rows = [results.rows[k] for k in wanted]
    atomic(out / "sbc.md", lambda file: file.write_text("\n".join(tables(rows)), encoding="utf-8"))
    written = ["sbc.jsonl", "sbc.md"]
    for problem in dict.fromkeys(r["problem"] for r in rows):
        name = f"sbc_{problem.replace(':', '_').replace(',', '_').replace('=', '')}.png"
        try:
            plot([r for r in rows if r["problem"] == problem], out / name)
            written.append(name)
        except ImportError as e:
            tell(f"{out / name} not written, {e.name} is missing")
    return written


def cells_of(trial: Trial) -> list[Cell]:
    """What costs as much as `trial`: its draws for each operator."""
    samples = trial.measurements // GEOMETRIES * DRAWS
    return [Cell(trial.problem, trial.solver, seed, samples) for seed in range(GEOMETRIES)]


def verdict(row: Row) -> str:
    """What the histograms say, in words; p-values are multiplied by the number of histograms."""
    if row["status"] != "ok":
        return f"{row['status']}: {row['error'].partition('. ')[0]}"
    worst = {k: min(1.0, s["p"] * len(row["scores"])) for k, s in row["scores"].items()}
    bad = [f"{k} {word(row['scores'][k])}" for k, p in worst.items() if p < WORST]
    return f"not calibrated: {', '.join(bad)}" if bad else f"uniform (p {min(worst.values()):.2f} after correction)"


def word(score: dict[str, float]) -> str:
    """What is wrong with a histogram, in a word or two."""
    # a mean of n ranks has the error 1/√(12 n), and their variance, over that of the uniform law, √(0.8/n)
    if abs(score["spread"] - 1) / 0.8**0.5 > abs(score["mean"] - 0.5) * 12**0.5:
        return "too narrow" if score["spread"] > 1 else "too wide"
    return "draws too high" if score["mean"] < 0.5 else "draws too low"


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """One Markdown table for each problem, line by line."""
    for problem in dict.fromkeys(r["problem"] for r in rows):
        yield from (f"### {md(problem)}", "", "| sampler | " + " | ".join(RANKED) + " | verdict |")
        yield "|---" + "|---:" * len(RANKED) + "|---|"
        for r in (r for r in rows if r["problem"] == problem and r["status"] != "n/a"):
            scores = r.get("scores", {})
            ps = [said(scores[k]["p"]) if k in scores else "–" for k in RANKED]
            yield f"| {md(r['label'])} | {' | '.join(ps)} | {md(verdict(r))} |"
        yield ""


def said(p: float) -> str:
    """A p-value with two digits, or that it is smaller than a thousandth."""
    return f"{p:.2g}" if p >= 1e-3 else "< 0.001"


def plot(rows: Sequence[Row], path: Path) -> None:
    """The histograms of one problem: a row for each sampler, a column for each respect.

    The grey band holds 99 % of the bins of a uniform law.
    """
    from matplotlib.figure import Figure

    shown = [r for r in rows if r["status"] == "ok"]
    if not shown:
        return
    figure = Figure(figsize=(9, 0.75 * len(shown) + 0.6), layout="constrained")
    axes = figure.subplots(len(shown), len(RANKED), squeeze=False, sharex=True)
    for line, row in zip(axes, shown, strict=True):
        mean = row["measurements"] / BINS
        half = 2.576 * (mean * (1 - 1 / BINS)) ** 0.5
        for panel, name in zip(line, RANKED, strict=True):
            panel.set(xticks=[], yticks=[], ylim=(0, 3 * mean))
            panel.axhspan(mean - half, mean + half, color="0.85")
            if name in row["counts"]:
                bad = row["scores"][name]["p"] * len(row["scores"]) < WORST
                panel.bar(range(BINS), row["counts"][name], width=1, color="tab:red" if bad else "tab:blue")
        line[0].set_ylabel(row["label"], rotation=0, ha="right", va="center", fontsize=8, parse_math=False)
    for panel, name in zip(axes[0], RANKED, strict=True):
        panel.set_title(name, fontsize=9)
    atomic(path, lambda file: figure.savefig(file, dpi=110, format="png"))
