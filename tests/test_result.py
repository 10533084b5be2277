"""Tables of the pages from the records of a run: means, the best, and what is published beside."""

import json
import sys
from pathlib import Path

import pytest
from benchmarks.photos import stored
from benchmarks.result import headline, main, tasks
from benchmarks.upgrade import upgraded

from xhat.bench.drive import bench
from xhat.bench.folder import open_run
from xhat.bench.grid import read
from xhat.bench.options import Options
from xhat.bench.report.text import markdown
from xhat.bench.stats import value

ROOT = Path(__file__).parent.parent
RUNS = sorted(p.parent for p in (ROOT / "docs" / "results").glob("*/records.jsonl"))

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


@pytest.mark.parametrize("folder", RUNS, ids=lambda f: f.name)
def test_the_records_of_the_pages_are_of_this_schema(folder):
    """`open_run` refuses a record of another schema; the report beside the records says what they say."""
    content, rows = open_run(folder)
    assert rows
    assert {r["cell"] for r in rows} <= {c["id"] for c in content["cells"]}
    text = markdown(content, rows, {})
    assert text == (folder / "report.md").read_text(encoding="utf-8")


def test_the_table_of_photographs_is_of_this_schema():
    assert {r["status"] for r in stored(ROOT / "benchmarks" / "photos.jsonl").rows.values()} == {"ok", "n/a"}


def test_a_record_of_schema_1_keeps_its_numbers_when_it_is_upgraded(run):
    """Schema 1 as it was: numbers instead of lists, calls and what a run costs under other names."""
    for new in open_run(run)[1]:
        if new["status"] != "ok":
            continue
        made = new["provenance"]
        same = ("key", "cell", "task", "label", "prior", "data", "operator", "schedule", "samples", "noise", "solver")
        same += ("image", "seed", "stream", "per_image", "status", "error", "returns", "prior_sha256")
        old = {k: new[k] for k in same} | {k: new[k][0] for k in ("residual", "expected_residual", "residual_ratio")}
        old |= {"schema": 1, "shape": new["image_shape"], "image_sha256": new["reference_sha256"]}
        old |= {"metrics": {k: v[0] for k, v in new["metrics"].items()}}
        old |= {"forwards": new["calls"]["forwards"], "backwards": new["calls"]["backwards"]}
        old |= {"operator_calls": new["calls"]["operator"], "versions": new["versions"] | {"code": new["code"]}}
        old["run"] = {k: made[k] for k in ("time", "host", "process", "threads")}
        old["run"] |= {"seconds": new["seconds"], "batch": new["batch_size"], "device": new["device"]}
        again = upgraded(json.loads(json.dumps(old)))
        unknown = {k for k in new if again[k] != new[k]}
        assert unknown <= {"measurement_sha256", "operator_sha256", "data_shape", "provenance"}
