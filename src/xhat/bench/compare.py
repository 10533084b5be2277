"""`xhat compare`: what changed from one run to another, record by record, or from one prior or solver to another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError, SpecError
from ..files.markup import markdown
from ..files.rows import Row
from .folder import open_run
from .schema import origin
from .stats import Mean, digits, paired, written

CHANGES = {
    "code": "made by other code",
    "weights": "with other weights of the prior",
    "image": "of an image that has changed",
}

ACROSS = ("prior", "solver")
# What two records must share to be of the same measurement, and of the same rest of the method.
SHARED = ("operator", "noise", "data", "image", "seed", "samples", "prior", "solver", "schedule")


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
    (left, rows_a), (right, rows_b) = _opened(a), _opened(b)
    at = {r["key"]: r for r in rows_b}
    notes = []
    for what in dict.fromkeys(k for r in (*rows_a, *rows_b) for k in r["versions"]):
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
    pairs = [(r, at[r["key"]]) for r in rows_a if r["key"] in at]
    if not pairs:
        notes.append("two solvers or two priors are compared by --across solver, --across prior")
    return _changes(pairs, metrics), notes


def across(
    a: Path, b: Path, what: str, before: str | None = None, after: str | None = None
) -> tuple[list[Change], list[str]]:
    """Changes from one prior to another, or from one solver to another, as `what` says, and remarks.

    `a` and `b` may be the same run. `before` and `after` choose by spec or label; they may be left out where there is
    only one to choose. Records belong together if everything else is the same and the solver was given the same
    numbers. Raises DataError if a folder is not a run, and SpecError if there is not exactly one prior or solver.
    """
    (left, rows_a), (right, rows_b) = _opened(a), _opened(b)
    old, new = _only(rows_a, what, before, f"{a}: --before"), _only(rows_b, what, after, f"{b}: --after")
    names = tuple(name for name in SHARED if name != what and not (what == "solver" and name == "schedule"))
    at = {tuple(r[name] for name in names): r for r in new}
    pairs = [(r, at[k]) for r in old if (k := tuple(r[name] for name in names)) in at]
    same = [(p, q) for p, q in pairs if p["measurement_sha256"] == q["measurement_sha256"]]
    notes = [f"{what}: {old[0][what]} → {new[0][what]}"]
    if lone := len(old) + len(new) - 2 * len(pairs):
        notes.append(f"{lone} records have no partner: another task, image, seed, sample count or rest of the method")
    if other := len(pairs) - len(same):
        notes.append(f"{other} pairs are left out: the solvers were given different numbers")
    return _changes(same, [m for m in left["metrics"] if m in right["metrics"]]), notes


def _opened(run: Path) -> tuple[dict[str, Any], list[Row]]:
    content, rows = open_run(run)
    if not rows:
        raise DataError(f"{run}: has no record yet")
    return content, rows


def _only(rows: Sequence[Row], what: str, wanted: str | None, origin: str) -> list[Row]:
    """The rows of the one prior or solver that `wanted` names, or of the only one there is."""
    label = "label" if what == "solver" else what
    mine = [r for r in rows if wanted is None or wanted in (r[what], r[label], r[label].partition(":")[0])]
    found = list(dict.fromkeys(r[what] for r in mine))
    if len(found) != 1:
        there = ", ".join(dict.fromkeys(r[label] for r in mine or rows))
        raise SpecError(f"{origin} must name one {what}; there are {there or 'no records'}")
    return mine


def _changes(pairs: Sequence[tuple[Row, Row]], metrics: Sequence[str]) -> list[Change]:
    """The changes of the pairs of each cell of the first, in order."""
    groups: dict[str, list[tuple[Row, Row]]] = {}
    for p, q in pairs:
        groups.setdefault(p["cell"], []).append((p, q))
    return [_change([p for p, _ in mine], [q for _, q in mine], metrics) for mine in groups.values()]


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
    label = old[0]["label"] if old[0]["label"] == new[0]["label"] else f"{old[0]['label']} → {new[0]['label']}"
    return Change(old[0]["task"], label, len(old), same, statuses, gains, seconds[0] if seconds else None)


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
