"""The manual page of the program, written from its parsers as groff source."""

import argparse
import re
from collections.abc import Iterator

from .. import __version__
from .completion import commands


def manual(top: argparse.ArgumentParser) -> str:
    """`xhat.1`: every command of the parser `top` with its options and examples."""
    lines = [
        f'.TH XHAT 1 "" "xhat {__version__}" "User Commands"',
        ".SH NAME",
        rf"xhat \- {_text(str(top.description))}",
        ".SH SYNOPSIS",
        r".B xhat \fICOMMAND\fR [\fIOPTIONS\fR]",
        ".SH COMMANDS",
    ]
    for name, parser in commands(top).items():
        lines += [f'.SS "xhat {name}"', *_command(parser)]
    return "\n".join(lines) + "\n"


def _command(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The lines of a command: what it does, its arguments and options, those of its own commands, its examples."""
    yield _text(str(parser.description or ""))
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or action.help in (None, argparse.SUPPRESS):
            continue
        value = str(action.metavar or (action.dest.upper() if action.option_strings else action.dest))
        if action.choices:
            value = "|".join(map(str, action.choices))
        called = ", ".join(rf"\fB{_text(s)}\fR" for s in action.option_strings)
        takes = "" if action.nargs == 0 else rf"\fI{_text(value)}\fR"
        yield from (".TP", f"{called} {takes}".strip(), _text(str(action.help) % {"default": action.default}))
    for name, inner in commands(parser).items():
        yield from (".PP", rf"\fB{_text(parser.prog)} {name}\fR", ".RS")
        yield from _command(inner)
        yield ".RE"
    if parser.epilog:
        yield from (".PP", ".nf", *(_text(line) for line in parser.epilog.strip().splitlines()), ".fi")


def _text(words: str) -> str:
    """Text in which groff reads no command of its own."""
    safe = words.replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"^([.'])", r"\\&\1", safe, flags=re.MULTILINE)
