"""The site: every page is in its navigation, links fit it, and it builds without a warning."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts" / "site"))

from links import JOINED, moved  # noqa: E402

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


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mkdocs") is None, reason="the docs extra is not installed")
def test_the_site_builds_without_a_warning(tmp_path):
    done = subprocess.run(["scripts/build-site", "-d", str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "search" / "search_index.json").exists()
