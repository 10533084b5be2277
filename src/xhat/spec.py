"""Spec strings, `name:key=value,…`: at once CLI argument, benchmark key and record."""

import inspect
from ast import literal_eval
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from .errors import SpecError, XhatError

T = TypeVar("T")


def build(spec: str, registry: Mapping[str, type[T]], *args: Any, known: Mapping[str, Any] = {}) -> T:
    """`build("dps:zeta=0.5", SOLVERS)` is `DPS(zeta=0.5)`; `args` come first, as an operator's shape does.

    Options that the spec leaves out are taken from `known`, which may hold things that the class has no use for.
    Raises SpecError for an unknown name or option, listing the known ones, and for a value that does not fit.
    """
    name, options = parse(spec)
    cls = lookup(name, registry)
    options = {k: v for k, v in known.items() if k in parameters(cls)} | options
    try:
        return cls(*args, **checked(name, cls, options, skip=len(args)))
    except XhatError:
        raise
    except (TypeError, ValueError) as e:
        raise SpecError(f"{spec}: {e}") from e


def lookup(name: str, registry: Mapping[str, type[T]]) -> type[T]:
    """The class called `name`."""
    if name not in registry:
        raise SpecError(f"unknown name {name!r}; choose from {', '.join(sorted(registry))}")
    return registry[name]


def checked(name: str, cls: type, options: Mapping[str, Any], skip: int = 0) -> dict[str, Any]:
    """`options` after a look at the constructor's names and annotations, its first `skip` arguments left out."""
    known = {key: p.annotation for key, p in list(parameters(cls).items())[skip:]}
    if unknown := sorted(options.keys() - known.keys()):
        raise SpecError(f"{name} has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
    for key, v in options.items():
        if not fits(v, known[key]):
            raise SpecError(f"{name}: {key} must be {wanted(known[key])}, not {v!r}")
    return {key: cast(v, known[key]) for key, v in options.items()}


def parse(spec: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a spec string; only the first colon separates, so `mask=C:/a.png` is an option.

    Commas inside brackets or quotes separate no options.
    """
    name, _, rest = spec.partition(":")
    options: dict[str, Any] = {}
    for item in split(rest) if rest else ():
        key, eq, text = (part.strip() for part in item.partition("="))
        if not eq or not key:
            raise SpecError(f"{spec!r}: expected key=value, found {item!r}")
        if key in options:
            raise SpecError(f"{spec!r}: option {key} is given twice")
        options[key] = value(text)
    return name.strip(), options


def split(text: str) -> Iterator[str]:
    """The parts of `text` between commas that stand outside brackets and quotes."""
    depth, quote, start = 0, "", 0
    for i, c in enumerate(text):
        if quote:
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c if text[i - 1 : i] in ("=", "[", "(", ",", " ") else ""  # elsewhere it is an apostrophe
        elif c in "([":
            depth += 1
        elif c in ")]":
            depth = max(0, depth - 1)
        elif c == "," and not depth:
            yield text[start:i]
            start = i + 1
    yield text[start:]


def value(text: str) -> Any:
    """A Python literal where the text is one, `true`, `false` and `none` included, else the text itself."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def text_of(v: Any) -> str:
    """The shortest text that `value` reads back as `v`."""
    if isinstance(v, bool) or v is None:
        return str(v).lower()
    if isinstance(v, float) and v.is_integer() and abs(v) < 1e15:
        return str(int(v))  # 80.0 and 80 are one key
    if isinstance(v, tuple | list):
        return f"[{','.join(text_of(item) if not isinstance(item, str) else repr(item) for item in v)}]"
    text = str(v)
    plain = value(text) == text and text == text.strip() and not set(text) & set(",()[]'\"=")
    return text if not isinstance(v, str) or plain else repr(v)


def parameters(cls: type) -> dict[str, inspect.Parameter]:
    """The parameters of a constructor by name, in order."""
    return dict(inspect.signature(cls).parameters)


def options_of(cls: type) -> list[str]:
    """The options of a class in the order of its constructor."""
    return list(parameters(cls))


def fits(v: Any, hint: Any) -> bool:
    """Whether a value from a spec string can be what the annotation asks for; unknown annotations accept all."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(v, a) for a in args)
    if origin is Literal:
        return v in args
    if hint in (float, int):
        return isinstance(v, (int, float) if hint is float else int) and not isinstance(v, bool)
    if hint is str:
        return not isinstance(v, list | tuple | bool | NoneType)
    if hint in (bool, None, NoneType):
        return isinstance(v, bool) if hint is bool else v is None
    if origin in (tuple, list, Sequence):
        return isinstance(v, list | tuple) and all(fits(item, args[0]) for item in v)
    return True


def cast(v: Any, hint: Any) -> Any:
    """A value that fits as what the annotation names: 1 as 1.0 or as text, a list as a tuple."""
    choices = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if hint is str:
        return str(v)
    if isinstance(v, int) and not isinstance(v, bool) and float in choices and int not in choices:
        return float(v)
    if isinstance(v, list | tuple):
        row = next((h for h in choices if get_origin(h) is tuple), None)
        return v if row is None else tuple(cast(item, get_args(row)[0]) for item in v)
    return v


def wanted(hint: Any) -> str:
    """An annotation in words."""
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    return words.get(hint, str(hint))


def spec_of(thing: Any, registry: Mapping[str, type], full: bool = False) -> str:
    """The shortest spec string that builds `thing`, a dataclass of the registry, again; `full` states defaults, too."""
    if not is_dataclass(thing):
        raise SpecError(f"{type(thing).__name__} has no spec string")
    name = next((n for n, c in registry.items() if c is type(thing)), type(thing).__name__)
    values = {f.name: getattr(thing, f.name) for f in fields(thing) if f.init}
    defaults = {f.name: f.default if f.default is not MISSING else None for f in fields(thing)}
    changed = ",".join(f"{k}={text_of(v)}" for k, v in values.items() if full or v != defaults[k])
    return f"{name}:{changed}" if changed else name
