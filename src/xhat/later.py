"""Functions whose module is imported when they are called: reading the arguments of a command needs no torch."""

from argparse import Namespace
from collections.abc import Callable
from importlib import import_module


def later(module: str, name: str) -> Callable[[Namespace], int]:
    """The function `name` of `module`, a command that returns its exit code."""

    def run(args: Namespace) -> int:
        return int(getattr(import_module(module), name)(args))

    return run
