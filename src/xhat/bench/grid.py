"""A benchmark as a TOML file: what is crossed with what, and the exceptions."""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from ..checks import instance, seed, shown
from ..errors import DataError, SpecError, XhatError
from ..files.room import text_of
from ..noise import NOISES
from ..ranges import Checked, Many, Range, Seed, wanted
from ..registry import Registry
from ..spec import build, fits, names_code, parse, spec_of, without_code
from ..task.parts import METHODS, as_schedule, as_solver, spec_in

SEEDS = 1_000_000  # of a cell, at most
SAMPLES = Range(1, 100_000)  # of a record

SUITES: Registry[Path] = Registry(
    "suites", None, {p.stem: p for p in sorted((Path(__file__).parent / "suites").glob("*.toml"))}
)


@dataclass(frozen=True)
class Cell(Checked):
    """One solver on one task: its images and seeds are independent records."""

    task: str  # the name of the task in a table
    label: str  # the name of the solver in a table
    prior: str
    data: str
    operator: str
    noise: str
    solver: str
    schedule: str | None = None
    samples: Annotated[int, SAMPLES] = 1
    seeds: tuple[Annotated[int, Seed], ...] = (0,)
    images: Annotated[int, Many] | None = None  # use only this many images of the data; None: all

    def __post_init__(self) -> None:
        for name in ("task", "label", "prior", "data", "operator", "noise", "solver"):
            instance(name, getattr(self, name), str, "text")
        instance("schedule", self.schedule, str | None, "text")
        if not isinstance(self.seeds, tuple) or not self.seeds:
            raise SpecError(f"seeds is a number of at least 1 or a list of seeds, not {shown(self.seeds)}")

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers, with all options of solver and noise stated, so that a changed default makes a new
        cell.
        """
        solver = spec_of(as_solver(self.solver), METHODS, full=True)
        noise = spec_of(build(self.noise, NOISES), NOISES, full=True)
        same = {k: getattr(self, k) for k in ("prior", "data", "operator", "schedule", "samples")}
        return {**same, "noise": noise, "solver": solver}

    @property
    def id(self) -> str:
        """A short name for `identity`, in every record of the cell."""
        return short(self.identity)


def short(content: Mapping[str, Any]) -> str:
    """16 hexadecimal digits of a SHA-256 over sorted JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Grid(Checked):
    """The content of the file, checked for spelling; `cells` makes its combinations."""

    title: str = "Benchmark"
    about: str = ""
    priors: tuple[str, ...] = ("photo",)
    data: tuple[str, ...] = ("photographs",)
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    operators: tuple[str, ...] = ()
    noises: tuple[str, ...] = ()
    solvers: tuple[str | Mapping[str, str], ...] = ("lmaps",)
    seeds: int | tuple[int, ...] = 1
    images: Annotated[int, Many] | None = None
    samples: Annotated[int, SAMPLES] = 1
    schedule: str | None = None
    metrics: tuple[str, ...] = ("psnr", "ssim")
    baseline: str | None = None
    override: tuple[Mapping[str, Any], ...] = ()
    published: tuple[Mapping[str, Any], ...] = ()

    def cells(self) -> list[Cell]:
        """The cells, prior by prior and task by task, each once. Raises SpecError if there is none."""
        cells: dict[str, Cell] = {}
        for cell in self._crossed():
            for rule in self.override:
                changed = _overridden(cell, rule)
                if changed is None:
                    break
                cell = changed
            else:
                cells.setdefault(cell.id, cell)
        if not cells:
            lacking = [k for k in ("priors", "data", "solvers") if not getattr(self, k)]
            lacking += [] if self.tasks or (self.operators and self.noises) else ["tasks, or operators and noises"]
            why = f"it has no {', no '.join(lacking)}" if lacking else "its overrides leave out all of them"
            raise SpecError(f"{self.title}: the grid has no cell: {why}")
        return list(cells.values())

    def _crossed(self) -> Iterator[Cell]:
        pairs: dict[str, Mapping[str, Any]] = {k: dict(v) for k, v in self.tasks.items()}
        pairs |= {f"{o}, {n}": {"operator": o, "noise": n} for o in self.operators for n in self.noises}
        seeds = _seeds(self.seeds)
        for prior in self.priors:
            for data in self.data:
                for task, own in pairs.items():
                    for entry in self.solvers:
                        spec, label = (entry, entry) if isinstance(entry, str) else (entry["spec"], entry["label"])
                        spec, label = (spec_in(spec),) * 2 if spec.endswith(".toml") else (spec, label)
                        fixed = {"task": task, "label": label, "prior": prior, "data": data, "solver": spec}
                        shared = {"schedule": self.schedule, "samples": self.samples, "images": self.images}
                        yield Cell(**{**fixed, **shared, "seeds": seeds, **own})

    def over(self, priors: Sequence[str] = (), data: Sequence[str] = ()) -> "Grid":
        """The same grid with other priors or data, which win over what its tasks and overrides say about them."""
        gone = {k for k, given in (("prior", priors), ("data", data)) if given}
        tasks = {name: {k: v for k, v in task.items() if k not in gone} for name, task in self.tasks.items()}
        rules = tuple({**r, "set": {k: v for k, v in r["set"].items() if k not in gone}} for r in self.override)
        changed = replace(self, tasks=tasks, override=rules)
        return replace(changed, priors=tuple(priors) or self.priors, data=tuple(data) or self.data)

    def joined_by(self, solvers: Sequence[str]) -> "Grid":
        """The same grid and those of `solvers` that are `package.module:Class`: commands may name them, no file may."""
        own = tuple(s for s in solvers if names_code(s) and s not in self.solvers)
        return replace(self, solvers=(*self.solvers, *own))


SET = ("prior", "data", "operator", "noise", "solver", "schedule", "samples", "seeds", "images", "options", "skip")
WHEN = ("prior", "data", "task", "operator", "noise", "solver", "label")


def only(cells: Sequence[Cell], labels: Sequence[str] = (), tasks: Sequence[str] = ()) -> list[Cell]:
    """The cells whose solver and task match one of the shell patterns. Raises SpecError for a pattern that matches
    none.
    """
    kept = list(cells)
    for what, patterns in (("label", labels), ("task", tasks)):
        names = list(dict.fromkeys(getattr(c, what) for c in cells))
        for p in patterns:
            if not any(_matches(n, p) for n in names):
                raise SpecError(
                    f"the grid has no {'solver' if what == 'label' else what} {p!r}; it has {', '.join(names)}"
                )
        kept = [c for c in kept if not patterns or any(_matches(getattr(c, what), p) for p in patterns)]
    if not kept:
        raise SpecError("the solvers and tasks chosen have no cell in common")
    return kept


def _overridden(cell: Cell, rule: Mapping[str, Any]) -> Cell | None:
    """`cell` as a matching rule changes it, None where it is to be left out."""
    if not all(_matches(str(getattr(cell, k)), v) for k, v in rule["when"].items()):
        return cell
    change = dict(rule["set"])
    if instance("an override's skip", change.pop("skip", False), bool, "true or false"):
        return None
    options = instance("an override's options", change.pop("options", {}), Mapping, "a table")
    if "seeds" in change:
        change["seeds"] = _seeds(change["seeds"])
    cell = replace(cell, **change)
    if options:
        cell = replace(cell, solver=str(parse(cell.solver).with_(**options)))
    return cell


def _seeds(given: int | Sequence[int]) -> tuple[int, ...]:
    """A number of seeds, or the seeds."""
    if isinstance(given, list | tuple) and given:
        return tuple(seed(v, "a seed") for v in given)
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= SEEDS:
        raise SpecError(f"seeds is a number from 1 to {SEEDS} or a list of seeds, not {shown(given)}")
    return tuple(range(given))


def _matches(text: str, pattern: str) -> bool:
    """Shell patterns; a bare name stands for itself with any options."""
    return fnmatchcase(text, pattern) or text.partition(":")[0] == pattern


def load(source: str | Path) -> Grid:
    """The grid in a TOML file or of a suite of the package. Raises DataError or SpecError with its name."""
    path = Path(source)
    return _suite(str(source)) if not path.is_file() and str(source) in SUITES else _read_file(path)


def _suite(name: str) -> Grid:
    """The grid of a suite, whatever files there are."""
    try:
        return _read_file(Path(SUITES[name]))
    except XhatError as e:
        raise type(e)(f"suite {name}: {e}") from e


def _read_file(path: Path) -> Grid:
    try:
        return read(tomllib.loads(text_of(path)))
    except RecursionError as e:
        raise DataError(f"{path}: is nested too deep") from e
    except (tomllib.TOMLDecodeError, SpecError) as e:
        raise SpecError(f"{path}: {e}") from e
    except DataError:
        raise
    except (OSError, ValueError) as e:  # no text, or no name of a file
        raise DataError(f"{path}: no such grid; a TOML file, or one of the suites {', '.join(suites())}") from e


PROSE = ("title", "about", "published")


def read(content: Mapping[str, Any]) -> Grid:
    """A grid from the content of a TOML file, every name in it checked."""
    _known("a grid", content, [f.name for f in fields(Grid)])
    without_code({k: v for k, v in content.items() if k not in PROSE}, "a grid")
    made: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
    for f in fields(Grid):
        if f.name in made and not (isinstance(made[f.name], dict) if f.name == "tasks" else fits(made[f.name], f.type)):
            raise SpecError(f"{f.name} must be {wanted(f.type)}, not {shown(content[f.name])}")
        _texts(f.name, made.get(f.name))
    grid = Grid(**made)
    for name, own in grid.tasks.items():
        instance(f"task {name!r}", own, Mapping, "a table")
        _known(f"task {name!r}", own, [k for k in SET if k not in ("solver", "options", "skip")])
        if "seeds" in own or not {"operator", "noise"} <= own.keys():
            raise SpecError(f"task {name!r} needs operator and noise, and takes no seeds of its own")
    for entry in grid.solvers:
        if not isinstance(entry, str) and not _labelled(entry):
            raise SpecError(f"a solver is a spec string or has label and spec, both text, not {shown(entry)}")
    for row in grid.published:
        instance("an entry of published", row, Mapping, "a table")
    for rule in grid.override:
        instance("an override", rule, Mapping, "a table")
        _known("an override", rule, ["when", "set"])
        if set(rule) != {"when", "set"}:
            raise SpecError("an override has two tables, when and set")
        for part in ("when", "set"):
            instance(f"an override's {part}", rule[part], Mapping, "a table")
        for k, pattern in rule["when"].items():
            instance(f"an override's when, {k}", pattern, str, "text")
        _known("an override's when", rule["when"], WHEN)
        _known("an override's set", rule["set"], SET)
    for cell in grid.cells():
        _ = cell.identity, as_schedule(cell.schedule)
    return grid


TEXTS = ("title", "about", "schedule", "baseline", "priors", "data", "operators", "noises", "metrics")


def _texts(name: str, v: Any) -> None:
    """Raises SpecError if anything but text stands where a grid holds text."""
    if name not in TEXTS:
        return
    for item in v if isinstance(v, tuple) else (v,):
        instance(name, item, str | None, "text")


def _labelled(entry: Any) -> bool:
    """Whether the entry of a solver is a table of its label and its spec."""
    return (
        isinstance(entry, Mapping)
        and set(entry) == {"label", "spec"}
        and all(isinstance(v, str) for v in entry.values())
    )


def _known(what: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    if wrong := sorted(set(given) - set(known)):
        raise SpecError(f"{what} has no {', '.join(wrong)}; it has {', '.join(known)}")


def suites() -> list[str]:
    """The names of the grids that ship with the package."""
    return sorted(SUITES)


class Suites(Mapping[str, Grid]):
    """The grids that ship with the package or with a plug-in, by name; each is read when it is asked for."""

    def __getitem__(self, name: str) -> Grid:
        return _suite(name)

    def __iter__(self) -> Iterator[str]:
        return iter(suites())

    def __len__(self) -> int:
        return len(suites())


SUITES_BY_NAME = Suites()


def as_rows(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """The cells as a report needs them, in the order of the grid."""
    return [{"id": cell.id, **asdict(cell), **cell.identity} for cell in cells]
