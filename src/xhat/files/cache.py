"""Results that take minutes to compute, kept on disk: in $XHAT_CACHE, or in xhat/ in the user's cache directory."""

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the completion of a shell asks for the folder, and does not wait for torch
    from torch import Tensor


def folder() -> Path:
    """The folder of the cache, which may be deleted at any time."""
    if given := os.environ.get("XHAT_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "xhat" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "xhat"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xhat"


def cached(name: str, key: str, compute: "Callable[[], dict[str, Tensor]]") -> "dict[str, Tensor]":
    """The tensors that `compute` returns, from disk if they were computed before for the same `key`.

    `key` must hold everything on which the result depends. A file that cannot be read is computed again. If the cache
    cannot be written, the result is computed every time.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from .writing import save_safetensors

    path = folder() / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:20]}.safetensors"
    if path.exists():
        try:
            return load_file(path)
        except (SafetensorError, OSError):
            pass
    found = {k: v.contiguous() for k, v in compute().items()}
    with suppress(OSError, ValueError):  # for example a full disk or a read-only folder
        save_safetensors(path, found)
    return found
