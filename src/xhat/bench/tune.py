"""`xhat tune`: searches hyper-parameters of a solver for a task and a prior, with or without the truth of validation
images.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import mean
from typing import Any

from ..checks import number
from ..effort import check_time, estimating
from ..errors import DataError, SpecError
from ..files import record
from ..files.extras import install
from ..files.folder import check_folder, check_free, undone
from ..files.writing import atomic
from ..metrics.registry import metric
from ..numerics.device import pick_device
from ..ranges import marks, parameters
from ..spec import build, parse, value
from ..task.parts import METHODS, as_solver, modality_for
from .cost import record_seconds
from .drive import check
from .evaluate import Work, evaluate, prior_of
from .grid import Cell
from .heldout import heldout
from .images import open_images
from .stats import higher
from .stats import value as value_of

MADE = ("tune.json", "trials.journal", "trials.journal.lock")  # what a search makes before its first trial is over
BLIND = ("residual", "heldout")  # objectives that do not use the truth
Score = Callable[[str], float]


@dataclass(frozen=True)
class Range:
    """The values that an option may take: numbers from low to high, `log` spaced or not, or one of `choices`."""

    name: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()

    def suggest(self, trial: Any) -> Any:
        """A value for one of Optuna's trials."""
        if self.choices:
            return trial.suggest_categorical(self.name, list(self.choices))
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)


def read_range(text: str) -> Range:
    """A range from `k=0.1:10:log`, `zeta=0:1`, `steps=20:100` or `inner=auto|adam`; whole numbers if both ends are.

    Raises SpecError for other text.
    """
    name, eq, rest = text.partition("=")
    if not eq or not name.strip():
        raise SpecError(f"--vary: expected option=low:high[:log] or option=a|b, not {text!r}")
    if "|" in rest:
        return Range(name.strip(), choices=tuple(value(v) for v in rest.split("|")))
    low, _, more = rest.partition(":")
    high, _, log = more.partition(":")
    ends = value(low), value(high)
    if log not in ("", "log") or not all(isinstance(e, int | float) and not isinstance(e, bool) for e in ends):
        raise SpecError(f"--vary: expected option=low:high[:log] or option=a|b, not {text!r}")
    if not ends[0] < ends[1] or (log and ends[0] <= 0):
        raise SpecError(f"--vary {text}: low must be below high{', and positive for log' if log else ''}")
    whole = all(isinstance(e, int) for e in ends)
    return Range(name.strip(), float(ends[0]), float(ends[1]), bool(log), whole)


def default_ranges(solver: str) -> list[Range]:
    """Every option that is a positive float and not fixed, from a tenth to ten times its value, as far as it may be so;
    `steps` stays.

    Raises SpecError if there is none.
    """
    made = as_solver(solver)
    own = parse(solver)[1]
    there = {f.name: getattr(made, f.name) for f in fields(made)}
    hints = {k: p.annotation for k, p in parameters(type(made)).items()}
    out = []
    for k, v in there.items():
        if isinstance(v, float) and 0 < v < math.inf and k not in own:
            low, high = v / 10, v * 10
            for mark in marks(hints.get(k)):
                low, high = mark.within(low, high)
            out.append(Range(k, low, high, log=True))
    if not out:
        raise SpecError(f"{solver} has no number left to vary; say which with --vary")
    return out


def ranges_for(solver: str, texts: Sequence[str]) -> list[Range]:
    """The given ranges, or the default ones. Raises SpecError for an option that the solver does not have or that is
    fixed.
    """
    out = [read_range(t) for t in texts] or default_ranges(solver)
    for r in out:
        if r.name in parse(solver)[1]:
            raise SpecError(f"--vary {r.name}: {solver} fixes it")
        for v in r.choices or ((int(r.low), int(r.high)) if r.whole else (r.low, r.high)):
            build(parse(solver).with_(**{r.name: v}), METHODS)
    return out


def score_of(cell: Cell, objective: str, device: str) -> Score:
    """A function from a solver's spec to the number that is minimised; it is infinite if an image fails."""
    names = tuple(open_images(cell.data).names()[: cell.images])
    if objective not in BLIND:
        metric(objective, BLIND)
    if objective == "heldout":
        return lambda solver: heldout(replace(cell, solver=solver), names, device)
    metrics = [] if objective in BLIND else [objective]
    name = modality_for(cell.operator).metric(objective)

    def score(solver: str) -> float:
        cell_now = replace(cell, solver=solver)
        rows = [d.row for s in cell.seeds for d in evaluate(Work(cell_now, s, names), metrics, device)]
        for row in rows:
            if row["status"] == "n/a":
                raise SpecError(str(row["error"]))
        if any(row["status"] != "ok" for row in rows):
            return math.inf
        if objective == "residual":
            ratios = [value_of(row, "residual_ratio") for row in rows]
            if None in ratios:
                raise SpecError("residual compares with the noise, and this measurement is noiseless")
            return mean(abs(math.log(ratio)) for ratio in ratios if ratio is not None)
        scores = [value_of(row, name) for row in rows]
        found: float = mean(v for v in scores if v is not None)
        return -found if higher(objective) else found

    return score


def tune(
    cell: Cell,
    ranges: Sequence[Range],
    out: Path,
    objective: str = "psnr",
    trials: int = 30,
    minutes: float | None = None,
    device: str = "auto",
    watch: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Runs until `out/trials.journal` holds `trials` trials, those of earlier runs included, or `minutes` have passed.

    The solver's own values are the first trial, so that the best is never worse than them. Writes and returns
    `best.json`; `best.toml` is a grid for `xhat bench`, and `xhat restore --solver best.toml` takes it, too. Raises
    SpecError if Optuna is missing or an option does not fit, and DataError if the folder belongs to another search or
    no trial succeeded.
    """
    try:
        import optuna  # noqa: F401
    except ImportError as e:
        raise SpecError(f"xhat tune needs one more package: {install('bench')}") from e
    check_folder(out)
    names = ("tune.json", "trials.journal", "best.json", "best.toml")
    check_free(out, names, ours=lambda: {"objective", "ranges", "cell"} <= record.read(out / "tune.json").keys())
    if minutes is not None:
        number("minutes", minutes)
    pick_device(device)
    score = score_of(cell, objective, device)
    prior_of(cell.prior, device)
    check([cell], [] if objective in BLIND else [objective], [])
    if minutes is None and estimating():
        images = len(open_images(cell.data).names()[: cell.images])
        one = record_seconds(cell, device) * images * len(cell.seeds)
        check_time(one * trials, f"{trials} trials", "fewer --trials, --images or --seeds, or --minutes,")
    about: dict[str, Any] = {"objective": objective, "ranges": [vars(r) for r in ranges], "cell": cell.identity}
    about |= {"images": cell.images, "seeds": list(cell.seeds)}
    same = json.loads(json.dumps(record.finite(about)))
    over: list[str] = []

    def seen(solver: str, found: float) -> None:
        over.append(solver)
        if watch:
            watch(solver, found)

    with undone(out, MADE, worth=lambda: bool(over)):
        return _searched(cell, ranges, out, objective, trials, minutes, score, same, seen)


def _searched(
    cell: Cell,
    ranges: Sequence[Range],
    out: Path,
    objective: str,
    trials: int,
    minutes: float | None,
    score: Score,
    same: dict[str, Any],
    watch: Callable[[str, float], None],
) -> dict[str, Any]:
    """The search itself."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    _same(out / "tune.json", same)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(out / "trials.journal")))
    # The seed of the sampler depends on the number of trials, so that a resumed run does not repeat its first guesses.
    study = optuna.create_study(storage=storage, study_name="tune", load_if_exists=True)
    finished = [t for t in study.trials if t.state.is_finished()]
    study.sampler = optuna.samplers.TPESampler(seed=len(finished), n_startup_trials=min(10, max(3, trials // 3)))
    if not study.trials:
        made = as_solver(cell.solver)
        start = {r.name: getattr(made, r.name) for r in ranges}  # an option without a value is no start
        study.enqueue_trial({name: v for name, v in start.items() if v is not None}, skip_if_exists=True)
    end = time.monotonic() + 60 * minutes if minutes is not None else math.inf
    for _ in range(trials - len(finished)):
        if time.monotonic() > end:
            break
        trial = study.ask()
        solver = str(parse(cell.solver).with_(**{r.name: r.suggest(trial) for r in ranges}))
        found = score(solver)
        study.tell(trial, found if math.isfinite(found) else 1e9)
        watch(solver, found)
    return _best(study, cell, objective, out)


def _same(file: Path, about: dict[str, Any]) -> None:
    """Writes what is tuned, or raises DataError where the folder is of something else."""
    old = record.read(file)
    if old and old != about:
        what = ", ".join(k for k in about if old.get(k) != about[k])
        raise DataError(f"{file.parent}: holds trials of another {what}; choose another folder")
    record.write(file, about)


def _best(study: Any, cell: Cell, objective: str, out: Path) -> dict[str, Any]:
    done = [t for t in study.trials if t.value is not None and t.value < 1e9]
    if not done:
        raise DataError(f"{out}: no trial has come to an end without failing")
    best = min(done, key=lambda t: t.value)
    sign = -1 if objective not in BLIND and higher(objective) else 1
    solver = str(parse(cell.solver).with_(**best.params))
    first = study.trials[0].value
    found = {
        "solver": solver,
        "objective": objective,
        "value": sign * best.value,
        "before": sign * first if first is not None and first < 1e9 else None,
        "trials": len(done),
    }
    record.write(out / "best.json", found)
    quoted = json.dumps  # a JSON string is a TOML string
    earlier = "" if found["before"] is None else f", {found['before']:.4g} before"
    lines = [
        f"title = {quoted(cell.label + ', tuned')}",
        f"about = {quoted(f'{objective} {sign * best.value:.4g} after {len(done)} trials{earlier}')}",
        f"priors = [{quoted(cell.prior)}]",
        f"data = [{quoted(cell.data)}]",
        f"solvers = [{quoted(solver)}]",
        "",
        f"[tasks.{quoted(cell.task)}]",
        *(f"{k} = {quoted(getattr(cell, k))}" for k in ("operator", "noise")),
    ]
    atomic(out / "best.toml", lambda file: file.write_text("\n".join(lines) + "\n", encoding="utf-8"))
    return found
