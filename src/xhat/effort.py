"""Work that is larger than the machine, or longer than an hour, is not begun unasked.

A command estimates size and time from shapes, counts and one trial, before the work. What is too much is one line that
names `--yes`, which makes a note of it; on a terminal the user is asked. In Python no time is estimated: whoever writes
a program knows what it is for.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from .errors import TooLongError, TooMuchError
from .notes import one_line, tell

LONG = 3600.0  # seconds that nobody is asked about


@dataclass
class Consent:
    """What the user of a command has said."""

    yes: bool
    noted: str = ""  # what was last told of
    repeats: int = 1  # how often the work is done: the files of a command


_consent: ContextVar[Consent | None] = ContextVar("consent", default=None)


@contextmanager
def consenting(yes: bool) -> Iterator[None]:
    """Inside, a command is run: too much is refused with the word --yes in it, or noted if that was said."""
    token = _consent.set(Consent(yes))
    try:
        yield
    finally:
        _consent.reset(token)


def estimating() -> bool:
    """Whether time is to be estimated: a command runs, and its user has not said --yes."""
    consent = _consent.get()
    return consent is not None and not consent.yes


def repeated(n: int) -> None:
    """Says that what is estimated from now on is done `n` times."""
    if consent := _consent.get():
        consent.repeats = n


def refuse(text: str, error: type[TooMuchError] = TooMuchError) -> None:
    """Raises `error`, which says `text`, unless the user has said --yes: then it is a note on stderr."""
    consent = _consent.get()
    if consent is None:
        raise error(text)
    if not consent.yes:
        raise error(f"{text}; --yes goes on all the same")
    if consent.noted != text:
        tell(text)
    consent.noted = text


def check_time(seconds: float, what: str, smaller: str) -> None:
    """Raises TooLongError if a command was not agreed to that takes `seconds`, more than an hour, for each file.

    `what` is the work, and `smaller` what would make it shorter.
    """
    consent = _consent.get()
    if consent is None or seconds * consent.repeats <= LONG:
        return
    files = f" of {consent.repeats} files" if consent.repeats > 1 else ""
    took = duration(seconds * consent.repeats)
    refuse(f"{what}{files} would take about {took} on this machine; {smaller} take less", TooLongError)


def asked(text: str) -> bool:
    """Asks on a terminal whether to go on in spite of `text`; False where there is none."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(f"xhat: {one_line(text)}\ngo on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def duration(seconds: float) -> str:
    """Seconds in everyday words, rounded: 50 minutes, 3 hours, 12 days, 40 years."""
    for unit, size, most in (("minutes", 60.0, 90), ("hours", 3600.0, 48), ("days", 86400.0, 700)):
        if seconds < most * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 31_557_600:,.3g} years"


class Pace:
    """Judges a run by its second step: the first has what is done once, such as loading and compiling.

    Call it after each step with how many of all steps are done. `clock` gives seconds.
    """

    def __init__(self, total: int, what: str, smaller: str, clock: Callable[[], float]) -> None:
        self.total, self.what, self.smaller, self.clock = total, what, smaller, clock
        self.seen: list[float] = []

    def __call__(self, done: int) -> None:
        """Raises TooMuchError at the second call if what is left takes more than an hour and was not agreed to."""
        if len(self.seen) < 2:
            self.seen.append(self.clock())
            if len(self.seen) == 2:
                check_time((self.seen[1] - self.seen[0]) * (self.total - done), self.what, self.smaller)
