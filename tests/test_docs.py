"""Everything public says what it is: modules, classes, functions and methods have a docstring."""

import inspect
import pkgutil
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from types import FunctionType, ModuleType

import xhat

MEMBERS = (FunctionType, classmethod, staticmethod, property, cached_property)


def modules() -> Iterator[ModuleType]:
    yield xhat
    for info in pkgutil.walk_packages(xhat.__path__, "xhat."):
        if not info.name.endswith("__main__"):
            yield import_module(info.name)


def own(module: ModuleType) -> Iterator[tuple[str, object]]:
    """The public functions and classes that a module defines, by name."""
    for name, thing in vars(module).items():
        ours = getattr(thing, "__module__", None) == module.__name__
        if ours and not name.startswith("_") and (inspect.isroutine(thing) or inspect.isclass(thing)):
            yield name, thing


def says(thing: object) -> bool:
    """Whether it has a docstring that somebody wrote: a dataclass without one gets its signature."""
    text = (getattr(thing, "__doc__", None) or "").strip()
    return bool(text) and not (inspect.isclass(thing) and text.startswith(f"{thing.__name__}("))


def undocumented(module: ModuleType) -> Iterator[str]:
    if not says(module):
        yield module.__name__
    for name, thing in own(module):
        if not says(thing):
            yield f"{module.__name__}.{name}"
        if inspect.isclass(thing):
            # A method that overrides one of the package need not repeat what that one says.
            line = [base for base in thing.__mro__ if base.__module__.startswith("xhat")]
            for member, it in vars(thing).items():
                field = member in inspect.get_annotations(thing)  # whose default may be a function
                public = not field and not member.startswith("_") and isinstance(it, MEMBERS)
                if public and not any(says(vars(base).get(member)) for base in line):
                    yield f"{module.__name__}.{name}.{member}"


def test_everything_public_has_a_docstring():
    assert [name for module in modules() for name in undocumented(module)] == []
