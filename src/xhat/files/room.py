"""How much memory is free, and files that declare more than that, or have no end: refused before they are read."""

import os
from pathlib import Path

from ..effort import refuse
from ..errors import DataError
from .noted import note_file

CGROUP = Path("/sys/fs/cgroup")
TEXT = 2**26  # bytes of a table, a header or a list of options
LARGEST = 2**30
"""The most bytes of one measurement, mask, kernel or matrix: a picture in colour of 89 megapixels in float32."""


def regular(path: Path) -> None:
    """Raises DataError if `path` is no regular file: a device or a pipe would be read for ever. It is noted as read."""
    try:
        there = path.exists()
    except OSError as e:  # a name that is too long
        raise DataError(f"{str(path)[:60]}…: {e.strerror}") from e
    if not there:
        raise DataError(f"{path}: no such file")
    if not path.is_file():
        raise DataError(f"{path}: is {'a folder' if path.is_dir() else 'no regular file'}")
    note_file(path)


def text_of(path: Path, encoding: str = "utf-8") -> str:
    """The text in a file. Raises OSError or UnicodeDecodeError if there is none, and DataError if it has no end or is
    larger than any text that is read.
    """
    if path.exists():
        regular(path)
        if path.stat().st_size > TEXT:
            raise DataError(f"{path}: has {gigabytes(path.stat().st_size)}; {gigabytes(TEXT)} of text are read at most")
    return path.read_text(encoding=encoding)


def free_memory() -> float:
    """The bytes of memory that are free here, by the operating system and the limits of container and process; 2e9
    if none tells.
    """
    found = [v for v in (line(Path("/proc/meminfo"), "MemAvailable"), _container(), _allowed()) if v]
    if not found and hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        found = [float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))]
    return min(found, default=2e9)


def _allowed() -> float:
    """What the limit of this process (ulimit -v) leaves free, 0 if there is none."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return 0.0
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = line(Path("/proc/self/status"), "VmSize")
    return 0.0 if most == resource.RLIM_INFINITY or not used else max(1.0, most - used)


def _container() -> float:
    """What a control group (version 2) leaves free, 0 if it sets no limit."""
    try:
        most = float((CGROUP / "memory.max").read_text())
        used = float((CGROUP / "memory.current").read_text())
        stats = (CGROUP / "memory.stat").read_text().split()
        return max(1.0, most - used + float(stats[stats.index("inactive_file") + 1]))
    except (OSError, ValueError, IndexError):
        return 0.0


def line(file: Path, name: str) -> float:
    """A line of /proc such as `MemAvailable:  1234 kB` in bytes, 0 where there is none."""
    try:
        line = next(s for s in file.read_text().splitlines() if s.startswith(f"{name}:"))
    except (OSError, StopIteration):
        return 0.0
    return float(line.split()[1]) * 1024


def gigabytes(n: int | float) -> str:
    """A number of bytes as text."""
    return f"{n / 1e9:,.3g} GB" if n < 1e13 else f"{n / 1e12:,.3g} TB"


def fits(size: int | float, origin: object, most: int | None = None) -> None:
    """Raises DataError, which names `origin`, if `size` bytes of numbers are more than `most`, or TooMuchError, which
    is one, if they are more than half of the free memory and the user has not agreed to that.
    """
    if most is not None and size > most:
        raise DataError(f"{origin}: holds {gigabytes(size)} of numbers; {gigabytes(most)} is the most that is read")
    if size > 0.5 * (room := free_memory()):
        refuse(f"{origin}: holds {gigabytes(size)} of numbers, and {gigabytes(room)} of memory are free here")
