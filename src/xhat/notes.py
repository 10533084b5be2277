"""What xhat says beside its results: notes of one line each, which no terminal obeys."""

import logging
import sys

HEAD, TAIL = 560, 200  # letters of a message that are shown; what lies between is left out


def note(text: str, *args: object) -> None:
    """Logs `text` % `args` as a note. Python shows it on stderr where nothing else is arranged."""
    logging.getLogger("xhat").warning("xhat: note: %s", one_line(text % args if args else text))


def tell(text: str) -> None:
    """Prints a note of a command on stderr."""
    print(f"xhat: note: {one_line(text)}", file=sys.stderr)


def one_line(text: str) -> str:
    """`text` in one line, its middle left out if it is long; what a terminal would obey is written as its code."""
    words = " ".join(text.split())
    if len(words) > HEAD + TAIL + 100:
        words = f"{words[:HEAD]} ({len(words) - HEAD - TAIL} letters left out) {words[-TAIL:]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)
