"""What the pages show works: every block of Python compiles, every command parses, and the tutorials run as pasted.

In a tutorial a comment before a block says what is done with it: `<!-- file: NAME -->` writes it to that file,
`<!-- parsed: why -->` leaves it at parsing; all else is run, from the top of the page to its end, in one empty folder.
"""

import ast
import inspect
import re
import shlex
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import xhat
from xhat.cli.arguments import main, parser

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
TUTORIALS = sorted(p for p in (ROOT / "docs" / "tutorials").glob("*.md") if p.name != "index.md")
BLOCK = re.compile(r"(?:^<!-- (file|parsed): ([^>]*?) -->\n)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?:^    .*\n)+", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of a page: its language, its text, and what the comment before it says."""

    language: str
    text: str
    mark: str = ""
    name: str = ""

    def commands(self) -> list[list[str]]:
        """The arguments of each `xhat` command in the block; lines may go on behind a backslash."""
        if self.language not in ("", "bash", "console"):
            return []
        lines = self.text.replace("\\\n", " ").splitlines()
        return [shlex.split(line, comments=" #" in line)[1:] for line in lines if re.match(r" *xhat ", line)]


def blocks(page: Path) -> Iterator[Block]:
    """Yields the blocks of a page, those that are only indented last."""
    text = page.read_text(encoding="utf-8")
    for mark, name, language, inside in BLOCK.findall(text):
        yield Block(language, inside, mark, name)
    for inside in INDENTED.findall(BLOCK.sub("", text)):
        yield Block("", inside)


def named(page: Path) -> str:
    """The path of a page from the root, as the id of a test."""
    return page.relative_to(ROOT).as_posix()


def test_the_pages_have_commands_and_blocks():
    found = [b for page in PAGES for b in blocks(page)]
    assert sum(len(b.commands()) for b in found) > 80
    assert sum(b.language == "python" for b in found) > 20


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_of_a_page_can_be_read(page):
    for block in blocks(page):
        if block.language == "python":
            ast.parse(block.text)
        if block.language == "toml":
            tomllib.loads(block.text)
        for command in block.commands():
            parser().parse_args(command)


FUNCTIONS = [name for name in xhat.__all__ if inspect.isfunction(getattr(xhat, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_has_an_example_and_says_what_it_raises(name):
    text = inspect.getdoc(getattr(xhat, name)) or ""
    example = re.search(r"^Example:\n\n((?:(?:    .*)?\n)+)", text + "\n", re.MULTILINE)
    assert example, "an indented block behind the line Example:"
    ast.parse(textwrap.dedent(example[1]))
    assert "Raises" in text or "raises" in text or name == "builds"


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=named)
def test_a_tutorial_runs_as_it_is_pasted(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    names: dict[str, object] = {"__name__": "tutorial"}
    ran = 0
    for block in blocks(page):
        if block.mark == "file":
            Path(block.name).write_text(block.text)
        elif block.mark != "parsed":
            if block.language == "python":
                exec(compile(block.text, str(page), "exec"), names)
                ran += 1
            for command in block.commands():
                assert main(command) == 0, (command, capsys.readouterr())
                ran += 1
    assert ran or all(b.mark == "parsed" for b in blocks(page))
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
