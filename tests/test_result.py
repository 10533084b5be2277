"""Tables of the pages from the records of a run: means, the best, and what is published beside."""

import sys

import pytest
from benchmarks.result import headline, main, tasks

from xhat.bench.drive import bench
from xhat.bench.folder import open_run
from xhat.bench.grid import read
from xhat.bench.options import Options
from xhat.bench.stats import value

GRID = {
    "priors": ["powerlaw"],
    "data": ["fields:size=16,count=2"],
    "solvers": ["lmaps:steps=3", "ddrm:steps=3"],
    "metrics": ["psnr"],
    "tasks": {
        "pixels": {"operator": "inpaint:keep=0.4", "noise": "gaussian:sigma=0.05"},
        "phase": {"operator": "phase_retrieval", "noise": "gaussian:sigma=0.05"},
    },
    "published": [
        {
            "source": "A paper",
            "data": "its data",
            "metric": "psnr",
            "rows": [{"method": "LMAPS", "ours": "lmaps", "pixels": 31.5}, {"method": "Other", "pixels": 20.25}],
        }
    ],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tiny"
    bench(read(GRID), out, Options(batch_size=2, quiet=True))
    return out


def cells(table, label):
    line = next(line for line in table.splitlines() if line.startswith(f"| {label}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def mean(rows, label, task):
    found = [value(r, "psnr") for r in rows if (r["label"], r["task"]) == (label, task)]
    return sum(found) / len(found)


def test_the_headline_has_the_means_and_marks_the_best(run):
    content, rows = open_run(run)
    table = headline(content, rows)
    pixels = {label: mean(rows, label, "pixels") for label in ("lmaps:steps=3", "ddrm:steps=3")}
    best = max(pixels, key=pixels.get)
    for label, found in pixels.items():
        shown = cells(table, label)[2]
        assert float(shown.strip("*")) == pytest.approx(found, abs=0.005)
        assert shown.startswith("**") == (label == best)
    assert cells(table, "ddrm")[3] == "–", "ddrm is not for phase retrieval"
    assert cells(table, "lmaps")[3] == f"**{mean(rows, 'lmaps:steps=3', 'phase'):.2f}**"
    assert cells(table, "lmaps")[4:6] == ["3", "0"]


def test_tables_of_tasks_have_the_published_beside_the_measured(run):
    pixels, phase = tasks(*open_run(run))
    assert cells(pixels, "lmaps")[-1] == "31.5"
    assert cells(pixels, "ddrm")[-1] == "–"
    assert cells(pixels, "Other (published only)")[-1] == "20.25"
    assert "published" not in phase
    assert "ddrm" not in phase
    assert len({line.count("|") for line in pixels.splitlines()}) == 1


def test_the_place_in_the_page_is_filled(run, tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- tiny -->\nold\n<!-- end -->\nafter\n")
    monkeypatch.setattr(sys, "argv", ["result", "tasks", str(run), str(page)])
    main()
    text = page.read_text()
    assert text.startswith("before\n<!-- tiny -->\n| pixels")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "old" not in text
