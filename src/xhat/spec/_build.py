"""From a spec string to the part that it names, its options checked against the annotations of the constructor."""

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from .. import ranges
from ..checks import instance
from ..errors import SpecError, XhatError, out_of_memory
from ..ranges import bare, demand, parameters
from ..registry import Registry, kind_of, registry_of
from ._own import own
from ._text import Spec, parse

T = TypeVar("T")

SHORT = 12  # so many names are listed whole where one is unknown


def build(spec: str | Spec, registry: Mapping[str, Callable[..., T]], *args: Any, known: Mapping[str, Any] = {}) -> T:
    """The part of a registry that a spec string names; `args` come first, as an operator's shape does.

    Example:

        solver = xhat.build("dps:steps=50", xhat.solvers.SOLVERS)
        A = xhat.build("gaussian_blur:std=1.5", xhat.operators.OPERATORS, (3, 64, 64))

    `package.module:Class` takes the place of a name that is not registered. Options that the spec leaves out are
    taken from `known`, which may hold things that the part has no use for. An option that is itself a prior, a
    solver or another registered kind may be a spec string, in brackets or quotes if it has options of its own:
    `magnitude:prior=(photo:dtype=bfloat16)`.
    Raises SpecError for an unknown name or option, listing the known ones, and for a value that does not fit.
    """
    instance("a spec", spec, str | Spec, "text, name:key=value")
    instance("registry", registry, Mapping, "a table of parts by name, such as SOLVERS")
    if isinstance(registry, Registry) and isinstance(spec, str):
        spec = registry.resolve(spec)
    name, options = parse(spec, registry) if isinstance(spec, str) else spec
    maker = lookup(name, registry)
    options = {k: v for k, v in known.items() if k in parameters(maker)} | dict(options)
    try:
        return maker(*args, **checked(name, maker, options, skip=len(args)))
    except XhatError:
        raise
    except (TypeError, ValueError) as e:
        raise SpecError(f"{spec}: {e}") from e
    except (RuntimeError, MemoryError) as e:
        if isinstance(e, RuntimeError) and not out_of_memory(e):
            raise
        shape = f" of shape {args[0]}" if args and isinstance(args[0], tuple) else ""
        raise SpecError(f"{spec}: takes more memory than there is for images{shape}; make them smaller") from e


def build_as(base: type[T], spec: str) -> T:
    """The part that a spec string names among those of kind `base`: `build_as(Prior, "photo")`.

    Raises SpecError like `build`, and if no registry holds parts of this kind.
    """
    registry = registry_of(base)
    if registry is None:
        raise SpecError(f"no registry holds parts of the kind {base.__name__}")
    made: T = build(spec, registry)
    return made


def lookup(name: str, registry: Mapping[str, Callable[..., T]]) -> Callable[..., T]:
    """The class or builder called `name`, or the class that `package.module:Class` names.

    Raises SpecError for a name that is not registered, and for a class that cannot be imported or is of another kind.
    """
    if name in registry:
        return registry[name]
    if ":" in name and isinstance(registry, Registry):
        return _imported(name, registry)
    kinds = registry.kind.split(" and ") if isinstance(registry, Registry) else ["names"]
    kind = " or ".join(k.removesuffix("s") for k in kinds)
    near = _near(name, registry)
    hint = f"; did you mean {near}?" if near else ""
    long = isinstance(registry, Registry) and len(registry) > SHORT
    choice = f"xhat list {kinds[0]} has all {len(registry)}" if long else f"choose from {', '.join(sorted(registry))}"
    raise SpecError(f"unknown {kind} {name!r}; {choice}{hint}")


def _near(name: str, names: Collection[str]) -> str:
    """What `name` may stand for: the name that is spelt much like it, or else up to three that it is a part of."""
    asked = name.lower().replace("-", "_")
    if alike := get_close_matches(asked, names, 1):
        return alike[0]
    return " or ".join([n for n in sorted(names) if asked and asked in n][:3])


def _imported(name: str, registry: Registry[Callable[..., T]]) -> Callable[..., T]:
    """The class or builder `package.module:Class`, of the registry's kind."""
    module, _, attribute = name.partition(":")
    if module in registry:
        raise SpecError(f"{module}: expected key=value, found {attribute!r}")
    part = own(name, "a class of your own is written package.module:Class")
    kind = kind_of(part)
    if not (isinstance(kind, type) and issubclass(kind, registry.bases)):
        wanted_kinds = " or ".join(b.__name__ for b in registry.bases)
        raise SpecError(f"{name} is not one of the {registry.kind}: it is not a subclass of {wanted_kinds}")
    made: Callable[..., T] = part
    return made


def checked(name: str, maker: Callable[..., Any], options: Mapping[str, Any], skip: int = 0) -> dict[str, Any]:
    """`options` after a look at the names and annotations of `maker`, whose first `skip` arguments are left out."""
    known = {key: p.annotation for key, p in list(parameters(maker).items())[skip:]}
    if unknown := sorted(options.keys() - known.keys()):
        raise SpecError(f"{name} has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
    for key, v in options.items():
        demand(name, key, v, known[key], _written)
    return {key: cast(v, known[key]) for key, v in options.items()}


def fits(v: Any, hint: Any) -> bool:
    """Whether a value from a spec string can be what the annotation asks for; unknown annotations accept all."""
    return ranges.fits(v, hint, _written)


def _written(v: Any, hint: Any) -> bool:
    """What `fits` says of annotations that are neither numbers nor made of others."""
    origin = get_origin(hint)
    if registry_of(origin or hint):
        return isinstance(v, str | (origin or hint))
    if origin is Literal:
        return v in get_args(hint) or (v is None and "none" in get_args(hint))
    if hint is str:
        return not isinstance(v, list | tuple | bool | NoneType)
    if hint in (bool, None, NoneType):
        return isinstance(v, bool) if hint is bool else v is None
    return True


def cast(v: Any, hint: Any) -> Any:
    """A value that fits as what the annotation names: 1 as 1.0 or as text, a list as a tuple."""
    hint = bare(hint)
    choices = tuple(map(bare, get_args(hint))) if get_origin(hint) in (Union, UnionType) else (hint,)
    if isinstance(v, str) and (nested := next(filter(None, (registry_of(get_origin(h) or h) for h in choices)), None)):
        return build(v[1:-1] if v[:1] + v[-1:] == "()" else v, nested)
    if hint is str:
        return str(v)
    if v is None and get_origin(hint) is Literal and None not in get_args(hint):
        return "none"  # one of the words that may be chosen, and not a value that is left out
    if isinstance(v, int) and not isinstance(v, bool) and float in choices and int not in choices:
        return float(v)
    if isinstance(v, list | tuple):
        row = next((h for h in choices if get_origin(h) is tuple), None)
        return v if row is None else tuple(cast(item, get_args(row)[0]) for item in v)
    return v
