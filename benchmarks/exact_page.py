"""The tables of docs/exactness.md, from the records of `exact_run` and the published numbers.

    python -m benchmarks.exact_page

reads `exact.jsonl`, `exact_published.toml` and `exact_reasons.toml` here.
"""

import math
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, median, stdev

import torch

from xhat.errors import XhatError
from xhat.exact.cell import FLOOR, canonical_solver, made, reference
from xhat.exact.cell import stale as is_stale
from xhat.exact.grid import LONG, SHORT, others
from xhat.exact.mixture import MixturePosterior
from xhat.exact.report import markdown
from xhat.exact.run import Results
from xhat.exact.sbc import REFERENCE
from xhat.exact.verdict import verdict
from xhat.files.rows import Row
from xhat.numerics.build_dtype import double_by_default
from xhat.solvers import SOLVERS
from xhat.spec import build

from .exact_run import BUDGETS, COSTS, EQUAL, FILE, SIZES, limits, rates, with_
from .page import ROOT, fill

HERE = Path(__file__).parent
PAGE = ROOT / "docs" / "exactness.md"
MOST = 3  # measurements of the prior sample
SMALL = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
GROUPS = {
    "two modes, d = 2": re.compile(r"two$"),
    "25 modes, d = 8": re.compile(r"mixture:d=8,m=\d$"),
    "25 modes, d = 80": re.compile(r"mixture:d=80,m=\d$"),
    "field, one mode": re.compile(r"grf:side=16$"),
    "funnels": re.compile(r"funnel$"),
}
Rows = list[Row]


def main() -> None:
    rows = [row for row in Results(FILE).rows.values() if current(row)]
    published = tomllib.loads((HERE / "exact_published.toml").read_text())
    reasons = tomllib.loads((HERE / "exact_reasons.toml").read_text())
    for name, body in (
        ("verdicts", verdicts(rows, reasons)),
        ("elsewhere", elsewhere(rows, reasons)),
        ("points", points(rows)),
        ("budgets", budgets(rows)),
        ("limit", limit(rows)),
        ("rates", rates_table(rows)),
        ("reference", reference_table(published["reference"], rows)),
        ("made", how_made(rows)),
        ("all", everything(rows)),
    ):
        fill(PAGE, name, body)


def current(row: Row) -> bool:
    """Still a solver, with these options stated in full."""
    try:
        return canonical_solver(row["solver"]) == row["solver"]
    except XhatError:
        return False


def of(rows: Rows, spec: str) -> Rows:
    """The rows of a solver."""
    return [r for r in rows if r["solver"] == canonical_solver(spec)]


def ratio(rows: Rows, floors: dict[tuple[str, int, int], float]) -> float | None:
    """The median of SW1 over that of exact samples of the same problem."""
    keys = ((r, (r["problem"], r["seed"], r["samples"])) for r in rows if r.get("sw1") is not None)
    found = [r["sw1"] / floors[key] for r, key in keys if key in floors]
    return median(found) if found else None


def times(v: float | None) -> str:
    return "–" if v is None else f"{v:.1f}×" if v < 9.95 else f"{v:.0f}×"


def verdicts(rows: Rows, reasons: dict[str, str]) -> str:
    """For each sampler and kind of problem: how many floors it is away, and what it fails."""
    floors = {(r["problem"], r["seed"], r["samples"]): r["sw1"] for r in of(rows, FLOOR)}
    named = samplers()
    lines = [line("sampler", [*GROUPS], "why"), "|---" * (len(GROUPS) + 2) + "|"]
    for spec in named:
        texts = []
        for pattern in GROUPS.values():
            found = [r for r in of(rows, spec) if pattern.match(r["problem"]) and r["status"] != "n/a"]
            texts.append(told(found, floors) if found else "")
        if any(texts):
            lines.append(line(f"`{spec}`", texts, reasons[spec.partition(":")[0]]))
    return "\n".join(lines)


def samplers() -> list[str]:
    """All settings of samplers, exact samples first."""
    return [s for s in SHORT + LONG + others() if s == FLOOR or build(s, SOLVERS).returns == "sample"]


def told(rows: Rows, floors: dict[tuple[str, int, int], float]) -> str:
    """How many floors away, and what fails; or in how many runs there was nothing to judge."""
    bad = sum("sw1" not in r for r in rows)
    return f"diverged in {bad} of {len(rows)} runs" if bad else f"{times(ratio(rows, floors))} {verdict(rows)}"


def elsewhere(rows: Rows, reasons: dict[str, str]) -> str:
    """The samplers that no problem here fits, and why."""
    lines = [line("sampler", "why"), "|---|---|"]
    for spec in samplers():
        if (found := of(rows, spec)) and all(r["status"] == "n/a" for r in found):
            lines.append(line(f"`{spec}`", reasons[spec.partition(":")[0]]))
    return "\n".join(lines)


def points(rows: Rows) -> str:
    """For each point estimator: how far from what, and how often in the highest mode."""
    named = dict.fromkeys(r["label"] for r in rows if r.get("returns") == "point")
    lines = [line("estimator", "problem", ["to the posterior mean", "to the local MAP", "to the global MAP"])]
    lines[0] += " in the global mode | χ² | calls |"
    lines += ["|---|---" + "|---:" * 6 + "|"]
    for label in named:
        for name, pattern in GROUPS.items():
            found = [r for r in rows if r["label"] == label and pattern.match(r["problem"]) and "to_mean" in r]
            if found:
                typical = lambda k, found=found: median([r[k] for r in found if r.get(k) is not None] or [math.nan])
                cells = [f"{typical(k):.2f}" for k in ("to_mean", "to_local_map", "to_global_map")]
                cells += [f"{100 * typical('at_global'):.0f} %", f"{typical('chi2'):.2f}", f"{typical('calls'):.0f}"]
                lines.append(line(f"`{label}`", name, [c.replace("nan %", "–").replace("nan", "–") for c in cells]))
    return "\n".join(lines)


def budgets(rows: Rows) -> str:
    """Median SW1 of each solver, given as many steps as a budget of calls allows it."""
    lines = [line("solver", [f"`{p}`, {b} calls" for p in EQUAL for b in BUDGETS])]
    lines += ["|---" + "|---:" * (len(EQUAL) * len(BUDGETS)) + "|"]
    for name, cost in COSTS.items():
        cells = []
        for p in EQUAL:
            for b in BUDGETS:
                spec = with_(name, steps=b // cost)
                found = [r["sw1"] for r in of(rows, spec) if r["problem"] == p and "sw1" in r] if b // cost >= 5 else []
                cells.append(f"{median(found):.2f}" if found else "–")
        if any(c != "–" for c in cells):
            lines.append(line(f"`{name}`", cells))
    return "\n".join(lines)


def limit(rows: Rows) -> str:
    """The reference sampler with more and more samples, beside exact ones."""
    wanted = {c.key for c in limits()}
    found = [r for r in rows if (r["problem"], r["solver"], r["seed"], r["samples"]) in wanted]
    sizes = sorted({r["samples"] for r in found})
    lines = [line("samples n", ["1/√n", "error of the mean, exact", "reference", "SW1, exact", "reference", "fails"])]
    lines += ["|---" + "|---:" * 5 + "|---|"]
    for n in sizes:
        ours, exact = ([r for r in of(found, s) if r["samples"] == n] for s in (REFERENCE, FLOOR))
        if ours and exact:
            cells = [f"{n**-0.5:.3f}"]
            cells += [f"{median(r[k] for r in rs):.3f}" for k in ("mean_error", "sw1") for rs in (exact, ours)]
            worst = min(r[k] for r in ours for k in r if k.startswith("p_"))
            cells.append(verdict(ours) if len(ours) > 1 else f"one run, smallest p = {worst:.2f}")
            lines.append(line(f"{n:,}", cells))
    return "\n".join(lines)


def rates_table(rows: Rows) -> str:
    """Median SW1 as the particles of one population grow."""
    wanted = {c.key: c for c in rates()}
    found: dict[tuple[str, int], list[float]] = {}
    for r in rows:
        cell = wanted.get((r["problem"], r["solver"], r["seed"], r["samples"]))
        if cell and r.get("sw1") is not None:
            found.setdefault((cell.solver.partition(",")[0], r["samples"]), []).append(r["sw1"])
    lines = [line("particles", [f"{n:,}" for n in SIZES]), "|---" + "|---:" * len(SIZES) + "|"]
    for name in dict.fromkeys(name for name, _ in found):
        cells = [f"{median(found[name, n]):.3f}" if (name, n) in found else "–" for n in SIZES]
        lines.append(line(f"`{name}`", cells))
    return "\n".join(lines)


def reference_table(published: dict, rows: Rows) -> str:
    problems = [problem(cell) for cell in published["cells"]]
    lines = [line("method", "", [f"({c})" for c in published["cells"]])]
    lines += ["|---|---" + "|---:" * len(problems) + "|"]
    for row in published["rows"]:
        lines.append(line(row["method"], "ours", [interval(values(rows, p, row["ours"])) for p in problems]))
        lines.append(line("", "reference", row["published"]))
    return "\n".join(lines)


def how_made(rows: Rows) -> str:
    """What made the rows, how many there are, and how many are of today's code."""
    kinds = {tuple(r["made"][k] for k in ("torch", "numpy", "python", "processor")) for r in rows}
    stale = sum(is_stale(r, made(r["problem"], r["solver"])) for r in rows)
    what = "; ".join(f"torch {t}, numpy {n}, Python {p}, {c}" for t, n, p, c in sorted(kinds))
    verb = "is" if stale == 1 else "are"
    said = f"**{stale:,} of them {verb} stale**" if stale else "**None of them was stale** when this was written"
    return f"{len(rows):,} rows by {what}. {said}: `python -m benchmarks.exact_run --stale` says which are now."


def everything(rows: Rows) -> str:
    def order(row: Row) -> tuple:
        p = row["problem"]
        numbers = [float(v) for v in re.findall(r"(?:d|m|sigma)=([\d.]+)", p)]
        return "mixture" not in p, "sigma" in p, row["samples"] < 200, numbers, p, row["samples"]

    aside = {c.key for c in (*rates(), *limits())}
    shown = (
        r for r in rows if r["status"] != "n/a" and (r["problem"], r["solver"], r["seed"], r["samples"]) not in aside
    )
    return markdown(sorted(shown, key=order))


def problem(cell: str) -> str:
    d, m = cell.split(",")
    return f"mixture:d={d},m={m}"


def values(rows: Rows, problem: str, spec: str) -> list[float]:
    if spec == "prior":
        return [prior_sample(problem, seed) for seed in range(MOST)]
    return [r["sw1"] for r in of(rows, spec) if r["problem"] == problem and r["samples"] >= 500 and "sw1" in r]


def prior_sample(problem: str, seed: int) -> float:
    """What ignoring the data scores."""
    with double_by_default():
        ref = reference(problem, seed, 1000)
        p = ref.problem.prior
        draws = MixturePosterior(p.log_w, p.means, p.v * torch.eye(p.means.shape[1]))
        return ref.sampled(draws.sample(ref.n, torch.Generator().manual_seed(10_000 + seed)))["sw1"]


def interval(v: list[float]) -> str:
    """Mean ± 95 % (median), and of how many; one number alone as it is."""
    few = f"₍{len(v)}₎".translate(SMALL)
    if len(v) < 2:
        return f"{v[0]:.2f}{few}" if v else "–"
    return f"{mean(v):.2f}±{1.96 * stdev(v) / math.sqrt(len(v)):.2f} ({median(v):.2f}){few}"


def line(*parts: str | Iterable[str]) -> str:
    return "| " + " | ".join(p if isinstance(p, str) else " | ".join(p) for p in parts) + " |"


if __name__ == "__main__":
    main()
