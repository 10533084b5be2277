"""`xhat list`: every registered part with its options, defaults and source."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..baselines import BASELINES
from ..bench.grid import SUITES_BY_NAME, Grid
from ..bench.images import IMAGES
from ..errors import SpecError, XhatError
from ..metrics.base import Metric
from ..metrics.registry import METRICS
from ..noise import NOISES
from ..operators import OPERATORS
from ..operators.base import AffineOperator, LinearOperator, Operator, SpectralOperator
from ..priors import PRIORS, Prior
from ..ranges import wanted
from ..registry import Builder, kind_of
from ..schedule import SCHEDULES
from ..solvers import SOLVERS
from ..solvers.base import Solver
from ..spec import lookup, parameters, text_of
from .compatibility import MEANINGS, matrix, takers

KINDS: dict[str, Mapping[str, Any]] = {
    "operators": OPERATORS,
    "noises": NOISES,
    "solvers": SOLVERS,
    "baselines": BASELINES,
    "priors": PRIORS,
    "metrics": METRICS,
    "schedules": SCHEDULES,
    "data": IMAGES,
    "suites": SUITES_BY_NAME,
}


def listing(kind: str, name: str | None = None, of: str | None = None) -> str:
    """All parts of a kind in a few lines each, or the part called `name` with its whole docstring, as text.

    Of solvers, with `of`, the spec of an operator, those that take it, and what they need for it. Raises SpecError for
    an unknown name, and for `of` beside another kind.
    """
    registry = KINDS[kind]
    if of is not None:
        if kind != "solvers" or name is not None:
            raise SpecError("--for chooses among the solvers: xhat list solvers --for SPEC")
        return "\n".join(_for(of))
    if name is not None and ":" in name:
        raise SpecError(f"{name}: what is listed has a name without options; xhat list {kind} has all")
    if name is not None:
        lookup(name, dict.fromkeys(registry, _for) if kind == "suites" else registry)  # says what may have been meant
    if name is not None:
        return "\n".join(entry(name, registry[name], whole=True))
    shown = "\n".join("\n".join(_brief(n, registry)) for n in sorted(registry))
    return f"{shown}\n\n{matrix()}" if kind == "solvers" else shown


def _for(of: str) -> Iterator[str]:
    """The lines about the solvers that take the operator `of`, those that take any noise first."""
    fit = takers(of)
    for mark, meaning in MEANINGS.items():
        if names := [name for name, found in fit.items() if found == mark]:
            yield f"{meaning}:"
            for name in names:
                doc = (inspect.getdoc(SOLVERS[name]) or "").splitlines()
                yield f"    {name:20} {doc[0] if doc else ''}".rstrip()


def _brief(name: str, registry: Mapping[str, Any]) -> Iterator[str]:
    """The lines about one part among all others; if it cannot be read, as a suite of a plug-in, they say why."""
    try:
        yield from list(entry(name, registry[name]))
    except XhatError as e:
        yield name
        yield f"    broken: {e}"


def entry(name: str, part: Any, whole: bool = False) -> Iterator[str]:
    """Yields the lines about one part: name and options, what it is, what it needs, where it comes from."""
    kind = kind_of(part) if isinstance(part, type | Builder) else None  # a metric's row and a suite have no options
    options = ", ".join(options_with_defaults(part)) if isinstance(kind, type) else ""
    yield name
    if options:
        yield f"    options: {options}"
        if whole:
            yield from (f"        {line}" for line in meanings(part))
    doc = (part.about if isinstance(part, Metric) else inspect.getdoc(part) or "").strip()
    doc = f"{part.title}. {part.about}" if isinstance(part, Grid) else doc
    yield from (f"    {line}".rstrip() for line in doc.split("\n\n" if not whole else "\n")[: None if whole else 1])
    notes = []
    if isinstance(kind, type) and issubclass(kind, Operator):
        notes.append(capability(kind))
    if isinstance(part, type) and issubclass(part, Solver):
        prior = "" if part.needs_prior is Prior else f" and a {part.needs_prior.__name__}"
        notes.append(f"needs {part.needs.__name__}{prior}, returns {part.returns}")
    if where := source(part, doc):
        notes.append(where)
    if notes:
        yield f"    [{'; '.join(notes)}]"


def options_with_defaults(part: Any) -> list[str]:
    """`key=default` for each option of a spec string, and `key` alone if it has no default."""
    shown = list(parameters(part).values())[1 if issubclass(kind_of(part), Operator) else 0 :]
    return [p.name if p.default is p.empty else f"{p.name}={text_of(p.default)}" for p in shown]


def option_names() -> dict[str, dict[str, list[str]]]:
    """The names of the options of every part, by kind and name: what a shell completes."""
    out: dict[str, dict[str, list[str]]] = {}
    for kind, registry in KINDS.items():
        out[kind] = {}
        for name in sorted(registry):
            part = None if kind == "suites" else registry[name]  # a suite has no options, and its file may be broken
            made = isinstance(part, type | Builder) and isinstance(kind_of(part), type)
            out[kind][name] = [text.partition("=")[0] for text in options_with_defaults(part)] if made else []
    return out


def meanings(part: Any) -> list[str]:
    """`key: a number above 0` for each option of a spec string: what it may be, in the words of a refusal."""
    shown = list(parameters(part).values())[1 if issubclass(kind_of(part), Operator) else 0 :]
    return [f"{p.name}: {wanted(p.annotation)}" for p in shown]


def capability(cls: type[Operator]) -> str:
    """What solvers can use of an operator, in words."""
    if issubclass(cls, SpectralOperator):
        return "linear, with SVD"
    if issubclass(cls, AffineOperator):
        return "linear up to a constant"
    return "linear" if issubclass(cls, LinearOperator) else "non-linear"


def source(part: Any, doc: str) -> str:
    """The `source` of a part, or otherwise the arXiv number in its docstring."""
    given = getattr(part, "source", "")
    found = re.search(r"arXiv[: ]\s*(\d{4}\.\d{4,5}|[a-z-]+/\d{7})", doc)
    return str(given) or (f"arXiv:{found[1]}" if found else "")
