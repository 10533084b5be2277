"""Libraries that are not installed with the package, imported where they are used."""

from importlib import import_module
from typing import Any

from ..errors import DataError


def install(group: str = "") -> str:
    """How packages of the extra `group`, or xhat's own, are had: from its clone, for xhat is on no index."""
    return f"pip install -e '.{f'[{group}]' if group else ''}' in the clone of xhat"


def extra(name: str, wanted: str, group: str = "science") -> Any:
    """The module `name`, or DataError saying that `wanted` needs it and which extra has it."""
    try:
        return import_module(name)
    except ImportError as e:
        raise DataError(f"{wanted} needs {name}: {install(group)}") from e


def pick(items: int, item: int | None, origin: object, what: str) -> int:
    """Which of `items` things in a file is meant; the only one if there is one, else DataError until it is said."""
    if item is None and items == 1:
        return 0
    if item is None:
        raise DataError(f"{origin}: holds {items} {what}s; say which one: {origin}#{items // 2} is in the middle")
    if not 0 <= item < items:
        raise DataError(f"{origin}: has no {what} {item}, only 0 to {items - 1}")
    return item
