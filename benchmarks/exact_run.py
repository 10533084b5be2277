"""The run behind docs/exactness.md: its cells, the most useful first, computed into `exact.jsonl` here.

    python -m benchmarks.exact_run [MINUTES]      # or --stale: only says which rows are of other code

stops by itself after so many minutes, and the same command goes on where it stopped. It computes what is missing, what
broke and what is of other code, and nothing else, so after a change of one solver it takes as long as its rows do.
It is smaller than the grid of `xhat exact`: fewer measurements of each problem, and no problem of 800 dimensions.
"""

import sys
import time
from pathlib import Path

from xhat.exact.cell import FLOOR, Cell
from xhat.exact.grid import LONG, SHORT, others
from xhat.exact.run import Results, run
from xhat.exact.sbc import REFERENCE

FILE = Path(__file__).parent / "exact.jsonl"
DIMENSIONS = (8, 80)
MEASURED = (1, 2, 4)
BUDGETS = (20, 100, 500)  # network calls for one sample
# How many calls a step takes, for the problems of two measurements where that hangs on their number.
COSTS = {
    "ddrm": 1,
    "diffpir:lam=1,zeta=1": 1,
    "daps_exact": 5,
    "dps:c=0.2": 2,
    "pigdm_score": 2,
    "pigdm": 2,
    "tds": 2,
    "mcgdiff": 1,
    "tmpd": 4,
    "lmaps": 1,
}
EQUAL = ("mixture:d=8,m=2", "mixture:d=80,m=2")  # the problems on which budgets are made equal
SIZES = (30, 100, 300, 1000)  # of one population


def with_(spec: str, **options: int) -> str:
    """A spec with more options."""
    more = ",".join(f"{k}={v}" for k, v in options.items())
    return f"{spec}{',' if '=' in spec else ':'}{more}"


def cells() -> list[Cell]:
    """All cells, the most useful first."""
    small = [f"mixture:d=8,m={m}" for m in MEASURED]
    large = [f"mixture:d=80,m={m}" for m in MEASURED]
    single = [f"{name}:steps=100,particles=1000" for name in ("tds", "mcgdiff", "fps_smc")]
    plan: list[tuple[list[str], range, int | None, tuple[str, ...]]] = [
        (["two", *small], range(1), 500, SHORT),
        (large, range(1), 500, SHORT),
        (["grf:side=16"], range(1), 200, SHORT),
        (["funnel"], range(1), 200, SHORT),
        (["two", "funnel"], range(1, 2), 200, SHORT),
        (["grf:side=16"], range(1, 2), 200, SHORT),
        (["two"], range(2), 100, (FLOOR, *LONG, *others())),
        ([small[1]], range(2), 100, (FLOOR, *LONG)),
        ([*EQUAL], range(1), 200, (FLOOR, *budgets())),
        (small, range(1), 1000, (FLOOR, *single)),
        ([*EQUAL], range(1, 3), 200, (FLOOR, *budgets())),
        (small, range(1, 3), 500, SHORT),
        (large, range(1, 2), 500, SHORT),
    ]
    return [Cell(p, s, seed, n) for ps, seeds, n, listed in plan for p in ps for seed in seeds for s in listed]


def budgets() -> list[str]:
    """Solvers with as many steps as each budget of calls allows them, where that is at least five."""
    found = [(name, calls // cost) for name, cost in COSTS.items() for calls in BUDGETS]
    return [with_(name, steps=steps) for name, steps in found if steps >= 5]


def rates() -> list[Cell]:
    """Methods that are exact as their particles grow: one population of as many particles as samples."""
    names = ("mcgdiff", "tds", "fps_smc")
    return [
        Cell("two", spec, seed, n)
        for seed in range(2)
        for n in SIZES
        for spec in (FLOOR, *(f"{name}:steps=200,particles={n}" for name in names))
    ]


def limits() -> list[Cell]:
    """The reference sampler with more and more samples."""
    runs = ((100, 3), (1000, 1))
    return [Cell("grf:side=8", s, seed, n) for n, k in runs for seed in range(k) for s in (FLOOR, REFERENCE)]


def planned() -> list[Cell]:
    """All cells of the page, the most useful first: the settings of 100 steps once, then the small tables."""
    most = cells()
    once = len(SHORT) * 10
    return [*most[:once], *rates(), *limits(), *most[once:]]


def main() -> None:
    """Computes what is missing, for as long as there is time."""
    results, found = Results(FILE), planned()
    if sys.argv[1:] == ["--stale"]:
        stale = results.stale(found)
        print(f"{len(stale)} of {len(results.rows)} rows are of other code, versions or processor")
        print("\n".join(f"{c.problem}  {c.solver}  seed {c.seed}" for c in stale), end="\n" if stale else "")
        raise SystemExit(bool(stale))
    end = time.monotonic() + 60 * float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
    for cell in results.left(found):
        if time.monotonic() > end:
            break
        run([cell], results)


if __name__ == "__main__":
    main()
