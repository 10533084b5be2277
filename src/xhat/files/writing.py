"""Every file is written here: completely or not at all, and a disk that does not take it is one clear error."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import WriteError

TEMPORARY = ".xhat-"  # what is not finished has a name that begins with this


@contextmanager
def told(path: str | Path) -> Iterator[None]:
    """Turns the operating system's error about a file that is being written into a WriteError that names `path`."""
    try:
        yield
    except OSError as e:
        raise WriteError(path, e.strerror or str(e)) from e


def atomic(path: str | Path, write: Callable[[Path], object]) -> None:
    """Calls `write` with a temporary file next to `path` that has the same suffix, then renames it to `path`.

    If `write` fails, `path` stays as it was. Raises WriteError if the folder or the disk cannot take the file.
    """
    together({Path(path): write})


def together(files: Mapping[Path, Callable[[Path], object]]) -> None:
    """Writes several files as `atomic` does, and gives none of them its name before all are written."""
    made: dict[Path, Path] = {}
    try:
        for path, write in files.items():
            with told(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                handle, name = tempfile.mkstemp(suffix=path.suffix, prefix=TEMPORARY, dir=path.parent)
                os.close(handle)
                made[path] = Path(name)
                write(made[path])
                settle(made[path])
                made[path].chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        for path, temporary in made.items():
            with told(path):
                os.replace(temporary, path)
    except BaseException:
        for temporary in made.values():
            temporary.unlink(missing_ok=True)
        raise


def sweep(folder: Path) -> None:
    """Removes what a killed process has left unfinished in `folder` and below; the caller holds the folder alone."""
    for left in folder.rglob(f"{TEMPORARY}*"):
        if left.is_file():
            left.unlink(missing_ok=True)


def settle(file: Path) -> None:
    """Returns once the content of `file` is on the disk; some disks say only then that they are full."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def save_torch(path: str | Path, content: Any) -> None:
    """Writes `content` for `torch.load`, all or nothing. Raises WriteError if it cannot be written."""

    def write(file: Path) -> None:
        try:
            torch.save(content, file)
        except RuntimeError as e:  # what torch makes of a disk that is full
            raise OSError(f"is the disk full? {str(e).splitlines()[0]}") from e

    atomic(path, write)


def save_safetensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Writes tensors as safetensors, all or nothing. Raises WriteError if they cannot be written."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    def write(file: Path) -> None:
        try:
            save_file(tensors, file, metadata)
        except SafetensorError as e:  # what safetensors makes of a disk that is full
            raise OSError(str(e)) from e

    atomic(path, write)


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` as UTF-8, all or nothing. Raises WriteError if it cannot be written."""
    atomic(path, lambda file: file.write_text(text, encoding="utf-8"))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
