"""Folders of results: checked before any work, held by one run at a time, never taken from the user."""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..errors import DataError
from ..spec import walk
from .rows import claim
from .writing import TEMPORARY, told

LOCK = ".xhat.lock"
PROC = Path("/proc")  # looks like a folder that root may write, and is none
_held: set[tuple[Path, int]] = set()  # the locks that this process has, each with its thread


def check_folder(folder: Path) -> None:
    """Raises DataError if `folder` cannot be made or cannot take results, before anything is computed."""
    with told(folder):
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder}: is a file, not a folder")
        nearest = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    if (
        not nearest.is_dir()
        or not os.access(nearest, os.W_OK)
        or PROC in (nearest.resolve(), *nearest.resolve().parents)
    ):
        raise DataError(f"{folder}: cannot be written here")


def check_file(file: Path) -> None:
    """Raises DataError if `file` cannot be written, before anything is computed: its folder cannot take it, or
    something that is no regular file has its name.
    """
    with told(file):
        if file.exists() and not file.is_file():
            raise DataError(f"{file}: is {'a folder' if file.is_dir() else 'no regular file'}; choose another name")
    try:
        check_folder(file.absolute().parent)
    except DataError as e:
        raise DataError(f"{file}: cannot be written here ({str(e).partition(': ')[2]})") from e


@contextmanager
def undone(folder: Path, names: Iterable[str], worth: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Takes away `names` and `folder`, as far as they were made inside, if that ends with an error and nothing in them
    is worth keeping, which `worth` tells.
    """
    new = [folder / name for name in names if not (folder / name).exists()]
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        yield
    except BaseException:
        if not worth():
            for path in new:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            for made in missing:
                with suppress(OSError):  # it holds something else
                    made.rmdir()
        raise


def check_new(file: Path, overwrite: bool) -> None:
    """Raises DataError if `file` cannot be written or is there already, unless `overwrite` is true."""
    check_file(file)
    if os.path.lexists(file) and not overwrite:
        raise DataError(f"{file}: is there already; choose another name, or --overwrite")


def check_free(
    folder: Path, names: Iterable[str], overwrite: bool | None = None, ours: Callable[[], bool] = lambda: False
) -> None:
    """Raises DataError if `folder` holds one of `names`, which may be patterns, unless `overwrite` is true or `ours`
    tells that an earlier run of the command has written there. An empty file or folder is nothing to lose.

    `overwrite` is None for a command that has no such option.
    """
    held = [path for name in names for path in folder.glob(name)] if folder.is_dir() else []
    found = sorted(path.name for path in held if _holds(path))
    if found and not overwrite and not ours():
        some = ", ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "")
        way = "" if overwrite is None else ", or --overwrite"
        raise DataError(f"{folder}: holds {some}, which would be overwritten; choose another folder{way}")


def _holds(path: Path) -> bool:
    """Whether there is anything in a file or folder; what a killed process has left unfinished is nothing."""
    if path.is_dir() and not path.is_symlink():
        return any(_holds(inner) for inner in path.iterdir())
    return not path.name.startswith(TEMPORARY) and not (path.is_file() and path.stat().st_size == 0)


def files_in(*specs: str | None) -> list[Path]:
    """The files that options of spec strings name: masks, kernels, tables, weights."""
    return [Path(said) for _, said in walk(specs) if isinstance(said, str) and os.path.isfile(said)]


def check_apart(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raises DataError if two of the files `outputs` are one, or if one is a file that is read, by whatever name."""
    seen: set[Path] = set()
    for out in outputs:
        if out.resolve() in seen:
            raise DataError(f"{out}: would be written twice; give two names")
        seen.add(out.resolve())
        for path in inputs:
            if out.exists() and path.exists() and out.samefile(path):
                raise DataError(f"{out}: would overwrite its own input {path}; choose another file")


@contextmanager
def alone(folder: Path, lock: str = LOCK) -> Iterator[None]:
    """Holds `folder` for this run alone; it is made if there is none, and taken away again if nothing was put into it.

    The same thread may hold a folder several times. A process that dies releases what it holds. Raises DataError if
    another run holds the folder, and WriteError if the folder cannot be used.
    """
    check_folder(folder)
    me = folder.resolve() / lock, threading.get_ident()
    if me in _held:
        yield
        return
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        with ExitStack() as stack:
            with told(folder / lock):
                mine = stack.enter_context(claim(folder / lock))
            if not mine:
                raise DataError(f"{folder}: another run writes into it; wait for its end, or choose another folder")
            _held.add(me)
            stack.callback(_held.discard, me)
            yield
    finally:
        for made in missing:
            with suppress(OSError):  # it holds something now
                made.rmdir()


def sha256(file: Path) -> str:
    """What `sha256sum` prints for a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
