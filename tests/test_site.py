"""The site: every page is in its navigation, links fit it, and it builds without a warning."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import xhat
from xhat.baselines import BASELINES
from xhat.noise import NOISES
from xhat.operators import OPERATORS
from xhat.solvers import SOLVERS

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts" / "site"))

import gallery  # noqa: E402
from links import JOINED, moved, titled  # noqa: E402

NAV = re.findall(r"[ :]([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_page_is_in_the_navigation_once():
    pages = [p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")]
    assert sorted(NAV) == sorted([*pages, *JOINED])


@pytest.mark.parametrize(
    ("page", "link", "becomes"),
    [
        ("map.md", "../CONTRIBUTING.md#plug-ins", "CONTRIBUTING.md#plug-ins"),
        ("studies/coded.md", "../../SECURITY.md", "../SECURITY.md"),
        ("results/README.md", "../../README.md", "../index.md"),
        ("studies/coded.md", "../mri.md#solvers", "../mri.md#solvers"),
        ("CONTRIBUTING.md", "docs/map.md", "map.md"),
        ("mri.md", "../src/xhat/rng.py", "https://host/xhat/blob/main/src/xhat/rng.py"),
        ("mri.md", "https://docs.ray.io", "https://docs.ray.io"),
    ],
)
def test_links_out_of_docs_lead_to_the_same_on_the_site(page, link, becomes):
    assert moved(f"see [it]({link}).", page, "https://host/xhat") == f"see [it]({becomes})."


def test_a_block_to_be_saved_shows_the_name_of_its_file():
    page = (ROOT / "docs" / "tutorials" / "comparison.md").read_text(encoding="utf-8")
    assert '```toml title="grid.toml"\ntitle = "LMAPS against DDRM"' in titled(page)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mkdocs") is None, reason="the docs extra is not installed")
def test_the_site_builds_without_a_warning(tmp_path):
    done = subprocess.run(["scripts/build-site", "-d", str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "search" / "search_index.json").exists()


def test_what_the_registries_write_names_every_part_with_its_options():
    for kind, registry in (("operators", OPERATORS), ("solvers", {**SOLVERS, **BASELINES}), ("noises", NOISES)):
        text = gallery.filled(f"<!-- generated: {kind} -->")
        assert re.findall(r"^## `(\S+)`", text, re.MULTILINE) == (
            list(registry) if kind != "solvers" else [*sorted(SOLVERS), *sorted(BASELINES)]
        )
    text = gallery.filled("<!-- generated: solvers -->")
    assert "x̂₀ = argmin ‖y − A(x)‖²" in text, "the formula"
    assert "[arXiv:2510.07343](https://arxiv.org/abs/2510.07343)" in text
    assert "| `zeta` | `1` | a number from 0 to 1 |" in text


def test_the_chooser_says_what_the_loop_says():
    facts = {r["solver"]: r for r in json.loads(re.search(r"json\">(.*?)</script>", "".join(gallery.chooser()))[1])}
    names = list(gallery.examples())
    blur, jpeg = names.index("gaussian_blur"), names.index("jpeg")
    assert "g" in facts["ddrm"]["takes"][blur]
    assert facts["ddrm"]["takes"][jpeg] == []
    assert all(taken == ["g", "n", "p"] for taken in facts["lmaps"]["takes"]), "as docs/choosing.md says"
    assert facts["lmaps"]["calls"] == SOLVERS["lmaps"]().steps
    assert facts["lmaps"]["gives"] == "point"
    assert all(a in OPERATORS for a in gallery.TASKS.values())
    assert facts["lmaps"]["db"][blur] == round(float(gallery.measured()["lmaps"]["Gaussian"].strip("*")), 1)


def test_pictures_of_the_gallery_are_small_and_of_every_operator():
    pictures = list((ROOT / "docs" / "gallery").glob("*.jpg"))
    # black_hole needs the file of an observation; black_hole_array shows the same
    assert {p.stem for p in pictures} == set(OPERATORS) - {"black_hole"}
    assert max(p.stat().st_size for p in pictures) <= 25_000


def test_the_reference_has_every_public_name_once():
    pages = (ROOT / "docs" / "reference").glob("*.md")
    shown = re.findall(r"^::: xhat\.(\w+)$", "\n".join(p.read_text(encoding="utf-8") for p in pages), re.MULTILINE)
    assert sorted(shown) == sorted(set(xhat.__all__) - {"__version__"})
    assert "xhat restore" in gallery.filled("<!-- generated: commands -->")


def test_a_docstring_is_shown_as_it_is():
    text = gallery.prose("p(x|y) < `a*b<c` * 2\n\n    x * y | z")
    assert text == "p(x\\|y) &lt; `a*b<c` \\* 2\n\n    x * y | z"
