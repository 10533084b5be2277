"""From records to numbers for tables: means with 95 % intervals over images, failures, paired differences."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import mean, stdev
from typing import Any

from ..files.rows import Row
from ..metrics.base import Number, by_name
from ..metrics.registry import row_of
from ..task.schema import CALLS

COSTS = CALLS
# how the numbers are read that a benchmark adds to the metrics
OWN = by_name(
    *(Number(name, higher=False, digits=0) for name in COSTS),
    Number("seconds", higher=False, unit="s", digits=2),
    Number("residual_ratio", higher=True, digits=2),
    Number("crps", higher=False),
    Number("cover50", higher=True),
    Number("cover90", higher=True),
    Number("diversity", higher=True),
)


@dataclass(frozen=True)
class Mean:
    """A mean over images with the half-width of its 95 % interval; the seeds of an image are averaged first."""

    value: float
    half: float | None  # None if there is only one image
    images: int


def interval(values: Sequence[float]) -> Mean:
    """The mean of independent numbers, with Student's t interval."""
    n = len(values)
    half = student(n - 1) * stdev(values) / math.sqrt(n) if n > 1 else None
    return Mean(mean(values), half, n)


@cache
def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t with `freedom` degrees of freedom.

    Found by bisection on its incomplete beta integral (Simpson's rule).
    """
    if freedom > 2000:  # from here on it is that of the normal distribution to within 0.0013
        return 1.96
    log_c = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2

    def inside(t: float, parts: int = 400) -> float:
        # Under x = tan(u) √freedom, the density is a power of the cosine: smooth, and on a bounded interval.
        top = math.atan(t / math.sqrt(freedom))
        h = top / parts
        f = [math.cos(i * h) ** (freedom - 1) for i in range(parts + 1)]
        whole = f[0] + f[-1] + 4 * sum(f[1:-1:2]) + 2 * sum(f[2:-1:2])
        return math.exp(log_c) * math.sqrt(freedom) * whole * h / 3

    low, high = 0.0, 20.0
    for _ in range(60):
        mid = (low + high) / 2
        low, high = (mid, high) if inside(mid) < 0.475 else (low, mid)
    return high


def values(rows: Iterable[Row], name: str) -> dict[str, float]:
    """The number called `name` for each image, by the image's name, averaged over its seeds; rows without it are left
    out.
    """
    found: dict[str, list[float]] = {}
    for r in rows:
        v = value(r, name)
        if v is not None:
            found.setdefault(r["image"], []).append(v)
    return {image: mean(v) for image, v in found.items()}


def value(row: Row, name: str) -> float | None:
    """A metric, a number of calls or another number of a record, of several samples their mean.

    None if the record has no such number or did not end with status ok.
    """
    v = next((table[name] for table in (row["metrics"], row.get("calls", {}), row) if name in table), None)
    numbers = v if isinstance(v, list) else [v]
    if row["status"] != "ok" or None in numbers or not numbers:
        return None
    return float(sum(numbers)) / len(numbers)


def higher(name: str) -> bool:
    """Whether a higher value of the number called `name` is better."""
    return row_for(name).higher


def row_for(name: str) -> Number:
    """How a number of a record is read; that of the mean or of the chosen sample as that of any sample."""
    if row := OWN.get(name) or row_of(name):  # first, for a metric may be called mean_…
        return replace(row, name=name)
    bare = name.removeprefix("mean_").removeprefix("chosen_")
    row = OWN.get(bare) or row_of(bare) or Number(bare, higher=True)  # an old record may have a metric that is gone
    return replace(row, name=name)


def cells(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each cell, in order, by the cell's key."""
    out: dict[str, list[Row]] = {}
    for r in rows:
        out.setdefault(r["cell"], []).append(r)
    return out


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One entry per cell: names, counts, and the mean of every number that it has, as `Mean`.

    `top` names the metrics in which the cell is the best of its block, or not told from it (`_tops`).
    """
    out, found = [], cells(rows)
    for cell, mine in found.items():
        first = mine[0]
        names = [*dict.fromkeys(m for r in mine for m in r["metrics"]), "residual_ratio", *COSTS, "seconds"]
        numbers = {n: interval(list(v.values())) for n in names if (v := values(mine, n))}
        same = {
            k: first[k] for k in ("task", "label", "solver", "prior", "data", "operator", "noise", "returns", "samples")
        }
        failed = [r for r in mine if r["status"] in ("diverged", "error")]
        counts = {"records": len(mine), "failed": len(failed), "fits": any(r["status"] != "n/a" for r in mine)}
        why = next((r["error"] for r in mine if r["status"] != "ok"), None)
        out.append({"cell": cell, **same, **counts, "why": why, "numbers": numbers, "top": []})
    _tops(out, found)
    return out


BLOCK = ("prior", "data", "task", "returns")  # what cells share that a table compares


def _tops(lines: Sequence[dict[str, Any]], found: Mapping[str, list[Row]]) -> None:
    """Marks, for each metric, the best mean of each block and every cell that the paired differences to it do not tell
    from it: their 95 % interval has 0, or there is but one image.
    """
    blocks: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for line in lines:
        blocks.setdefault(tuple(line[k] for k in BLOCK), []).append(line)
    for block in blocks.values():
        for name in dict.fromkeys(m for line in block for row in found[line["cell"]] for m in row["metrics"]):
            known = [line for line in block if name in line["numbers"]]
            if not known:
                continue
            value_of = {line["cell"]: line["numbers"][name].value for line in known}
            best = (max if higher(name) else min)(known, key=lambda line: value_of[line["cell"]])
            for line in known:
                d = line is not best and paired(found[line["cell"]], found[best["cell"]], name)
                if not d or d[0].half is None or abs(d[0].value) <= d[0].half:
                    line["top"].append(name)


def paired(a: Sequence[Row], b: Sequence[Row], name: str) -> tuple[Mean, int] | None:
    """The mean of b − a over the images that both have, and the number of images for which b is better.

    None if they have no image in common.
    """
    x, y = values(a, name), values(b, name)
    both = [y[k] - x[k] for k in x if k in y]
    if not both:
        return None
    sign = 1 if higher(name) else -1
    return interval(both), sum(sign * d > 0 for d in both)


def front(points: Sequence[tuple[float, float]], more: bool = True) -> list[int]:
    """The indices of the (cost, quality) points that no other point beats in both.

    `more` says whether higher quality is better; lower cost always is.
    """
    sign = 1 if more else -1
    out = []
    for i, (c, q) in enumerate(points):
        beaten = any(d <= c and sign * r >= sign * q and (d, r) != (c, q) for j, (d, r) in enumerate(points) if j != i)
        if not beaten:
            out.append(i)
    return out


def written(m: Mean | None, digits: int = 2, pm: str = " ± ") -> str:
    """A mean with its interval as text; no interval is written if it is unknown or 0."""
    if m is None:
        return "–"
    return f"{m.value:.{digits}f}" + (f"{pm}{m.half:.{digits}f}" if m.half is not None and m.half > 0 else "")


def digits(name: str) -> int:
    """The number of decimals that a table shows of the number called `name`."""
    return row_for(name).digits
