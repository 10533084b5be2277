"""The README's Python runs as it stands, and its commands are ones the command line knows."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from xhat.cli.arguments import parser
from xhat.files.pictures import save_image

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.S))
def test_python(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_image("photo.png", torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    exec(compile(code, "README.md", "exec"), {})


def test_there_is_python_to_test():
    assert README.count("```python") >= 2


@pytest.mark.parametrize("line", sorted(set(re.findall(r"^xhat .*$", README, re.M))))
def test_commands_parse(line):
    parser().parse_args(shlex.split(line.split(" #")[0])[1:])
