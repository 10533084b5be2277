"""Everything public says what it is, and the map of the house is true."""

import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import xhat

MEMBERS = (FunctionType, classmethod, staticmethod, property, cached_property)


def modules() -> Iterator[ModuleType]:
    yield xhat
    for info in pkgutil.walk_packages(xhat.__path__, "xhat."):
        if not info.name.endswith("__main__"):
            yield import_module(info.name)


def own(module: ModuleType) -> Iterator[tuple[str, object]]:
    """The public functions and classes that a module defines, by name."""
    for name, thing in vars(module).items():
        ours = getattr(thing, "__module__", None) == module.__name__
        if ours and not name.startswith("_") and (inspect.isroutine(thing) or inspect.isclass(thing)):
            yield name, thing


def says(thing: object) -> bool:
    """Whether it has a docstring that somebody wrote: a dataclass without one gets its signature."""
    text = (getattr(thing, "__doc__", None) or "").strip()
    return bool(text) and not (inspect.isclass(thing) and text.startswith(f"{thing.__name__}("))


def undocumented(module: ModuleType) -> Iterator[str]:
    if not says(module):
        yield module.__name__
    for name, thing in own(module):
        if not says(thing):
            yield f"{module.__name__}.{name}"
        if inspect.isclass(thing):
            # A method that overrides one of the package need not repeat what that one says.
            line = [base for base in thing.__mro__ if base.__module__.startswith("xhat")]
            for member, it in vars(thing).items():
                field = member in inspect.get_annotations(thing)  # whose default may be a function
                public = not field and not member.startswith("_") and isinstance(it, MEMBERS)
                if public and not any(says(vars(base).get(member)) for base in line):
                    yield f"{module.__name__}.{name}.{member}"


def test_everything_public_has_a_docstring():
    assert [name for module in modules() for name in undocumented(module)] == []


ROOT = Path(__file__).parents[1]
MAP = (ROOT / "docs" / "map.md").read_text()


def test_the_map_shows_every_room_and_no_room_that_is_gone():
    named = set(re.findall(r"`(\w+)(?:/|\.py)?`", MAP))
    rooms = {p.stem for p in (ROOT / "src" / "xhat").iterdir() if p.suffix in ("", ".py")} - {"__pycache__", "__main__"}
    assert rooms <= named, "not on the map"
    paths = re.findall(r"`((?:\w+/)+\w+\.py)`", MAP)
    gone = [p for p in paths if "NAME" not in p and not (ROOT / "src" / "xhat" / p).exists()]
    assert gone == []


@pytest.mark.parametrize(
    ("question", "file", "there"),
    [
        ("the residual that the record states", "likelihoods/base.py", "def misfit("),
        ("the colour map of a velocity", "science/fwi/modality.py", "VELOCITY"),
        ("how a .h5 file is recognised", "science/mri/__init__.py", '".h5"'),
        ("what `--samples` does", "task/run.py", "seeds"),
    ],
)
def test_the_map_leads_to_where_things_are_decided(question, file, there):
    (row,) = [line for line in MAP.splitlines() if question in line]
    folder = file.rpartition("/")[0]
    assert f"`{file}`" in row or f"`{folder}`" in row
    assert there in (ROOT / "src" / "xhat" / file).read_text()


def test_links_of_the_docs_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())]
    assert [f"{p.name}: {link}" for p, link in links if "://" not in link and not (p.parent / link).exists()] == []


def test_one_module_reads_the_format_in_which_parts_are_built():
    sources = (ROOT / "src" / "xhat").rglob("*.py")
    assert [p.stem for p in sources if "get_default_dtype" in p.read_text()] == ["build_dtype"]


def test_records_of_the_pages_name_no_folder_of_a_machine():
    for file in sorted((ROOT / "docs" / "results").glob("*/records.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            command = (json.loads(line).get("provenance") or {}).get("command") or ""
            assert not any(word.startswith("/") for word in command.split()), (file, command)
