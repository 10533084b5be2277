"""`record.json`: what was run, with what, at what cost and how well; strict JSON with stable keys."""

import json
import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .writing import atomic


def versions() -> dict[str, str]:
    """The versions of everything that can change a number."""
    named = ("xhat", "torch", "numpy", "diffusers")
    return {"python": platform.python_version(), **{name: version(name) for name in named}}


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
