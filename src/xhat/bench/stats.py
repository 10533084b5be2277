"""From records to numbers for tables: means with 95 % intervals over images, failures, paired differences."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import mean, stdev
from typing import Any

from ..files.rows import Row
from ..metrics.registry import LOWER

COSTS = ("forwards", "backwards", "operator_calls")


@dataclass(frozen=True)
class Mean:
    """A mean over images (the seeds of an image averaged first) with the half-width of its 95 % interval."""

    value: float
    half: float | None  # None for a single image
    images: int


def interval(values: Sequence[float]) -> Mean:
    """Student's t interval of independent numbers."""
    n = len(values)
    half = student(n - 1) * stdev(values) / math.sqrt(n) if n > 1 else None
    return Mean(mean(values), half, n)


@cache
def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, by bisection on its incomplete beta integral (Simpson's rule)."""
    if freedom > 2000:
        return 1.96
    log_c = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2

    def inside(t: float, parts: int = 400) -> float:
        # the density under x = tan(u) √freedom is a power of the cosine: smooth, on a bounded interval
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
    """A number of each image, its seeds averaged; of the rows that have it."""
    found: dict[str, list[float]] = {}
    for r in rows:
        v = value(r, name)
        if v is not None:
            found.setdefault(r["image"], []).append(v)
    return {image: mean(v) for image, v in found.items()}


def value(row: Row, name: str) -> float | None:
    """A metric or another number of a record."""
    v = row["metrics"].get(name, row["run"].get(name) if name == "seconds" else row.get(name))
    return None if v is None or row["status"] != "ok" else float(v)


def higher(name: str) -> bool:
    """Whether more of it is better."""
    return name.removeprefix("mean_").removeprefix("chosen_") not in (*LOWER, *COSTS, "seconds")


def cells(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each cell, in order."""
    out: dict[str, list[Row]] = {}
    for r in rows:
        out.setdefault(r["cell"], []).append(r)
    return out


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One line a cell: names, counts, the mean of every number there is, as `Mean`."""
    out = []
    for cell, mine in cells(rows).items():
        first = mine[0]
        names = [*dict.fromkeys(m for r in mine for m in r["metrics"]), "residual_ratio", *COSTS, "seconds"]
        numbers = {n: interval(list(v.values())) for n in names if (v := values(mine, n))}
        same = {
            k: first[k] for k in ("task", "label", "solver", "prior", "data", "operator", "noise", "returns", "samples")
        }
        failed = [r for r in mine if r["status"] in ("diverged", "error")]
        counts = {"records": len(mine), "failed": len(failed), "fits": any(r["status"] != "n/a" for r in mine)}
        why = next((r["error"] for r in mine if r["status"] != "ok"), None)
        out.append({"cell": cell, **same, **counts, "why": why, "numbers": numbers})
    return out


def paired(a: Sequence[Row], b: Sequence[Row], name: str) -> tuple[Mean, int] | None:
    """Mean of b − a over the images both have, and in how many b is better; None where there is none."""
    x, y = values(a, name), values(b, name)
    both = [y[k] - x[k] for k in x if k in y]
    if not both:
        return None
    sign = 1 if higher(name) else -1
    return interval(both), sum(sign * d > 0 for d in both)


def front(points: Sequence[tuple[float, float]], more: bool = True) -> list[int]:
    """The indices of (cost, quality) points that no other beats in both."""
    sign = 1 if more else -1
    out = []
    for i, (c, q) in enumerate(points):
        beaten = any(d <= c and sign * r >= sign * q and (d, r) != (c, q) for j, (d, r) in enumerate(points) if j != i)
        if not beaten:
            out.append(i)
    return out


def written(m: Mean | None, digits: int = 2, pm: str = " ± ") -> str:
    """A mean with its interval as text; numbers that are all equal have none."""
    if m is None:
        return "–"
    return f"{m.value:.{digits}f}" + (f"{pm}{m.half:.{digits}f}" if m.half is not None and m.half > 0 else "")


def digits(name: str) -> int:
    """Decimals that a number is worth."""
    bare = name.removeprefix("mean_").removeprefix("chosen_")
    if bare in COSTS:
        return 0
    return 2 if bare.startswith("psnr") or bare in ("magnitude_psnr", "residual_ratio", "seconds", "fid") else 3
