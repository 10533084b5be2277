"""What xhat says beside its results: notes of one line each, which no terminal obeys."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_preset: ContextVar[bool] = ContextVar("preset", default=False)

HEAD, TAIL = 560, 200  # letters of a message that are shown; what lies between is left out


def note(text: str, *args: object) -> None:
    """Logs `text` % `args` as a note. Python shows it on stderr where nothing else is arranged."""
    logging.getLogger("xhat").warning("xhat: note: %s", one_line(text % args if args else text))


@contextmanager
def in_words_of_fix() -> Iterator[None]:
    """Within it, advice names the options of `xhat fix`, which knows neither operators nor specs."""
    before = _preset.set(True)
    try:
        yield
    finally:
        _preset.reset(before)


def advice(restore: str, fix: str) -> str:
    """The advice for the command that the user typed."""
    return fix if _preset.get() else restore


def tell(text: str) -> None:
    """Prints a note of a command on stderr."""
    print(f"xhat: note: {one_line(text)}", file=sys.stderr)


def one_line(text: str) -> str:
    """`text` in one line, its middle left out if it is long; what a terminal would obey is written as its code."""
    words = " ".join(text.split())
    if len(words) > HEAD + TAIL + 100:
        words = f"{words[:HEAD]} ({len(words) - HEAD - TAIL} letters left out) {words[-TAIL:]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)
