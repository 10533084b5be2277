"""An append-only JSON-lines store: whole writes, a truncated last line is ignored, the last record of a key wins."""

import errno
import json
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from ..errors import DataError
from .record import finite
from .writing import atomic, settle

try:
    import fcntl
except ImportError:  # Windows has no such locks, so only one process may use a file there
    fcntl = None  # type: ignore[assignment]

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # a file system without locks: only one process may use it
Row = dict[str, Any]
K = TypeVar("K", bound=Hashable)


class Rows(Generic[K]):
    """The records in a JSON-lines file by their key; the last record of a key counts.

    Several processes may add to one file. A line that is not a record, for example one cut off by a crash, is skipped
    and counted in `broken`. The function `key` raises KeyError or TypeError for a line that is JSON but not a record.
    Raises DataError if the file cannot be opened.
    """

    def __init__(self, path: Path, key: Callable[[Row], K]) -> None:
        self.path, self.key = path, key
        self.rows: dict[K, Row] = {}
        self.broken = 0
        self._read_to = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab"):
                pass
            self.refresh()
        except (OSError, UnicodeDecodeError) as e:
            raise DataError(f"{path}: cannot be used for the results ({e})") from e

    def refresh(self) -> None:
        """Reads what other processes have added since. Only whole lines count, because the rest may still be
        growing.
        """
        with self.path.open("rb") as file:
            file.seek(self._read_to)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read_to += len(whole)
        for line in whole.decode("utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
                self.rows[self.key(row)] = row
            except (ValueError, KeyError, TypeError, RecursionError):
                self.broken += bool(line.strip())

    def missing(self, keys: Iterable[K]) -> set[K]:
        """Of `keys`, those without a record; those whose record has the status `error` are to be tried again."""
        return {k for k in keys if self.rows.get(k, {"status": "error"}).get("status") == "error"}

    def add(self, *rows: Row) -> None:
        """Adds all of `rows` in one write that is on the disk when this returns, or none of them.

        Raises DataError if the disk is full; the file is then as it was.
        """
        text = "".join(json.dumps(finite(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        try:
            with self.path.open("r+b") as file, exclusive(file):
                end = file.seek(0, os.SEEK_END)
                try:
                    file.write((b"" if _ends_a_line(file, end) else b"\n") + text.encode())
                    file.flush()
                    settle(self.path)
                except OSError:
                    os.ftruncate(file.fileno(), end)
                    raise
        except OSError as e:
            raise DataError(f"{self.path}: cannot be written ({e.strerror}); what it holds is whole") from e
        self.rows |= {self.key(row): row for row in rows}


def _ends_a_line(file: IO[bytes], end: int) -> bool:
    """Whether the file, `end` bytes long, has no half line at its end; leaves the file at its end."""
    if end == 0:
        return True
    file.seek(end - 1)
    return file.read(1) == b"\n"


def begun(path: Path, key: Callable[[Row], Hashable]) -> bool:
    """Whether the file `path` has a record that `key` takes, that is, whether earlier runs have written it."""
    return path.is_file() and bool(Rows(path, key).rows)


@contextmanager
def exclusive(file: IO[Any]) -> Iterator[None]:
    """Waits for the lock on an open file and holds it inside the `with` block; a process that dies releases it."""
    if fcntl is not None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
    try:
        yield
    finally:
        if fcntl is not None:
            fcntl.flock(file.fileno(), fcntl.LOCK_UN)


def _opened(path: Path) -> IO[str]:
    """The file, its folder made anew if another process has just taken that away."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            return path.open("a")


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Gives whether this process alone holds `path`, without waiting: False if another process holds it.

    A process that dies releases it.
    """
    while True:
        with _opened(path) as file:
            try:
                if fcntl is not None:
                    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            except OSError as e:
                if e.errno not in NO_LOCKS:
                    raise
            if not _is(path, file):  # the one who held it has taken the file away since it was opened
                continue
            try:
                yield True
            finally:
                path.unlink(missing_ok=True)
            return


def _is(path: Path, file: IO[str]) -> bool:
    """Whether an open file is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def parquet(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes one row per record to `path`, for pandas, polars or DuckDB; needs pyarrow (ImportError if it is
    missing).
    """
    import pyarrow
    import pyarrow.parquet

    names = dict.fromkeys(name for row in rows for name in row)
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in names})
    atomic(path, lambda file: pyarrow.parquet.write_table(table, file))


def flat(row: Mapping[str, Any], within: Iterable[str]) -> Row:
    """`row` with the mappings called `within` replaced by their items, whose keys stay as they are."""
    inner = set(within)
    out = {k: v for k, v in row.items() if k not in inner}
    for name in within:
        out |= row.get(name) or {}
    return out
