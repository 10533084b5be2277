"""From a part back to the spec string that builds it."""

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import SpecError
from ..ranges import parameters
from ..registry import Given, kind_of, registry_of
from ._text import Spec


def spec_of(thing: Any, registry: Mapping[str, Any], full: bool = False) -> str:
    """The shortest spec string that builds `thing`, a part of the registry, again; `full` states defaults, too.

    A part that is no dataclass is described by the arguments it was built with, an operator's shape left out. Of an
    argument that no text can hold, a tensor or a function, the spec says what it is: a hash of its numbers, or its
    name. A part that is not registered goes by `package.module:Class`.
    """
    maker, values, defaults = _made(thing)
    name = next((n for n, part in registry.items() if part is maker), None)
    if name is None and isinstance(kind_of(maker), type):
        name = f"{maker.__module__}:{maker.__qualname__}"
    options = {k: v for k, v in values.items() if full or not _same(v, defaults[k])}
    return str(Spec(name or type(thing).__name__, {k: _said(v) for k, v in options.items()}))


def called(thing: Any) -> str:
    """What a user types for a part: its name in the registry of its kind, such as motion_blur, else its class's name.

    A composition is called by the names of its parts, `jpeg @ super_resolution`.
    """
    outer, inner = getattr(thing, "outer", None), getattr(thing, "inner", None)
    if outer is not None and inner is not None:
        return f"{called(outer)} @ {called(inner)}"
    registry = next((r for c in type(thing).__mro__ if (r := registry_of(c))), None)
    try:
        maker = _made(thing)[0]
    except SpecError:
        maker = type(thing)
    return next((name for name, part in (registry or {}).items() if part is maker), type(thing).__name__)


def written(thing: Any) -> bool:
    """Whether the spec string of a part says all of it: none of its options is a tensor, a network or a function."""
    try:
        _, values, _ = _made(thing)
    except SpecError:
        return False
    return all(map(_has_text, values.values()))


def _has_text(v: Any) -> bool:
    if isinstance(v, tuple | list):
        return all(map(_has_text, v))
    if any(registry_of(c) for c in type(v).__mro__):
        return written(v)
    return isinstance(v, str | int | float | Path | NoneType)


def _made(thing: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The class or builder of a part, the values of its options, and their defaults."""
    if is_dataclass(thing) and not isinstance(thing, type):
        own = [f for f in fields(thing) if f.init]
        defaults = {f.name: f.default_factory() if f.default_factory is not MISSING else f.default for f in own}
        return type(thing), {f.name: getattr(thing, f.name) for f in own}, defaults
    given = getattr(thing, "given", None)
    if not isinstance(given, Given):
        raise SpecError(f"{type(thing).__name__} has no spec string")
    bound = inspect.signature(given.maker).bind(*given.args, **given.options)
    bound.apply_defaults()
    known = {k: p for k, p in parameters(given.maker).items() if k != "shape"}
    return given.maker, {k: bound.arguments[k] for k in known}, {k: p.default for k, p in known.items()}


def _same(a: Any, b: Any) -> bool:
    """Whether a value is its option's default."""
    return a is b or (type(a) not in (Tensor, np.ndarray) and bool(a == b))


def _said(v: Any) -> Any:
    """The value of an option as a spec string can hold it."""
    if isinstance(v, Tensor | np.ndarray):
        array = np.ascontiguousarray(v.detach().cpu().numpy() if isinstance(v, Tensor) else v)
        return f"sha256-{hashlib.sha256(array.tobytes()).hexdigest()[:16]}"
    if (nested := next((r for c in type(v).__mro__ if (r := registry_of(c))), None)) is not None:
        return spec_of(v, nested)
    if isinstance(v, str | int | float | tuple | list | NoneType):
        return v
    return getattr(v, "__name__", str(v))
