"""Spec strings, `name:key=value,…`: at once CLI argument, benchmark key and record."""

import inspect
import re
from ast import literal_eval
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from .errors import SpecError, XhatError

T = TypeVar("T")


def build(spec: str, registry: Mapping[str, type[T]], *args: Any) -> T:
    """`build("dps:zeta=0.5", SOLVERS)` is `DPS(zeta=0.5)`; `args` come first, as an operator's shape does.

    Raises SpecError for an unknown name or option, listing the known ones, and for a value that does not fit.
    """
    name, options = parse(spec)
    cls = lookup(name, registry)
    known = options_of(cls)[len(args) :]
    if unknown := sorted(options.keys() - set(known)):
        raise SpecError(f"{name} has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
    try:
        return cls(*args, **options)
    except XhatError:
        raise
    except (TypeError, ValueError) as e:
        raise SpecError(f"{spec}: {e}") from e


def lookup(name: str, registry: Mapping[str, type[T]]) -> type[T]:
    """The class called `name`."""
    if name not in registry:
        raise SpecError(f"unknown name {name!r}; choose from {', '.join(sorted(registry))}")
    return registry[name]


def parse(spec: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a spec string; commas inside brackets separate list items, not options."""
    name, _, rest = spec.partition(":")
    options: dict[str, Any] = {}
    for item in re.split(r",(?![^\[(]*[\])])", rest) if rest else []:
        key, eq, text = item.partition("=")
        if not eq or not key:
            raise SpecError(f"{spec!r}: expected key=value, found {item!r}")
        if key in options:
            raise SpecError(f"{spec!r}: option {key} is given twice")
        options[key] = value(text)
    return name, options


def value(text: str) -> Any:
    """A Python literal where the text is one, `true` and `false` included, else the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def options_of(cls: type) -> list[str]:
    """The options of a class in the order of its constructor."""
    return [p for p in inspect.signature(cls).parameters if p != "self"]


def spec_of(thing: Any, registry: Mapping[str, type]) -> str:
    """The shortest spec string that builds `thing`, a dataclass of the registry, again."""
    if not is_dataclass(thing):
        raise SpecError(f"{type(thing).__name__} has no spec string")
    name = next((n for n, c in registry.items() if c is type(thing)), type(thing).__name__)
    values = {f.name: getattr(thing, f.name) for f in fields(thing) if f.init and getattr(thing, f.name) != f.default}
    changed = ",".join(f"{k}={v}".replace(" ", "") for k, v in values.items())
    return f"{name}:{changed}" if changed else name
