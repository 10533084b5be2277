"""How a command ends: an exit code, and one line that says why if it could not do what was asked."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from ..errors import XhatError, out_of_memory
from ..notes import one_line

MACHINE = "the machine has not enough memory for this"


def ended(run: Callable[[], int]) -> int:
    """Calls `run` and returns the exit code.

    It is that of `run` if all went well, 2 for what the user can change (one line on stderr), 130 after Ctrl-C, 128
    plus the signal's number after SIGTERM or SIGHUP, and 141 if the reader of the output has gone away.
    """
    try:
        with terminable():
            code = run()
        sys.stdout.flush()
        return code
    except Terminated as e:  # before KeyboardInterrupt, of which it is a kind
        say("terminated")
        return 128 + e.number
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except BrokenPipeError:  # for example in `xhat list solvers | head`, where the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit does not fail again
        return 141
    except Exception as e:
        text = reason(e)
        if text is None:  # a fault of this program, whose traceback is needed to mend it
            raise
        say(text)
        return 2


def reason(e: Exception) -> str | None:
    """What the user can know and change of an error, as text; None if it is a fault of this program."""
    if isinstance(e, XhatError):
        return str(e)
    if out_of_memory(e):
        asked = str(e).partition("tried to allocate ")[2].partition(" bytes")[0]
        size = f" ({int(asked) / 1e9:.3g} GB in one piece)" if asked.isdigit() else ""
        return f"{MACHINE}{size}: use a smaller image, fewer samples or a smaller --batch-size"
    if isinstance(e, RecursionError):
        return "a file or a spec is nested too deep to be read"
    if isinstance(e, OSError):  # what no other part has named: a disk that is full, for example
        where = f"{e.filename}: " if e.filename else ""
        return f"{where}{e.strerror or e}"
    return None


def say(text: str) -> None:
    """Prints a message on stderr as one line that can be read."""
    print(f"xhat: {one_line(text)}", file=sys.stderr)


class Parser(argparse.ArgumentParser):
    """A parser of arguments whose errors are one line, too, and name the command whose arguments they are."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """What `argparse` does, but a command refuses arguments that it does not know itself."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown and " " in self.prog:
            file = next((word for word in unknown if word.startswith("-") and os.path.lexists(word)), None)
            advice = f"; a file of this name is ./{file}" if file else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{advice}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Says what is wrong with the arguments, and ends the program with 2."""
        say(f"{self.prog.partition(' ')[2] or 'arguments'}: {message}; {self.prog} --help explains")
        self.exit(2)


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: the run is to end as after Ctrl-C, with everything saved."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def terminable() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP end what runs inside as Ctrl-C does; signals that are ignored stay so (nohup)."""

    def end(number: int, _: object) -> None:
        raise Terminated(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [n for n in (signal.SIGTERM, getattr(signal, "SIGHUP", None)) if n is not None]
    before = {n: signal.signal(n, end) for n in numbers if signal.getsignal(n) == signal.SIG_DFL}
    try:
        yield
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)
