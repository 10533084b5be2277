"""`xhat completion`: commands, options and the names of parts, completed by bash, zsh and fish.

The script of a shell is a few lines: at each press of the tab key it asks `xhat completion SHELL --line TEXT` for the
words that could stand at the end of TEXT. Commands and options come from the parsers. The names of parts come from the
registries, whose imports take seconds; they are kept in the cache, so that they are imported once for each installation
of xhat and its plug-ins.
"""

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path

from .. import __version__
from ..files import cache

BASH = """# source <(xhat completion bash)
_xhat() {
    local IFS=$'\\n'
    COMPREPLY=($(xhat completion bash --line "${COMP_LINE:0:COMP_POINT}" --breaks "$COMP_WORDBREAKS" 2>/dev/null))
    [[ ${COMPREPLY[*]} == *[=:,] ]] && compopt -o nospace
    [[ ${#COMPREPLY[@]} -gt 0 ]] || compopt -o default
}
complete -o nosort -F _xhat xhat 2>/dev/null || complete -F _xhat xhat
"""
ZSH = """#compdef xhat
# source <(xhat completion zsh), or write it to a file _xhat in a folder of $fpath
_xhat() {
    local -a found open
    found=("${(@f)$(xhat completion zsh --line "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    open=(${(M)found:#*[=:,]})
    found=(${${found:#*[=:,]}:#})
    [[ -n $open ]] && compadd -S '' -a open
    [[ -n $found ]] && compadd -a found
    [[ -n $open || -n $found ]] || _files
}
compdef _xhat xhat
"""
FISH = """# xhat completion fish > ~/.config/fish/completions/xhat.fish
function __xhat
    set -l found (xhat completion fish --line (commandline -cp | string collect) 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c xhat -f -a '(__xhat)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}

# The kinds of parts, as `xhat list` calls them, that may stand behind an option or in place of an argument.
VALUES: Mapping[str, tuple[str, ...]] = {
    "--operator": ("operators",),
    "--noise": ("noises",),
    "--solver": ("solvers", "baselines"),
    "--prior": ("priors",),
    "--schedule": ("schedules",),
    "--metrics": ("metrics",),
    "--data": ("data",),
    "grid": ("suites",),
}
DEVICES, DTYPES = ("auto", "cpu", "cuda", "mps"), ("auto", "bfloat16", "float32")
WORDS: Mapping[str, tuple[str, ...]] = {"--device": DEVICES, "--dtype": DTYPES}
Names = Mapping[str, Mapping[str, Sequence[str]]]  # kind → name of a part → its options


def script(shell: str) -> str:
    """The lines that `shell` is to read."""
    return SCRIPTS[shell]


def completed(top: argparse.ArgumentParser, line: str, breaks: str = "") -> list[str]:
    """The words that could stand at the end of `line`, in place of its last word; none where a file is meant.

    `top` is the parser of all commands. A shell that breaks words at the letters `breaks` replaces only what stands
    behind the last of them.
    """
    *before, last = line.split(" ")
    words = [w for w in before if w][1:]
    found = [w for w in _candidates(top, words, last) if w.startswith(last)]
    cut = max((last.rfind(b) + 1 for b in breaks), default=0)
    return [w[cut:] for w in found]


def _candidates(top: argparse.ArgumentParser, words: Sequence[str], last: str) -> Iterator[str]:
    """Every word that may follow `words`; `last` is what is there of it."""
    parser, place, option = top, 0, None  # the positional argument that is due, and the option whose value is
    for word in words:
        inner = commands(parser).get(word)
        if inner is not None and option is None:
            parser, place = inner, 0
        elif word.startswith("-"):
            taken = next((a for a in parser._actions if word in a.option_strings), None)
            option = taken if taken is not None and taken.nargs != 0 else None
        else:
            option, place = None, place + (option is None)
    if option is not None:
        yield from _values(option, option.option_strings[-1], last)
        return
    name, equals, given = last.partition("=")
    if name.startswith("--") and equals:
        named = (a for a in parser._actions if name in a.option_strings)
        yield from (f"{name}={v}" for a in named for v in _values(a, name, given))
        return
    if last.startswith("-"):
        yield from (s for a in parser._actions if a.help != argparse.SUPPRESS for s in a.option_strings)
        return
    due = [a for a in parser._actions if not a.option_strings][place:][:1]
    for action in due:
        yield from _values(action, action.dest, last)
        if action.dest == "name":  # of `xhat list KIND NAME`
            yield from names().get(words[-1], {})
        if action.dest == "command":  # of `xhat help COMMAND`
            yield from commands(top)


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands of a parser by name; none if it has none."""
    kinds = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(kinds[0].choices) if kinds else {}


def _values(action: argparse.Action, name: str, last: str) -> Iterator[str]:
    yield from map(str, action.choices or ())
    yield from WORDS.get(name, ())
    kinds = VALUES.get(name, ())
    parts = {part: options for kind in kinds for part, options in names().get(kind, {}).items()} if kinds else {}
    part, colon, given = last.partition(":")
    if colon and part in parts:
        done, comma, _ = given.rpartition(",")
        yield from (f"{part}:{done}{comma}{option}=" for option in parts[part] if f"{option}=" not in given)
    else:
        yield from parts


def names() -> Names:
    """The options of each part of each kind, from the cache if the same installation was asked before."""
    path = cache.folder() / "names.json"
    key = _installation()
    with suppress(OSError, ValueError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["key"] == key:
            return dict(kept["names"])
    from .listing import option_names

    found = option_names()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"names-{os.getpid()}.json")
        new.write_text(json.dumps({"key": key, "names": found}), encoding="utf-8")
        os.replace(new, path)
    return found


def _installation() -> str:
    """What decides which parts there are: version and latest change of xhat, and the versions of its plug-ins."""
    last = max(file.stat().st_mtime_ns for file in Path(__file__).parents[1].rglob("*.py"))
    found = ((e.name, e.value, e.dist.version if e.dist else "") for e in entry_points(group="xhat.plugins"))
    return repr((__version__, last, sorted(found)))
