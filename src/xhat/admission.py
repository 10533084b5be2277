"""What a plug-in may bring as a part of each kind, and the refusal of anything else, in one line."""

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from .checks import shown
from .errors import SpecError

FOLDER = "/"  # the name of a reader of folders, which have no suffix
NAME = re.compile(r"[\w.+-]+")  # what a spec string can say: no colon, comma, bracket or space

# The class of which every part of a kind is a subclass, or which its builder builds; where it lives in this package. It
# is looked up by name because this module is below all of these; a part of the right kind has imported it already.
CLASSES = {
    "operators": "operators.base:Operator",
    "noises": "noise.base:Noise",
    "priors": "priors.base:Prior",
    "solvers": "solvers.base:Solver",
    "baselines": "baselines.base:Baseline",
    "schedules": "schedule:Schedule",
    "images": "bench.images:Images",
}
# The class of which every part of a kind is an instance.
ROWS = {
    "metrics": "metrics.base:Metric",
    "numbers": "metrics.base:Number",
    "formats": "priors.checkpoints.formats:Format",
}
# What the parts of the other kinds are: a test, and the words of the refusal.
OTHERS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "readers": (callable, "a function (path, item) that returns a Measurement"),
    "exports": (lambda v: _pair(v), "a pair of the library it needs, as text, and a function that writes voxels"),
    "generators": (callable, "a function (count, size, seed) that returns pictures"),
    "suites": (lambda v: isinstance(v, str | Path), "the path of a TOML file"),
}


def admit(kind: str, parts: Any, made_by: Callable[[Any], Any]) -> None:
    """Raises SpecError for the first of `parts`, by name, that is no part of the kind `kind`.

    `made_by` says which class a builder builds, and returns anything else as it is.
    """
    if not isinstance(parts, Mapping):
        raise SpecError(f"{kind} must be a table of parts by name, not {shown(parts)}")
    for name, part in parts.items():
        _check_name(kind, name)
        if why := refusal(kind, part, made_by(part)):
            raise SpecError(f"{kind} {name!r} must be {why}")
        if kind in ROWS and part.name != name:
            raise SpecError(f"{kind} {name!r} must have the name of its row, {part.name!r}")


def refusal(kind: str, part: Any, made: Any) -> str | None:
    """What a part of the kind `kind` must be and `part` is not, in words; None if it is. `made` is what it builds."""
    if kind in OTHERS:
        fits, words = OTHERS[kind]
        return None if fits(part) else f"{words}, not {shown(part)}"
    if kind in ROWS:
        cls = _class(ROWS[kind])
        return None if isinstance(part, cls) else f"a row of the class {cls.__name__}, not {shown(part)}"
    name = CLASSES[kind].partition(":")[2]
    if not isinstance(made, type) or not issubclass(made, _class(CLASSES[kind])):
        return f"a subclass of {name} or a function wrapped by builds, not {shown(part)}"
    if made is part and (missing := abstract(made)):
        return f"a class that can be built, and {made.__name__} does not define {', '.join(missing)}"
    return None


def abstract(cls: type) -> list[str]:
    """The methods that a class leaves abstract."""
    return [n for n in dir(cls) if getattr(getattr(cls, n, None), "__isabstractmethod__", False)]


def _check_name(kind: str, name: Any) -> None:
    if kind == "readers":
        if name != FOLDER and not (
            isinstance(name, str) and re.fullmatch(r"\.[^./\\\s]+", name) and name == name.lower()
        ):
            last = str(name).lower().strip(". ").rpartition(".")[2]
            raise SpecError(f'readers {name!r} must be a suffix in small letters with its dot, ".{last or "dat"}"')
    elif not isinstance(name, str) or not NAME.fullmatch(name):
        raise SpecError(f"{kind} {name!r}: a name has letters, digits and _ . + - only")


def _class(place: str) -> type:
    module, _, name = place.partition(":")
    found: type = getattr(import_module(f".{module}", __package__), name)
    return found


def _pair(v: Any) -> bool:
    return isinstance(v, tuple) and len(v) == 2 and isinstance(v[0], str) and callable(v[1])
