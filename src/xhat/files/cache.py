"""Results that take minutes to compute, kept on disk: $XHAT_CACHE, or xhat/ in the user's cache directory."""

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from .pictures import atomic


def folder() -> Path:
    """Where the cache lies; it may be deleted at any time."""
    if given := os.environ.get("XHAT_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "xhat" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "xhat"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xhat"


def cached(name: str, key: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What `compute` gives, from disk if it was computed before for the same `key`, which must tell everything.

    A file that cannot be read is computed anew; a cache that cannot be written is only slow.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    path = folder() / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:20]}.safetensors"
    if path.exists():
        try:
            return load_file(path)
        except (SafetensorError, OSError):
            pass
    found = {k: v.contiguous() for k, v in compute().items()}
    with suppress(OSError, ValueError):  # a full disk, a folder that is read-only
        atomic(path, lambda file: save_file(found, file))
    return found
