"""Libraries that are not installed with the package and are imported where they are used."""

from importlib import import_module
from typing import Any

from ..errors import DataError


def install(group: str = "") -> str:
    """How to install the extra `group`, or xhat itself. xhat is not on PyPI, so from a clone."""
    return f"pip install -e '.{f'[{group}]' if group else ''}' in the clone of xhat"


def extra(name: str, wanted: str, group: str = "science") -> Any:
    """The module `name`. Raises DataError that says that `wanted` needs it, and which extra `group` holds it, if it is
    missing.
    """
    try:
        return import_module(name)
    except ImportError as e:
        raise DataError(f"{wanted} needs {name}: {install(group)}") from e


def pick(items: int, item: int | None, origin: object, what: str) -> int:
    """Which of the `items` things in a file is meant: `item`, or the only one.

    `origin` and `what` are named in errors. Raises DataError if there is no such item, or if there are several and none
    is chosen.
    """
    if item is None and items == 1:
        return 0
    if item is None:
        raise DataError(f"{origin}: holds {items} {what}s; say which one: {origin}#{items // 2} is in the middle")
    if not 0 <= item < items:
        raise DataError(f"{origin}: has no {what} {item}, only 0 to {items - 1}")
    return item
