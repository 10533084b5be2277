"""The tables of docs/exactness.md, from the records of `xhat exact` and the published numbers.

    python -m benchmarks.exact_page

reads `exact.jsonl`, `exact_rates.jsonl` and `exact_published.toml` here.
"""

import math
import re
import tomllib
from pathlib import Path
from statistics import mean, median, stdev

import torch

from xhat.errors import XhatError
from xhat.exact.cell import canonical_solver, reference
from xhat.exact.mixture import MixturePosterior
from xhat.exact.problems import double
from xhat.exact.report import markdown
from xhat.exact.run import Results
from xhat.files.rows import Row

from .page import ROOT, fill

HERE = Path(__file__).parent
PAGE = ROOT / "docs" / "exactness.md"
SEEDS, HALF_RANGE_SEEDS = 20, 5  # measurements of the published tables
ITERATED = 400  # samples in the runs over iterations
SMALL = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
Table = dict[tuple[str, str], dict[int, float]]  # (problem, solver) to seed to sliced W1


def main() -> None:
    records = [row for row in Results(HERE / "exact.jsonl").rows.values() if current(row)]
    published = tomllib.loads((HERE / "exact_published.toml").read_text())
    scores: Table = {}
    for r in records:
        if r.get("sw1") is not None and (r["samples"] >= 1000 or "d=800" in r["problem"]):
            scores.setdefault((r["problem"], r["solver"]), {})[r["seed"]] = r["sw1"]
    for name, body in (
        ("reference", reference_table(published["reference"], scores)),
        ("thesis", thesis_table(published["thesis"], scores)),
        ("rates", rates_table(list(Results(HERE / "exact_rates.jsonl").rows.values()))),
        ("all", everything(records)),
    ):
        fill(PAGE, name, body)


def current(row: Row) -> bool:
    """Still a solver, with these options stated in full."""
    try:
        return canonical_solver(row["solver"]) == row["solver"]
    except XhatError:
        return False


def reference_table(published: dict, scores: Table) -> str:
    problems = [problem(cell) for cell in published["cells"]]
    lines = header(["method", ""], published["cells"])
    for row in published["rows"]:
        lines.append(line(row["method"], "ours", [interval(values(scores, p, row["ours"])) for p in problems]))
        if row.get("beta"):
            beta = [interval(values(scores, p + ",grid=beta", row["ours"])) for p in problems]
            lines.append(line("", "ours, β table", beta))
        lines.append(line("", "reference", row["published"]))
    return "\n".join(lines)


def thesis_table(published: dict, scores: Table) -> str:
    lines = header(["σ_y", "method", ""], published["cells"])
    for theirs in published["published"]:
        sigma = theirs["sigma"]
        problems = [problem(cell) + f",sigma={sigma}" for cell in published["cells"]]
        for ours in published["ours"]:
            found = [half_range(values(scores, p, ours["spec"], HALF_RANGE_SEEDS)) for p in problems]
            lines.append(line(sigma, ours["method"], "ours", found))
            if ours["method"] in theirs:
                lines.append(line("", "", "thesis", theirs[ours["method"]]))
        lines.append(line(sigma, "SMCDiffOpt", "thesis", theirs["SMCDiffOpt"]))
    return "\n".join(lines)


def rates_table(records: list[Row]) -> str:
    """Median SW1 as the particles of one population grow, and of chains as their iterations do."""
    found: dict[tuple[str, str, int], list[float]] = {}
    for r in records:
        found.setdefault((r["problem"], r["label"], r["samples"]), []).append(r["sw1"])
    sizes = sorted({n for _, _, n in found if n != ITERATED})
    lines = [line("particles", [f"{n:,}" for n in sizes]), "|---" + "|---:" * len(sizes) + "|"]
    for label in dict.fromkeys(label for _, label, n in found if n != ITERATED):
        lines.append(line(label, [f"{median(found['two', label, n]):.3f}" for n in sizes]))
    problems = list(dict.fromkeys(problem for problem, _, n in found if n == ITERATED))
    chains = dict.fromkeys(label for _, label, n in found if n == ITERATED)
    lines += ["", line("iterations", [f"`{p}`" for p in problems]), "|---" + "|---:" * len(problems) + "|"]
    for label in sorted(chains):
        scores = [found.get((p, label, ITERATED)) for p in problems]
        lines.append(line(label, [f"{median(v):.3f}" if v else "" for v in scores]))
    return "\n".join(lines)


def everything(records: list[Row]) -> str:
    def order(row: Row) -> tuple:
        p = row["problem"]
        numbers = [float(v) for v in re.findall(r"(?:d|m|sigma)=([\d.]+)", p)]
        return "mixture" not in p, "grid" in p, "sigma" in p, row["samples"] < 200, numbers, p, row["samples"]

    return markdown(sorted((r for r in records if r["status"] != "n/a"), key=order))


def problem(cell: str) -> str:
    d, m = cell.split(",")
    return f"mixture:d={d},m={m}"


def values(scores: Table, problem: str, spec: str, seeds: int = SEEDS) -> list[float]:
    if spec == "prior":
        return [prior_sample(problem, seed) for seed in range(seeds)]
    found = scores.get((problem, canonical_solver(spec)), {})
    return [v for seed, v in found.items() if seed < seeds]


def prior_sample(problem: str, seed: int) -> float:
    """What ignoring the data scores."""
    with double():
        ref = reference(problem, seed, 1000)
        p = ref.problem.prior
        draws = MixturePosterior(p.log_w, p.means, p.v * torch.eye(p.means.shape[1]))
        return ref.sampled(draws.sample(ref.n, torch.Generator().manual_seed(10_000 + seed)))["sw1"]


def interval(v: list[float]) -> str:
    """Mean ± 95 % (median), and how many where not all."""
    if len(v) < 2:
        return "–"
    few = "" if len(v) == SEEDS else f"₍{len(v)}₎".translate(SMALL)
    return f"{mean(v):.2f}±{1.96 * stdev(v) / math.sqrt(len(v)):.2f} ({median(v):.2f}){few}"


def half_range(v: list[float]) -> str:
    """Midpoint ± half-range (mean / median)."""
    if len(v) < 2:
        return "–"
    return f"{(max(v) + min(v)) / 2:.2f}±{(max(v) - min(v)) / 2:.2f} ({mean(v):.2f} / {median(v):.2f})"


def header(names: list[str], cells: list[str]) -> list[str]:
    return [line(*names, [f"({c})" for c in cells]), "|---" * len(names) + "|---:" * len(cells) + "|"]


def line(*parts: str | list[str]) -> str:
    return "| " + " | ".join(p if isinstance(p, str) else " | ".join(p) for p in parts) + " |"


if __name__ == "__main__":
    main()
