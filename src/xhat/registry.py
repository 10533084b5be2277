"""Registries: the parts of each kind (operators, solvers, priors ...) by the name that a spec string gives them.

A registry starts with the parts of its own package and is completed by plug-ins: the sciences of `xhat.catalogue`,
then every installed package that declares an entry point of the group `xhat.plugins`. Plug-ins are imported when a
registry is first asked for a part, so that no module of the core imports a science.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import update_wrapper
from importlib import import_module
from importlib.metadata import entry_points
from inspect import signature
from typing import Any, Generic, TypeVar

from .admission import abstract, admit
from .errors import SpecError
from .ranges import Checked, check, name_of

T = TypeVar("T")
Q = TypeVar("Q")
R = TypeVar("R", bound="Recorded")
P = TypeVar("P")  # what a registry holds: classes and builders, or the parts themselves

GROUP = "xhat.plugins"
CATALOGUE = "xhat.catalogue"


@dataclass(frozen=True)
class Plugin:
    """What a package adds to xhat: for each kind of part, the parts by name.

    An operator, noise, prior, solver, baseline, schedule or image set is a class, or a function wrapped by `builds`.
    A reader is keyed by the suffix of its files, in small letters and with the dot; several may have the same, and one
    that raises `xhat.Declined` lets the next one try. A suite is the path of a TOML file.
    Raises SpecError, which names the part, for one that is not of its kind.
    """

    name: str
    operators: Mapping[str, Any] = field(default_factory=dict)
    noises: Mapping[str, Any] = field(default_factory=dict)
    priors: Mapping[str, Any] = field(default_factory=dict)
    solvers: Mapping[str, Any] = field(default_factory=dict)
    baselines: Mapping[str, Any] = field(default_factory=dict)
    schedules: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)  # rows of `metrics.base.Metric`
    numbers: Mapping[str, Any] = field(default_factory=dict)  # rows of `metrics.base.Number`, for what is no metric
    readers: Mapping[str, Any] = field(default_factory=dict)
    exports: Mapping[str, Any] = field(default_factory=dict)  # as in `files.exports`: the library and the writer
    generators: Mapping[str, Any] = field(default_factory=dict)
    images: Mapping[str, Any] = field(default_factory=dict)
    suites: Mapping[str, Any] = field(default_factory=dict)
    formats: Mapping[str, Any] = field(default_factory=dict)  # rows of `priors.checkpoints.Format`

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise SpecError(f"a plug-in has a name, not {self.name!r}")
        for kind in KINDS:
            try:
                admit(kind, getattr(self, kind), lambda part: part.kind if isinstance(part, Builder) else part)
            except SpecError as e:
                raise SpecError(f"plug-in {self.name}: {e}") from e


KINDS = tuple(f.name for f in fields(Plugin) if f.name != "name")


class Registry(Mapping[str, P]):
    """The parts of one kind by name: those of the package itself and those of plug-ins.

    `base` is the class that every part is, or builds; None for parts that no spec string builds. `resolve` turns what
    a user types, the path of a file for instance, into a spec string. `implied` are the parts that a plug-in brings
    with its parts of another kind. Of a `shared` kind several plug-ins may bring a part of the same name, and `every`
    gives them all.
    """

    def __init__(
        self,
        kind: str,
        base: type | None,
        own: Mapping[str, P],
        resolve: Callable[[str], str] = lambda text: text,
        shared: bool = False,
        implied: Callable[[Plugin], Mapping[str, P]] = lambda plugin: {},
    ) -> None:
        if kind not in KINDS:
            raise SpecError(f"there is no kind of part called {kind}; there are {', '.join(KINDS)}")
        self.kind, self.base, self.own, self.resolve = kind, base, dict(own), resolve
        self.shared, self.implied = shared, implied
        if base is not None:
            _registries[base] = self

    @property
    def parts(self) -> dict[str, P]:
        """All parts by name. A name that is taken keeps its first part, and a warning names the plug-in."""
        found = dict(self.own)
        for plugin in plugins():
            for name, part in {**self.implied(plugin), **getattr(plugin, self.kind)}.items():
                if found.setdefault(name, part) is not part and not self.shared:
                    warnings.warn(f"plug-in {plugin.name}: {self.kind} {name!r} exists already", stacklevel=2)
        return found

    def every(self, name: str) -> dict[str, P]:
        """All parts called `name` by the plug-in that brings each, those of the package itself first."""
        return {plugin.name: brought[name] for plugin in plugins() if name in (brought := getattr(plugin, self.kind))}

    @property
    def bases(self) -> tuple[type, ...]:
        """The classes of which every part is one, or builds one."""
        return () if self.base is None else (self.base,)

    def __getitem__(self, name: str) -> P:
        return self.own[name] if name in self.own else self.parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self.parts

    def __or__(self, other: "Registry[Q]") -> "Joined[P | Q]":
        """The parts of two registries under one roof, whatever plug-ins add to either."""
        return Joined(self, other)


class Joined(Registry[P]):
    """The parts of two registries."""

    def __init__(self, one: Registry[Any], two: Registry[Any]) -> None:
        self.kind, self.base, self.own, self.resolve = f"{one.kind} and {two.kind}", None, {}, str
        self.both = one, two

    @property
    def parts(self) -> dict[str, P]:
        one, two = self.both
        return one.parts | two.parts

    @property
    def bases(self) -> tuple[type, ...]:
        return tuple(base for registry in self.both for base in registry.bases)


_registries: dict[type, Registry[Any]] = {}


def registry_of(base: object) -> Registry[Any] | None:
    """The registry whose parts are, or build, instances of the class `base`; None if there is none."""
    return _registries.get(base) if isinstance(base, type) else None


_plugins: list[Plugin] | None = None
_loading = False


def plugins() -> list[Plugin]:
    """The plug-ins of this installation, imported once; those of the package itself come first."""
    global _plugins, _loading
    if _plugins is None and not _loading:
        _loading = True
        try:
            _plugins = [*import_module(CATALOGUE).PLUGINS, *_installed()]
        finally:
            _loading = False
    return _plugins or []


def _installed() -> Iterator[Plugin]:
    """The plug-ins of other packages. One that cannot be imported is left out with a warning that names it."""
    for entry in entry_points(group=GROUP):
        try:
            plugin = entry.load()
        except Exception as e:  # whatever the code of others raises when it is imported
            warnings.warn(f"plug-in {entry.name} ({entry.value}) cannot be loaded: {e}", stacklevel=2)
            continue
        if isinstance(plugin, Plugin):
            yield plugin
        else:
            warnings.warn(f"plug-in {entry.name} ({entry.value}) is not an xhat.Plugin", stacklevel=2)


class Builder(Generic[T]):
    """A function in a registry: it builds the instance of `kind` that suits its arguments best.

    What it builds remembers the call (`given`), so that its spec string is the one that built it.
    """

    def __init__(
        self, make: Callable[..., T], kind: type[T], source: str = "", example: tuple[int, ...] | None = None
    ) -> None:
        update_wrapper(self, make)
        self.make, self.kind = make, kind
        if source:
            self.source = source
        if example:
            self.example = example
        self.__signature__ = signature(make)

    def __call__(self, *args: Any, **options: Any) -> T:
        check(self, args, options)
        made = self.make(*args, **options)
        object.__setattr__(made, "given", Given(self, args, options))
        return made

    def __getattr__(self, name: str) -> Any:
        """What is asked of a class of parts, `image_shape` for instance, `kind` answers."""
        if name.startswith("__") or "kind" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.kind, name)

    def __instancecheck__(self, thing: object) -> bool:
        """`isinstance(A, OPERATORS["mri"])` asks for the kind, whatever class the builder chose."""
        return isinstance(thing, self.kind)

    def __reduce__(self) -> str:
        """Pickled by name, as a function is."""
        return self.make.__qualname__


def builds(
    kind: type[T], source: str = "", example: tuple[int, ...] | None = None
) -> Callable[[Callable[..., T]], Builder[T]]:
    """A decorator for a function that builds the operator, or other part, that suits its options best.

    Example:

        @xhat.builds(xhat.LinearOperator, source="where it is defined")
        def halves(shape, axis: int = -1):
            return xhat.operator(lambda x: x.narrow(axis, 0, x.shape[axis] // 2), shape, linear=True)
    """
    if not isinstance(kind, type):
        raise SpecError(f"builds: the kind is a class such as xhat.LinearOperator, not {kind!r}")
    return lambda make: Builder(make, kind, source, example)


@dataclass(frozen=True)
class Given:
    """The call that made a part: its class or builder, with the arguments as they were given."""

    maker: Callable[..., Any]
    args: tuple[Any, ...]
    options: Mapping[str, Any]


class Recorded(Checked):
    """A base for parts that are no dataclasses: each remembers the call that made it (`given`)."""

    given: Given

    def __new__(cls: type[R], *args: Any, **options: Any) -> R:
        made = super().__new__(cls, *args, **options)
        object.__setattr__(made, "given", Given(cls, args, options))  # an nn.Module takes no attributes so early
        return made

    def extra_repr(self) -> str:
        """The arguments of that call, which `repr` shows between the brackets of an operator or a prior.

        An array or a tensor is shown as its kind and shape; the parts of a module follow in lines of their own.
        """

        def short(value: object) -> str:
            shape = getattr(value, "shape", None)
            return repr(value) if shape is None else f"{type(value).__name__} {tuple(shape)}"

        named = [("", a) for a in self.given.args] + [(f"{k}=", v) for k, v in self.given.options.items()]
        return ", ".join(name + short(value) for name, value in named if not hasattr(value, "named_children"))


def kind_of(part: Any) -> type:
    """The class that a part of a registry builds: itself, or what its builder promises."""
    return part.kind if isinstance(part, Builder) else part


def concrete(namespace: Mapping[str, object], base: type[T]) -> dict[str, Any]:
    """The parts of kind `base` in `namespace` by name: classes that are not abstract, and builders.

    The name is the class's own `name` where it sets one, else the class name in lower case; a builder has its
    function's name.
    """
    found: dict[str, Any] = {}
    for thing in namespace.values():
        kind = thing.kind if isinstance(thing, Builder) else thing
        if isinstance(kind, type) and issubclass(kind, base) and (isinstance(thing, Builder) or not abstract(kind)):
            found[name_of(thing)] = thing
    return found
