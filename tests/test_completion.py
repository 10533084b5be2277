"""The tab key and the manual: what they offer is what there is, and costs no import of torch."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from test_startup import loaded
from xhat.cli import completion, listing
from xhat.cli.arguments import main, parser
from xhat.cli.completion import SCRIPTS, commands, completed
from xhat.cli.manual import manual
from xhat.operators import OPERATORS
from xhat.solvers import SOLVERS


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A cache that holds the names already."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as m:
        m.setenv("XHAT_CACHE", str(folder))
        completion.names()
    return folder


@pytest.fixture(autouse=True)
def _cache(shared, monkeypatch):
    monkeypatch.setenv("XHAT_CACHE", str(shared))


def offered(line: str, breaks: str = "") -> list[str]:
    return completed(parser(), line, breaks)


def test_commands_and_options_are_those_of_the_parsers():
    assert set(offered("xhat ")) == set(commands(parser()))
    assert offered("xhat rest") == ["restore"]
    for name, inner in commands(parser()).items():
        said = {s for a in inner._actions for s in a.option_strings if a.help != "==SUPPRESS=="}
        assert set(offered(f"xhat {name} -")) == said, name
    assert offered("xhat train den") == ["denoiser"]
    assert "--recipe" in offered("xhat train denoiser photos/ --")
    assert offered("xhat completion bash --li") == []  # hidden from people


def test_names_of_parts_and_their_options_are_those_of_the_registries():
    assert set(offered("xhat restore y.png --operator ")) == set(OPERATORS)
    assert set(offered("xhat restore y.png --solver dd")) >= {n for n in SOLVERS if n.startswith("dd")}
    assert offered("xhat restore y.png --operator inpaint:kee") == ["inpaint:keep="]
    assert "lmaps:steps=20,k=" in offered("xhat restore y.png --solver lmaps:steps=20,")
    assert "lmaps:steps=20,steps=" not in offered("xhat restore y.png --solver lmaps:steps=20,")
    assert offered("xhat restore --solver=reddi") == ["--solver=reddiff"]
    assert set(offered("xhat list ")) == set(listing.KINDS)
    assert offered("xhat list operators inp") == ["inpaint"]
    assert offered("xhat bench qui") == ["quick"]
    assert "compare" in offered("xhat help ")


def test_where_a_file_is_meant_nothing_is_offered_so_that_the_shell_offers_files():
    for line in ("xhat restore ", "xhat restore a.png b", "xhat restore y.png -o ", "xhat restore y.png --prior ./mi"):
        assert offered(line) == [], line


def test_a_word_after_a_switch_is_an_argument_and_after_an_option_its_value():
    assert offered("xhat restore --record --quiet --solver lmap") == ["lmaps"]
    assert offered("xhat list --help solv") == ["solvers"]
    assert offered("xhat restore --seed 3 --device c") == ["cpu", "cuda"]


def test_a_shell_that_breaks_words_replaces_only_what_follows_the_last_break():
    assert offered("xhat restore y.png --solver lmaps:ste", breaks="\"'><=;|&(:") == ["steps="]
    assert offered("xhat restore y.png --solver lmaps:ste", breaks=" ") == ["lmaps:steps="]


def test_names_are_looked_up_once_for_each_installation(shared, tmp_path, monkeypatch):
    first = completion.names()
    monkeypatch.setenv("XHAT_CACHE", str(tmp_path))
    (tmp_path / "names.json").write_bytes((shared / "names.json").read_bytes())
    assert json.loads((tmp_path / "names.json").read_text())["names"] == first
    monkeypatch.setattr(listing, "option_names", lambda: {"operators": {"new": []}})
    assert completion.names() == first
    monkeypatch.setattr(completion, "_installation", lambda: "another version")
    assert completion.names() == {"operators": {"new": []}}
    (tmp_path / "names.json").write_text('{"key": ')  # a broken file is made again
    assert completion.names() == {"operators": {"new": []}}


def test_the_list_of_names_is_that_of_the_registries(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert dict(zip(shown[::2], shown[1::2], strict=True)) == {
        kind: f"    {', '.join(sorted(parts))}" for kind, parts in listing.KINDS.items()
    }


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XHAT_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(listing, "option_names", lambda: {"solvers": {"lmaps": []}})
    assert "lmaps" in completion.names()["solvers"]


@pytest.mark.parametrize(
    "args",
    [
        ["completion", "bash"],
        ["completion", "zsh", "--line", "xhat re"],
        ["completion", "fish", "--line", "xhat restore y.png --solver lm"],
        ["help", "restore"],
        ["help", "--man"],
    ],
)
def test_the_tab_key_and_the_help_wait_for_no_library(args, tmp_path):
    assert loaded(args, "torch,numpy,PIL", tmp_path) == []


def bash(line: str, tmp_path: Path) -> list[str]:
    """What bash puts into COMPREPLY when the tab key is pressed behind `line`."""
    (tmp_path / "xhat").write_text(f'#!/bin/sh\nexec {sys.executable} -m xhat "$@"\n')
    (tmp_path / "xhat").chmod(0o755)
    text = f"""source <(xhat completion bash)
COMP_LINE={line!r} COMP_POINT={len(line)} COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
compopt() {{ :; }}
_xhat
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    out = subprocess.run(["bash", "-c", text], check=True, capture_output=True, text=True, env=env)
    assert out.stderr == ""
    return out.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(tmp_path):
    assert bash("xhat sim", tmp_path) == ["simulate"]
    assert bash("xhat restore y.png --operator gaussian_blur:st", tmp_path) == ["std="]
    assert bash("xhat restore y.pn", tmp_path) == []


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_is_one_that_its_shell_reads(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    (tmp_path / "script").write_text(SCRIPTS[shell])
    assert subprocess.run([shell, "-n", str(tmp_path / "script")], capture_output=True, text=True).stderr == ""


def test_help_is_that_of_the_command(capsys):
    assert main(["help", "train", "denoiser"]) == 0
    assert capsys.readouterr().out == commands(commands(parser())["train"])["denoiser"].format_help()
    assert main(["help"]) == 0
    assert capsys.readouterr().out == parser().format_help()
    assert main(["help", "restroe"]) == 2
    assert "no command 'restroe'" in capsys.readouterr().err


def test_the_manual_has_every_command_and_every_option():
    page = manual(parser())
    text = page.replace("\\-", "-")
    for name, inner in commands(parser()).items():
        assert f'.SS "xhat {name}"' in page
        for action in inner._actions:
            if action.help != "==SUPPRESS==":
                assert all(f"\\fB{s}\\fR" in text for s in action.option_strings)
    # No line of text is read as a command of groff but those that are written here.
    used = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}
    assert used <= {".TH", ".SH", ".SS", ".TP", ".PP", ".RS", ".RE", ".nf", ".fi", ".B"}
    assert not re.search(r"(?<!\\)\\(?![e&f-])", page)


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_groff_has_nothing_to_say_against_the_manual():
    run = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-z"], input=manual(parser()), capture_output=True, text=True
    )
    assert run.stderr == ""
