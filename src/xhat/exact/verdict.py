"""From p-values of single runs to a verdict on a sampler, in words."""

import math
from collections.abc import Mapping, Sequence

from ..files.rows import Row
from .deviations import JUDGED

WORST = 0.01  # the p-value below which a respect is failed, after Bonferroni's correction

# What a failed respect is called in a table.
CALLED: Mapping[str, str] = {
    "seen_mean": "seen",
    "seen_w1": "seen",
    "unseen_mean": "unseen",
    "unseen_w1": "unseen",
    "wide": "wide",
    "narrow": "narrow",
    "residual": "residual",
    "modes": "modes",
    "mmd": "as a whole",
}


def combined(ps: Sequence[float]) -> float:
    """Fisher's p-value of independent p-values: that of −2 Σ ln p under χ² with twice as many degrees of freedom.

    Those of the scorecard take the values 0.01, 0.02, … 1, which makes the result a little too large, never too small.
    """
    half, term, total = -sum(map(math.log, ps)), 1.0, 1.0
    for k in range(1, len(ps)):
        term *= half / k
        total += term
    return min(1.0, math.exp(-half) * total)


def failed(rows: Sequence[Row]) -> list[str]:
    """The respects of `JUDGED` in which the runs of one sampler differ from exact samples, taken together."""
    asked = [k for k in JUDGED if any(f"p_{k}" in r for r in rows)]
    found = {k: combined([r[f"p_{k}"] for r in rows if f"p_{k}" in r]) for k in asked}
    return [k for k, p in found.items() if p * len(asked) < WORST]


def verdict(rows: Sequence[Row]) -> str:
    """What runs of one sampler on one kind of problem fail, in words; "passes" if nothing.

    One run cannot tell: its p-values are 0.01 at least. What fails only as a whole is said to; else that is left out.
    """
    done = [r for r in rows if any(f"p_{k}" in r for k in JUDGED)]
    if len(done) < 2:
        return "–"
    found = {CALLED[k] for k in failed(done)}
    words = [w for w in dict.fromkeys(CALLED.values()) if w in found]
    named = [w for w in words if w != CALLED["mmd"]] or words
    return ", ".join(named) or "passes"
