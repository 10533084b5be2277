"""`record.json`: what was run, with what, at what cost and how well; strict JSON with stable keys."""

import json
import math
import platform
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points, packages_distributions, version
from pathlib import Path
from typing import Any

from ..registry import GROUP
from .writing import atomic

NAMED = ("xhat", "torch", "numpy", "diffusers")


def versions() -> dict[str, str]:
    """The versions of everything that can change a number."""
    return {"python": platform.python_version(), **{name: version(name) for name in NAMED}}


def packages_of(modules: Iterable[str]) -> dict[str, str]:
    """The versions of the distributions, those of plug-ins for example, that `modules` are part of; not of `NAMED`."""
    tops = {module.partition(".")[0] for module in modules} - {*NAMED, *sys.stdlib_module_names}
    return dict(sorted(found for top in tops for found in _distributions(top)))


@cache
def _distributions(top: str) -> tuple[tuple[str, str], ...]:
    """The name and version of each installed distribution that brings the module `top`; none for a file of a user's."""
    plug_ins = [e.dist for e in entry_points(group=GROUP) if e.module.partition(".")[0] == top]
    found = {d.name: d.version for d in plug_ins if d is not None}  # found without a look at every other distribution
    return tuple((found or {name: version(name) for name in packages_distributions().get(top, [])}).items())


def finite(value: Any) -> Any:
    """`value` as JSON can hold it.

    NaN and infinity, which JSON cannot hold, are replaced by None, and tensors and tuples by lists.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Writes `record` to `path` as JSON, completely or not at all."""
    text = json.dumps(finite(record), indent=2, ensure_ascii=False, allow_nan=False)
    atomic(path, lambda file: file.write_text(text + "\n", encoding="utf-8"))


def read(path: Path) -> dict[str, Any]:
    """The record at `path`; an empty dictionary if there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
