"""Which files and which libraries that are not installed with the package a task takes: noted for its record where they
are opened.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Noted:
    """The files and the modules of libraries, in the order in which they were first taken."""

    files: dict[Path, None] = field(default_factory=dict)
    libraries: dict[str, None] = field(default_factory=dict)


NOTED: ContextVar[Noted | None] = ContextVar("noted", default=None)


@contextmanager
def noting(into: Noted | None) -> Iterator[None]:
    """What is taken inside is noted in `into`; in nothing, if it is None."""
    token = NOTED.set(into)
    try:
        yield
    finally:
        NOTED.reset(token)


def note_file(path: Path) -> None:
    """Notes that the file at `path` is read."""
    if (noted := NOTED.get()) is not None:
        noted.files[Path(path)] = None


def note_library(module: str) -> None:
    """Notes that a library is used, by the name of a module of it."""
    if (noted := NOTED.get()) is not None:
        noted.libraries[module] = None
