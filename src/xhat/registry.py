"""Names for the command line, read off a module's own imports."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def concrete(namespace: Mapping[str, object], base: type[T]) -> dict[str, type[T]]:
    """The final (non-abstract) subclasses of `base` in `namespace`, by name.

    The name is the class's own `name` where it sets one, else the class name in lower case.
    """
    return {
        cls.__dict__.get("name", cls.__name__.lower()): cls
        for cls in namespace.values()
        if isinstance(cls, type) and issubclass(cls, base) and is_final(cls)
    }


def is_final(cls: type) -> bool:
    return not any(getattr(getattr(cls, n, None), "__isabstractmethod__", False) for n in dir(cls))
