"""What is packaged: extras hold what the code asks for, hints fit the installation, photographs ship."""

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xhat.files import extras
from xhat.files.photographs import FOLDER, PHOTOGRAPHS, photographs

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PYPROJECT["project"]["optional-dependencies"]


def canonical(name: str) -> str:
    """The name of a distribution as indices compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def held(group: str) -> set[str]:
    """The distributions that the extra `group` installs, those of the extras within it, too."""
    out = set()
    for line in EXTRAS[group]:
        own = re.fullmatch(r"xhat\[(.*)\]", line)
        out |= set().union(*map(held, own[1].split(","))) if own else {canonical(re.split(r"[<>=!~;\[ ]", line)[0])}
    return out


def asked() -> Iterator[tuple[str, str, str]]:
    """Each (file, module or "", group) that the code says is missing, from its calls of `extra` and `install`."""
    for file in sorted((ROOT / "src").rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            words = [a.value if isinstance(a, ast.Constant) else None for a in call.args]
            if call.func.id == "extra" and isinstance(words[0], str):
                yield file.name, words[0], str(words[2]) if len(words) > 2 else "science"
            if call.func.id == "install" and words and isinstance(words[0], str):
                yield file.name, "", words[0]


def test_each_extra_that_a_message_names_exists_and_holds_the_package():
    found = list(asked())
    assert len(found) > 15
    dists = packages_distributions()
    for file, module, group in found:
        assert group in EXTRAS, file
        owners = {canonical(d) for d in dists.get(module.split(".")[0], [])}  # none if it is not installed here
        assert not owners or owners & held(group), f"{file}: {module} is in none of {group}"


def test_all_is_every_extra_of_a_user():
    everything = set().union(*(held(g) for g in EXTRAS if g not in ("dev", "docs", "peers", "release")))
    assert held("all") == everything


class Installed:
    """A distribution with these files, as `importlib.metadata` shows it."""

    def __init__(self, installer: str = "pip", **origin: object) -> None:
        self.files = {"INSTALLER": f"{installer}\n", "direct_url.json": json.dumps(origin) if origin else None}

    def read_text(self, name: str) -> str | None:
        return self.files[name]


@pytest.mark.parametrize(
    ("installed", "prefix", "hint"),
    [
        (Installed(), "/venv", "pip install 'xhat[science]'"),
        (Installed("uv"), "/venv", "uv pip install 'xhat[science]'"),
        (Installed(), "/home/me/.local/share/pipx/venvs/xhat", "pipx install --force 'xhat[science]'"),
        (Installed("uv"), "/home/me/.local/share/uv/tools/xhat", "uv tool install --force 'xhat[science]'"),
        (
            Installed(url="file:///home/me/my%20xhat", dir_info={"editable": True}),
            "/venv",
            "pip install -e '/home/me/my xhat[science]'",
        ),
        (Installed(url="file:///home/me/xhat", dir_info={}), "/venv", "pip install '/home/me/xhat[science]'"),
        (
            Installed(url="file:///tmp/xhat-0.2.0-py3-none-any.whl", archive_info={}),
            "/venv",
            "pip install '/tmp/xhat-0.2.0-py3-none-any.whl[science]'",
        ),
        (
            Installed(url="https://host.example/xhat", vcs_info={"vcs": "git", "commit_id": "0" * 40}),
            "/venv",
            "pip install 'xhat[science] @ git+https://host.example/xhat'",
        ),
    ],
)
def test_a_hint_fits_how_xhat_was_installed(installed, prefix, hint, monkeypatch):
    monkeypatch.setattr(extras, "distribution", lambda name: installed)
    monkeypatch.setattr(sys, "prefix", prefix)
    assert extras.install("science") == hint


def test_a_hint_names_no_extra_where_the_package_itself_is_broken(monkeypatch):
    monkeypatch.setattr(extras, "distribution", lambda name: Installed())
    monkeypatch.setattr(sys, "prefix", "/venv")
    assert extras.install() == "pip install xhat"


def test_no_text_writes_an_extra_by_hand_that_is_none():
    """Messages take theirs from `install`; what docstrings and pages name is there."""
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]
    named = {
        (f.name, g)
        for f in files
        for found in re.findall(r"xhat\[([\w,-]+)\]", f.read_text())
        for g in found.split(",")
    }
    assert len(named) > 5
    assert [(name, group) for name, group in sorted(named) if group not in EXTRAS] == []
    for file in (ROOT / "src").rglob("*.py"):
        tree = ast.parse(file.read_text())
        parts = [p for text in ast.walk(tree) if isinstance(text, ast.JoinedStr) for p in text.values]
        assert not any(isinstance(p, ast.Constant) and re.search(r"xhat\[\w", str(p.value)) for p in parts), file


def test_what_ships_is_as_light_as_the_check_of_the_wheel_asks():
    most = re.search(r"sum\(sizes\.values\(\)\) < ([\d.e]+)", (ROOT / "scripts" / "check-wheel").read_text())
    assert most is not None
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    left = {f for pattern in wheel["exclude"] for f in ROOT.glob(pattern)}
    ships = [f for f in (ROOT / "src").rglob("*") if f.is_file() and "__pycache__" not in f.parts and f not in left]
    assert sum(f.stat().st_size for f in ships) < float(most[1])


def test_an_sdist_takes_what_lies_at_the_root_alone():
    """A name without a slash would fit in every folder, as README.md does."""
    sdist = PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [path for path in sdist if not path.startswith("/") or not (ROOT / path[1:]).exists()] == []


def test_a_page_that_a_command_names_is_where_the_reader_finds_it(monkeypatch, tmp_path):
    """In a clone it is a file; elsewhere an address, for a wheel has no docs."""
    shown = [f.read_text() for f in (ROOT / "src").rglob("arguments.py")]
    names = re.findall(r"\{page\([\"']([\w.]+)[\"']\)\}", "".join(shown))
    assert len(names) >= 5
    assert [name for name in names if extras.page(name) != f"docs/{name}"] == []
    assert [line for text in shown for line in text.splitlines() if re.search(r"docs/\w+\.md", line)] == []
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "lib" / "site-packages" / "xhat" / "files" / "extras.py"))
    extras.page.cache_clear()
    try:
        address = extras.page("training.md")
    finally:
        extras.page.cache_clear()
    assert address == f"{PYPROJECT['project']['urls']['Repository']}/blob/main/docs/training.md"


def test_the_citation_has_the_version_of_the_package():
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None
    assert cited[1] == PYPROJECT["project"]["version"]


def test_the_photographs_of_the_demo_are_those_of_scikit_image_to_the_last_bit():
    data = pytest.importorskip("skimage.data")
    for name in PHOTOGRAPHS:
        whole = Image.fromarray(getattr(data, name)()[..., :3])
        side = min(whole.size)
        left, top = (whole.width - side) // 2, (whole.height - side) // 2
        with Image.open(FOLDER / f"{name}.png") as ours:
            assert np.array_equal(np.asarray(ours), np.asarray(whole.crop((left, top, left + side, top + side)))), name


def test_photographs_have_the_size_asked_for_and_name_their_licences():
    assert photographs(40, PHOTOGRAPHS[:2]).shape == (2, 3, 40, 40)
    card = (FOLDER / "README.md").read_text()
    assert {f.name for f in FOLDER.glob("*.png")} == {f"{name}.png" for name in PHOTOGRAPHS}
    assert all(f"`{name}.png`" in card for name in PHOTOGRAPHS)


def test_a_readme_on_an_index_has_no_link_that_leads_nowhere():
    """The substitutions of pyproject.toml, as the build applies them."""
    text = (ROOT / "README.md").read_text()
    hook = PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    for rule in hook["substitutions"]:
        assert rule["replacement"].removeprefix(r"\1").startswith(PYPROJECT["project"]["urls"]["Repository"] + "/")
        text = re.sub(rule["pattern"], rule["replacement"], text)
    links = re.findall(r"\]\(([^)\s]+)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    assert links
    assert [link for link in links if not link.startswith(("https://", "#"))] == []


@pytest.mark.parametrize("part", ["operator", "solver", "noise"])
def test_a_file_that_is_to_lie_in_the_package_runs_nothing_when_it_is_imported(part):
    """A pasted block that calls a law as it is imported ends every command with a circle of imports."""
    section = re.split(rf"## Add an? {part}\n", (ROOT / "CONTRIBUTING.md").read_text())[1]
    file, check = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[:2]
    tree = ast.parse(file).body
    assert all(isinstance(s, ast.Import | ast.ImportFrom | ast.ClassDef) for s in tree)
    assert "xhat.testing" not in {s.module for s in tree if isinstance(s, ast.ImportFrom)}
    assert f"check_{part}(" in check
