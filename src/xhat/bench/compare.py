"""`xhat compare`: what changed from one run to another, record by record."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files.markup import markdown
from ..files.record import versions
from ..files.rows import Row
from .folder import open_run
from .schema import origin
from .stats import Mean, digits, paired, written

CHANGES = {
    "code": "made by other code",
    "weights": "with other weights of the prior",
    "image": "of an image that has changed",
}


@dataclass(frozen=True)
class Change:
    """The changes of one task and solver that both runs have."""

    task: str
    label: str
    records: int  # the number of records that both runs have
    same: int  # how many of them have every metric equal to the last bit
    statuses: list[str]  # changes of status, such as `ok → diverged (3)`
    gains: dict[str, Mean]  # metric → paired mean of b − a
    seconds: Mean | None


def compared(a: Path, b: Path) -> tuple[list[Change], list[str]]:
    """Changes in the order of `a`'s grid, and remarks: other versions, and records that only one of them has.

    Records belong together if problem, solver with all options, image and seed are the same; the weights of the prior
    may differ. Raises DataError if a folder is not a run.
    """
    (left, rows_a), (right, rows_b) = open_run(a), open_run(b)
    at = {r["key"]: r for r in rows_b}
    notes = []
    for what in versions():
        was, now = ({str(r["versions"].get(what)) for r in rows} for rows in (rows_a, rows_b))
        if was != now:
            notes.append(f"{what}: {', '.join(sorted(was))} → {', '.join(sorted(now))}")
    both = [(origin(r), origin(at[r["key"]])) for r in rows_a if r["key"] in at]
    for what, said in CHANGES.items():
        if n := sum(p[what] != q[what] for p, q in both):
            notes.append(f"{n} records {said}")
    keys = {r["key"] for r in rows_a}
    for name, rows, others in ((a, rows_a, set(at)), (b, rows_b, keys)):
        if lone := sum(r["key"] not in others for r in rows):
            notes.append(f"{lone} records are in {name} only")
    metrics = [m for m in left["metrics"] if m in right["metrics"]]
    groups: dict[str, list[Row]] = {}
    for r in rows_a:
        if r["key"] in at:
            groups.setdefault(r["cell"], []).append(r)
    return [_change(mine, [at[r["key"]] for r in mine], metrics) for mine in groups.values()], notes


def _change(old: Sequence[Row], new: Sequence[Row], metrics: Sequence[str]) -> Change:
    counts: dict[str, int] = {}
    for p, q in zip(old, new, strict=True):
        if p["status"] != q["status"]:
            text = f"{p['status']} → {q['status']}"
            counts[text] = counts.get(text, 0) + 1
    gains = {m: found[0] for m in metrics if (found := paired(old, new, m))}
    seconds = paired(old, new, "seconds")
    same = sum(p["status"] == q["status"] and p["metrics"] == q["metrics"] for p, q in zip(old, new, strict=True))
    statuses = [f"{text} ({n})" for text, n in counts.items()]
    return Change(old[0]["task"], old[0]["label"], len(old), same, statuses, gains, seconds[0] if seconds else None)


def show(changes: Sequence[Change], notes: Sequence[str], everything: bool = False) -> str:
    """The changes as Markdown; cells that are equal to the last bit are only counted, unless `everything` is true."""
    shown = [c for c in changes if everything or c.same < c.records]
    metrics = list(dict.fromkeys(m for c in shown for m in c.gains))
    out = [*(f"- {markdown(n)}" for n in notes), *([""] if notes else [])]
    records, same = sum(c.records for c in changes), sum(c.same for c in changes)
    out.append(f"{same} of {records} records in both runs are the same to the last bit.")
    if shown:
        head = [
            "task",
            "solver",
            "records",
            "same",
            *(f"{markdown(m)}, difference" for m in metrics),
            "seconds, difference",
            "status",
        ]
        out += ["", f"| {' | '.join(head)} |", "|---|---" + "|---:" * (len(head) - 3) + "|---|"]
        out += [f"| {' | '.join(_cells(c, metrics))} |" for c in shown]
    return "\n".join(out)


def _cells(c: Change, metrics: Sequence[str]) -> list[Any]:
    gains = [_signed(c.gains.get(m), digits(m) + 1) for m in metrics]
    return [
        markdown(c.task),
        markdown(c.label),
        str(c.records),
        str(c.same),
        *gains,
        _signed(c.seconds, 2),
        markdown(", ".join(c.statuses)),
    ]


def _signed(m: Mean | None, places: int) -> str:
    """A difference with its sign; `*` where its 95 % interval leaves out 0."""
    if m is None:
        return "–"
    clear = " *" if m.half is not None and abs(m.value) > m.half else ""
    return ("+" if m.value > 0 else "") + written(m, places) + clear
