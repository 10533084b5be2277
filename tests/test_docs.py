"""The Python of README.md and CONTRIBUTING.md runs as pasted, and the README's commands are ones that exist."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from xhat.cli.arguments import parser
from xhat.files.pictures import save_image

ROOT = Path(__file__).parent.parent
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")}
BLOCKS = [(name, code) for name, text in PAGES.items() for code in re.findall(r"```python\n(.*?)```", text, re.S)]


@pytest.mark.parametrize(("name", "code"), BLOCKS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(BLOCKS)])
def test_python(name, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_image("photo.png", torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    exec(compile(code, name, "exec"), {"__name__": "pasted"})


def test_there_is_python_to_test():
    assert all(text.count("```python") >= 2 for text in PAGES.values())


@pytest.mark.parametrize("line", sorted(set(re.findall(r"^xhat .*$", PAGES["README.md"], re.M))))
def test_commands_parse(line):
    parser().parse_args(shlex.split(line.split(" #")[0])[1:])
