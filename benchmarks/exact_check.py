"""Whether the rows behind docs/exactness.md still hold: one row of each solver is made again and compared.

    python -m benchmarks.exact_check

A row is of other code as soon as a definition that it is made of has changed, also where no number can have. This
computes, for each setting of 100 steps, the cheapest row of `exact.jsonl` anew and compares its scores.
"""

import math
from collections.abc import Iterator

from xhat.exact.cell import Cell, canonical_problem, evaluate
from xhat.exact.grid import SHORT
from xhat.exact.run import Results
from xhat.files.rows import Row

from .exact_page import current
from .exact_run import FILE

CHEAP = ("two", "mixture:d=8,m=2", "mixture:d=8,m=1", "mixture:d=8,m=4", "grf:side=8", "funnel")
CLOSE = 1e-9  # relative: the order in which numbers are summed may change


def main() -> None:
    rows = [r for r in Results(FILE).rows.values() if current(r) and r["status"] in ("ok", "far")]
    labels = [s for s in SHORT if any(r["label"] == s for r in rows)]
    off = []
    for label in labels:
        old = min((r for r in rows if r["label"] == label), key=cost)
        new = evaluate(Cell(old["problem"], label, old["seed"], old["samples"]))
        differ = [k for k in scores(old) if not same(old[k], new.get(k))]
        print(label, old["problem"], "differs in " + ", ".join(differ) if differ else "same", flush=True)
        off += [label] if differ else []
    told = f"it differs for {', '.join(off)}" if off else "all are the same to nine digits"
    print(f"One row of each of {len(labels)} settings of 100 steps was made again: {told}.")
    raise SystemExit(bool(off))


def cost(row: Row) -> tuple[int, float]:
    """Cheap problems first, then short runs."""
    cheap = [canonical_problem(p)[0] for p in CHEAP]
    return cheap.index(row["problem"]) if row["problem"] in cheap else len(cheap), row["seconds"]


def scores(row: Row) -> Iterator[str]:
    """The names of the numbers in a row that do not tell time."""
    return (k for k, v in row.items() if isinstance(v, float) and k != "seconds")


def same(a: float, b: object) -> bool:
    return isinstance(b, float | int) and (math.isclose(a, b, rel_tol=CLOSE, abs_tol=1e-12) or (a != a and b != b))


if __name__ == "__main__":
    main()
