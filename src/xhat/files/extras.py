"""Libraries that are not installed with the package and are imported where they are used."""

import json
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import DataError
from .noted import note_library


def install(group: str = "") -> str:
    """The command that installs the extra `group` into the xhat that runs: it was installed by pip, uv or pipx, from
    an index, a file, a repository or a clone.
    """
    own = distribution("xhat")
    places = Path(sys.prefix).parts
    if "pipx" in places:
        how = "pipx install --force"
    elif "uv" in places and "tools" in places:
        how = "uv tool install --force"
    else:
        how = "uv pip install" if (own.read_text("INSTALLER") or "").strip() == "uv" else "pip install"
    return f"{how} {_origin(own.read_text('direct_url.json'), group)}"


def _origin(direct_url: str | None, group: str) -> str:
    """What an installer takes to install xhat again with the extra `group`, from the text of the file in which PEP 610
    has the place where xhat came from; None stands for an index.
    """
    brackets = f"[{group}]" if group else ""
    if direct_url is None:
        return quote(f"xhat{brackets}")
    origin = json.loads(direct_url)
    url = str(origin["url"])
    if "vcs_info" in origin:
        return quote(f"xhat{brackets} @ {origin['vcs_info']['vcs']}+{url}")
    parts = urlsplit(url)
    if parts.scheme != "file":
        return quote(f"xhat{brackets} @ {url}")
    path = unquote(parts.path)
    return ("-e " if origin.get("dir_info", {}).get("editable") else "") + quote(f"{path}{brackets}")


@cache
def page(name: str) -> str:
    """Where a reader finds the page `name` of the documentation: in the clone that runs, otherwise on its host."""
    if (Path(__file__).parents[3] / "docs" / name).is_file():
        return f"docs/{name}"
    addresses = dict(line.split(", ", 1) for line in distribution("xhat").metadata.get_all("Project-URL") or ())
    return f"{addresses['Repository']}/blob/main/docs/{name}"


def extra(name: str, wanted: str, group: str = "science") -> Any:
    """The module `name`. Raises DataError if it is missing: `wanted` needs it, and so is the extra `group` installed,
    which holds it. That it is used is noted.
    """
    try:
        module = import_module(name)
    except ImportError as e:
        raise DataError(f"{wanted} needs {name}: {install(group)}") from e
    note_library(name)
    return module


def reason(e: BaseException) -> str:
    """The first line of an error of a library, cut to what fits into a message; its kind if it has no text."""
    return (str(e).strip().splitlines() or [type(e).__name__])[0][:120]


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
