"""Grids, records, resuming, failures: laws of `xhat bench`, on priors and images that need no file."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import torch

import xhat
from xhat.bench.drive import bench
from xhat.bench.evaluate import Work, evaluate
from xhat.bench.folder import RunFolder, open_run
from xhat.bench.grid import Cell, load, only, read, suites
from xhat.bench.images import open_images
from xhat.bench.memory import fitting
from xhat.bench.options import Options
from xhat.bench.queue import works
from xhat.bench.samples import coverage, crps, spread
from xhat.bench.schema import FIELDS, FIXED, stream, validate
from xhat.bench.stats import front, interval, paired, student, summary, value
from xhat.bench.tune import ranges_for
from xhat.cli.arguments import main, parser
from xhat.errors import DataError, SpecError
from xhat.files.rows import Rows, claim
from xhat.science.vlbi.generator import generate
from xhat.solvers import SOLVERS
from xhat.solvers.base import Estimator
from xhat.task.parts import METHODS, spec_in
from xhat.task.schema import CALLS
from xhat.train.dataset import load as dataset
from xhat.train.recipe import DataOptions

DOCS = Path(__file__).parent.parent / "docs"

TINY = {
    "priors": ["powerlaw"],
    "data": ["fields:size=16,count=3"],
    "solvers": ["lmaps:steps=3", "ddrm:steps=3"],
    "tasks": {
        "pixels": {"operator": "inpaint:keep=0.4", "noise": "gaussian:sigma=0.05"},
        "phase": {"operator": "phase_retrieval", "noise": "gaussian:sigma=0.05"},
    },
    "seeds": 2,
}
TWO = Options(batch_size=2, quiet=True)

TOML = """
priors = ["powerlaw"]
data = ["fields:size=16,count=3"]
solvers = ["lmaps:steps=3", "ddrm:steps=3"]
seeds = 2
[tasks]
pixels = { operator = "inpaint:keep=0.4", noise = "gaussian:sigma=0.05" }
phase = { operator = "phase_retrieval", noise = "gaussian:sigma=0.05" }
"""


def same(folder):
    """What a repeated run must reproduce, by key."""
    return {r["key"]: {k: r[k] for k in FIXED} for r in open_run(folder)[1]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The tiny grid, run once."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    bench(read(TINY), out, TWO)
    return out


# --- the grid -----------------------------------------------------------------------------------


def test_grid_is_crossed_and_overridden():
    rules = [
        {"when": {"solver": "ddrm", "task": "pix*"}, "set": {"options": {"steps": 7}, "seeds": 1, "images": 2}},
        {"when": {"task": "phase", "label": "ddrm*"}, "set": {"skip": True}},
    ]
    grid = read({**TINY, "override": rules, "operators": ["denoise"], "noises": ["noiseless", "gaussian"]})
    cells = {(c.task, c.label): c for c in grid.cells()}
    assert len(cells) == 7
    assert ("phase", "ddrm:steps=3") not in cells
    changed = cells["pixels", "ddrm:steps=3"]
    assert (changed.solver, changed.seeds, changed.images) == ("ddrm:steps=7", (0,), 2)
    assert cells["pixels", "lmaps:steps=3"].seeds == (0, 1)
    assert cells["denoise, gaussian", "lmaps:steps=3"].noise == "gaussian"
    assert {c.label for c in only(grid.cells(), ["lmaps"], ["p*"])} == {"lmaps:steps=3"}
    over = grid.over(["photo"], ["photographs"])
    assert {(c.prior, c.data) for c in over.cells()} == {("photo", "photographs")}


def test_a_tie_is_no_win():
    """Bold in a table: the best of a block, and all that paired differences do not tell from it."""
    same = {"prior": "p", "data": "d", "task": "t", "returns": "point", "operator": "o", "noise": "n", "samples": 1}

    def runs(label, psnr, **changed):
        row = {**same, "cell": label, "label": label, "solver": label, "status": "ok", "seed": 0, **changed}
        return [
            {**row, "image": str(i), "metrics": {"psnr": [v]}, "calls": {"operator": 1}} for i, v in enumerate(psnr)
        ]

    def tops(*given):
        return {line["label"] for line in summary([row for rows in given for row in rows]) if "psnr" in line["top"]}

    a, b, c = [20.0, 30.0, 25.0, 28.0], [20.5, 29.6, 25.2, 27.8], [19.0, 28.9, 24.1, 27.0]
    assert tops(runs("a", a), runs("b", b), runs("c", c)) == {
        "a",
        "b",
    }  # c is worse by 1 on each image, within ± 4
    assert tops(runs("a", a), runs("c", c)) == {"a"}
    assert tops(runs("a", a[:1]), runs("c", c[:1])) == {"a", "c"}  # one image tells nothing
    assert tops(runs("a", a), runs("c", c, returns="sample")) == {"a", "c"}  # the best of blocks of their own
    assert tops(runs("a", a), runs("c", c, task="another")) == {"a", "c"}


def test_a_class_of_ones_own_joins_a_grid_from_the_command_line_alone(tmp_path, monkeypatch):
    (tmp_path / "beside.py").write_text("from xhat.solvers import DDNM\n\n\nclass Mine(DDNM):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    grid = read(TINY).joined_by(["lmaps*", "beside:Mine:steps=2", "ddrm"])
    labels = {c.label for c in grid.cells()}
    assert labels == {c.label for c in read(TINY).cells()} | {"beside:Mine:steps=2"}
    assert {c.label for c in only(grid.cells(), ["beside:Mine:steps=2"])} == {"beside:Mine:steps=2"}
    with pytest.raises(SpecError, match="beside:Mine"):
        read({**TINY, "solvers": ["beside:Mine:steps=2"]})


def test_a_cell_is_its_numbers_not_its_names():
    cell = read(TINY).cells()[0]
    assert replace(cell, task="x", label="y", seeds=(5,), images=1).id == cell.id
    assert replace(cell, solver="lmaps:zeta=1,steps=3").id == cell.id  # the default, stated
    changed = {"operator": "inpaint", "noise": "noiseless", "prior": "photo", "schedule": "edm", "samples": 2}
    ids = {replace(cell, **{k: v}).id for k, v in changed.items()} | {cell.id, replace(cell, solver="lmaps").id}
    assert len(ids) == len(changed) + 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"solver": ["lmaps"]}, "solver"),
        ({"solvers": ["lmap"]}, "lmap"),
        ({"solvers": "lmaps"}, "solvers must be a list, each text, or a table, not 'lmaps'"),
        ({"solvers": [{"spec": "lmaps"}]}, "label and spec"),
        ({"noises": ["gauss"], "operators": ["denoise"]}, "gauss"),
        ({"tasks": {"a": {"operator": "denoise"}}}, "needs operator and noise"),
        ({"tasks": {}}, "no cell"),
        ({"seeds": []}, "seeds"),
        ({"samples": 0}, "samples must be a whole number from 1 to 100,000, not 0"),
        ({"images": -1}, "images must be a whole number from 1"),
        ({"tasks": {"a": {"operator": "denoise", "noise": "noiseless", "samples": -3}}}, "samples must be"),
        ({"tasks": {"a": {"operator": "denoise", "noise": "noiseless", "images": 0}}}, "images must be"),
        ({"tasks": {"a": {"operator": "denoise", "noise": "noiseless", "schedule": 3}}}, "schedule must be text"),
        ({"seeds": [10**23]}, "seed"),
        ({"override": [{"set": {}}]}, "when and set"),
        ({"override": [{"when": {"colour": "x"}, "set": {}}]}, "colour"),
        ({"schedule": "edmm"}, "edmm"),
    ],
)
def test_mistakes_in_a_grid_are_named(change, said):
    with pytest.raises(SpecError, match=said):
        read({**TINY, **change})


@pytest.mark.slow
@pytest.mark.parametrize("name", suites())
def test_suites_are_grids(name):
    grid = load(name)
    assert grid.title
    assert grid.cells()


def test_a_file_that_is_no_grid_is_named(tmp_path):
    (tmp_path / "bad.toml").write_text("priors = [")
    with pytest.raises(SpecError, match=r"bad\.toml"):
        load(tmp_path / "bad.toml")
    with pytest.raises(DataError, match="quick"):
        load("quicker")
    (tmp_path / "one.toml").write_text('solvers = ["lmaps:k=2"]')
    assert spec_in(str(tmp_path / "one.toml")) == "lmaps:k=2"


def test_the_documented_grid_is_one(tmp_path, monkeypatch):
    text = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "best.toml").write_text('solvers = ["lmaps:k=2"]')
    grid = read(tomllib.loads(re.search(r"```toml\n(.*?)```", text, re.S)[1]))
    cells = {(c.task, c.label, c.data): c for c in grid.cells()}
    assert len(cells) == 2 * 3 * 4 - 3
    assert cells["JPEG 5", "dps:steps=300", "photographs:size=128"].solver == "dps:steps=1000"


@pytest.mark.parametrize("page", ["benchmarks.md", "cluster.md"])
def test_documented_commands_parse(page):
    text = "".join(re.findall(r"```(?:bash)?\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.S))
    lines = re.findall(r"^ *(xhat .*)$", text.replace("\\\n", " "), re.M)
    assert lines
    for line in lines:
        parser().parse_args(shlex.split(line.split(" #")[0])[1:])


# --- the data -----------------------------------------------------------------------------------


def test_images_of_folders_and_stacks(tmp_path):
    (tmp_path / "a").mkdir()
    x = torch.rand(3, 20, 30) * 2 - 1
    xhat.save_image(tmp_path / "a" / "1.png", x)
    xhat.save_image(tmp_path / "0.png", x[:, :10, :12])
    images = open_images(f"folder:path={tmp_path},size=8")
    assert images.names() == ["0.png", "a/1.png"]
    assert images.load("a/1.png").shape == (3, 8, 8)
    assert open_images(str(tmp_path)).load("0.png").shape == (3, 10, 12)
    stack = np.random.default_rng(0).normal(size=(11, 2, 4, 4))
    np.savez(tmp_path / "s.npz", x=stack)
    images = open_images(f"stack:path={tmp_path / 's.npz'}")
    assert images.names()[-1] == "10"
    assert torch.equal(images.load("03"), torch.from_numpy(stack[3]).float())
    for spec, said in ((f"stack:path={tmp_path / 'none.npy'}", "none.npy"), (f"folder:path={tmp_path}/b", "no such")):
        with pytest.raises(DataError, match=said):
            open_images(spec)


def test_pixels_of_a_stack_and_generated_skies(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8), np.uint8)
    np.savez(tmp_path / "p.npz", x=pixels)
    images = open_images(f"stack:path={tmp_path / 'p.npz'}")
    assert torch.equal(images.load("4"), torch.from_numpy(pixels[4])[None].float() / 127.5 - 1)
    skies = open_images("generated:what=blackhole,size=16,count=3")
    assert torch.equal(
        skies.load("blackhole002"), open_images("generated:what=blackhole,size=16,count=5").load("blackhole002")
    )
    assert skies.load("blackhole001").max() == 1
    thin = open_images("generated:what=blackhole,size=16,count=5,every=2")
    assert thin.names() == ["blackhole000", "blackhole002", "blackhole004"]
    assert torch.equal(thin.load("blackhole002"), skies.load("blackhole002"))


def test_held_out_images_are_those_of_training(tmp_path):
    """Whatever a prior was trained on is not among them."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8), np.uint8)
    np.savez(tmp_path / "p.npz", x=pixels)
    (tmp_path / "r.toml").write_text("[data]\nchannels = 1\nvalidation = 4\n")
    images = open_images(f"held:path={tmp_path / 'p.npz'},recipe={tmp_path / 'r.toml'}")
    data = dataset(tmp_path / "p.npz", DataOptions(channels=1, validation=4))
    held = torch.stack([images.load(name) for name in images.names()])
    assert torch.equal(held, data.validation(4))
    assert not any(torch.equal(x, one.float() / 127.5 - 1) for x in held for one in data.train)


SCIENCE = {
    "science-mri": "fields:size=32,count=1",
    "science-scattering": "fields:size=16,count=1",
    "science-ct": "fields:size=16,count=1",
    "science-blackhole": "generated:what=blackhole,size=16,count=1",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCIENCE)
def test_science_suites_run(name, tmp_path, monkeypatch):
    """Classical methods and a solver side by side on small images; what does not apply says so."""
    monkeypatch.setenv("XHAT_CACHE", str(tmp_path / "cache"))
    two = "magnitude:prior=powerlaw" if name == "science-mri" else "powerlaw"
    grid = load(name).over([two], [SCIENCE[name]])
    wanted = ("lmaps*", "tv", "adjoint", "fbp", "backprojection")
    picked = [c for c in grid.cells() if any(fnmatch(c.label, p) for p in wanted)]
    few = lambda spec: f"{spec},transmitters=2" if spec.startswith("scattering") else spec  # seconds for its SVD
    short = {"tv": "tv:steps=10", "lmaps:steps=20": "lmaps:steps=4", "lmaps:steps=40,k=0.1": "lmaps:steps=4"}
    quick = [replace(c, operator=few(c.operator), solver=short.get(c.solver, c.solver)) for c in picked]
    rows = bench(grid, tmp_path / "out", TWO, cells=quick).rows()
    assert {r["status"] for r in rows} == {"ok"}, [r["error"] for r in rows]
    scores = rows[0]["metrics"]
    assert ("chi2_cp" in scores) == (name == "science-blackhole")
    assert len(rows) == len(quick) >= 1


def test_images_of_different_shapes_are_not_batched_together(tmp_path):
    for i, side in enumerate((16, 12, 16)):
        xhat.save_image(tmp_path / f"{i}.png", torch.zeros(1, side, side))
    cell = Cell("t", "l", "powerlaw", str(tmp_path), "denoise", "gaussian", "lmaps:steps=2")
    assert [w.images for w in works(cell, 2)] == [("1.png",), ("0.png", "2.png")]


# --- records ------------------------------------------------------------------------------------


def test_every_record_is_valid_and_nothing_is_computed_twice(whole):
    rows = [json.loads(line) for line in (whole / "records.jsonl").read_text().splitlines()]
    assert len(rows) == len({r["key"] for r in rows}) == 2 * 2 * 3 * 2
    for row in rows:
        validate(row)
    assert {r["status"] for r in rows} == {"ok", "n/a"}
    assert all(r["status"] == "n/a" for r in rows if r["task"] == "phase" and r["solver"].startswith("ddrm"))
    ok = [r for r in rows if r["status"] == "ok"]
    assert all(r["calls"]["forwards"] == 3 and r["calls"]["backwards"] == 0 for r in ok)
    assert all(set(r["calls"]) == set(CALLS) for r in rows)
    before = (whole / "records.jsonl").read_bytes()
    bench(read(TINY), whole, TWO)
    assert (whole / "records.jsonl").read_bytes() == before


def test_parquet_has_all_of_it(whole):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(whole / "records.parquet").to_pylist()
    assert len(table) == 24
    assert sum(r["psnr"] is not None for r in table) == 18
    assert {"code", "seconds", "residual_ratio", "label", "command", "calls_operator"} <= table[0].keys()
    assert {r["operator"] for r in table} == {t["operator"] for t in TINY["tasks"].values()}


def test_a_record_can_be_repeated_by_hand(whole):
    row = next(r for r in open_run(whole)[1] if r["task"] == "pixels" and r["image"] == "field001" and r["seed"] == 1)
    x = open_images(row["data"]).load(row["image"])
    y = xhat.simulate(x, f"{row['operator']},seed={row['stream']}", row["noise"], row["stream"])
    r = xhat.restore(y, prior=row["prior"], solver=row["solver"], seed=row["stream"], reference=x)
    assert row["per_image"]
    assert float(r.metrics["psnr"][0]) == pytest.approx(value(row, "psnr"), abs=1e-4)
    assert r.record["residual_ratio"] == pytest.approx(row["residual_ratio"], abs=1e-4)


@pytest.mark.slow
def test_results_do_not_depend_on_the_batch(whole, tmp_path):
    bench(read(TINY), tmp_path, Options(batch_size=3, quiet=True))
    a, b = same(whole), same(tmp_path)
    assert a.keys() == b.keys()
    for k in a:
        assert a[k]["metrics"].keys() == b[k]["metrics"].keys()
        for name, found in a[k]["metrics"].items():
            assert found == pytest.approx(b[k]["metrics"][name], abs=1e-3)  # rounding differs with the batch


def test_complex_images_are_measured_by_their_magnitude(tmp_path):
    task = {"operator": "mri:acceleration=2,coils=2", "noise": "noiseless"}
    bench(read({**TINY, "tasks": {"MRI": task}, "solvers": ["lmaps:steps=3"], "seeds": 1}), tmp_path, TWO)
    rows = open_run(tmp_path)[1]
    assert {r["status"] for r in rows} == {"ok"}
    assert all(
        set(r["metrics"]) == {"magnitude_psnr", "magnitude_ssim"} and r["image_shape"] == [2, 16, 16] for r in rows
    )


def test_the_stream_of_an_image_is_its_own():
    assert stream("a", 0) == stream("a", 0)
    assert len({stream(image, seed) for image in "abcdef" for seed in range(50)}) == 300


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 1}, "schema 1"),
        ({"status": "fine"}, "fine"),
        ({"seed": "0"}, "seed is '0'"),
        ({"metrics": None}, "metrics"),
        ({"extra": 1}, "unknown field 'extra'"),
    ],
)
def test_schema_refuses(whole, tmp_path, change, said):
    row = open_run(whole)[1][0] | change
    with pytest.raises(DataError, match=said):
        validate(row)
    (tmp_path / "records.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=said):
        bench(read(TINY), tmp_path, TWO)


def test_schema_misses():
    with pytest.raises(DataError, match="misses"):
        validate({"schema": 2})
    assert set(FIXED) < set(FIELDS)


# --- failures -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Explodes(Estimator):
    """NaN for images whose measurement has a large first pixel; `error` breaks instead."""

    steps: int = 2
    zeta: float = 1.0
    above: float = 0.0
    error: bool = False

    def estimate(self, x, t, prior, like, rng):
        if self.error:
            raise ZeroDivisionError("broken")
        m = prior(x, t)
        hot = like.y.flatten(1)[:, 0] > self.above
        return torch.where(hot[:, None, None, None], torch.nan, m)


def test_a_nan_of_one_image_is_a_failure_of_one_image(monkeypatch):
    monkeypatch.setitem(SOLVERS.own, "explodes", Explodes)
    cell = Cell("t", "l", "powerlaw", "fields:size=16,count=6", "denoise", "gaussian:sigma=0.01", "explodes", samples=2)
    images = open_images(cell.data)
    hot = [n for n in images.names() if float(images.load(n)[0, 0, 0]) > 0]
    assert 0 < len(hot) < 6
    done = evaluate(Work(cell, 0, tuple(images.names())), ["psnr"])
    assert [d.row["image"] for d in done] == images.names()
    for d in done:
        validate(d.row)
        assert (d.row["status"] == "diverged") == (d.row["image"] in hot)
        assert (d.row["metrics"] == {}) == (d.row["image"] in hot)
    line = summary([d.row for d in done])[0]
    assert line["failed"] == len(hot)
    assert line["numbers"]["psnr"].images == 6 - len(hot)


def test_what_broke_is_recorded_and_tried_again(tmp_path, monkeypatch):
    monkeypatch.setitem(SOLVERS.own, "explodes", Explodes)
    grid = read({**TINY, "solvers": ["explodes:error=true,above=9"], "tasks": {"a": TINY["tasks"]["pixels"]}})
    bench(grid, tmp_path, TWO)
    rows = open_run(tmp_path)[1]
    assert {r["status"] for r in rows} == {"error"}
    assert "ZeroDivisionError: broken" in rows[0]["error"]
    monkeypatch.setattr(Explodes, "estimate", lambda self, x, t, prior, like, rng: prior(x, t))
    bench(grid, tmp_path, TWO)
    assert {r["status"] for r in open_run(tmp_path)[1]} == {"ok"}


def test_too_little_memory_halves_the_batch(monkeypatch):
    cell = Cell("t", "l", "powerlaw", "fields:size=16,count=5", "denoise", "gaussian", "lmaps:steps=2")
    from xhat.bench import evaluate as module

    real = module._together

    def scarce(work, metrics, device):
        if len(work.images) > 2:
            raise torch.OutOfMemoryError("full")
        return real(work, metrics, device)

    monkeypatch.setattr(module, "_together", scarce)
    done = evaluate(Work(cell, 0, tuple(open_images(cell.data).names())), ["psnr"])
    assert [d.row["status"] for d in done] == ["ok"] * 5
    assert sorted(d.row["batch_size"] for d in done) == [1, 2, 2, 2, 2]


@pytest.mark.slow
def test_batch_size_by_memory(tmp_path):
    assert fitting(1000.0, 100.0, 150.0, 64) == 16
    assert fitting(1000.0, 100.0, 100.0, 64) == 64
    assert fitting(50.0, 100.0, 150.0, 64) == 1
    bench(read(TINY), tmp_path, Options(quiet=True))
    sizes = json.loads((tmp_path / "bench.json").read_text())["batch_sizes"]
    assert len(sizes) == 2
    assert set(sizes.values()) <= {1, 2, 4, 8, 16}


# --- the folder ---------------------------------------------------------------------------------


def test_a_folder_that_will_not_do_is_refused_before_any_work(tmp_path, monkeypatch, capsys):
    (tmp_path / "grid.toml").write_text(TOML)
    (tmp_path / "file").write_text("")
    command = ["bench", str(tmp_path / "grid.toml"), "-q", "-o"]
    assert main([*command, str(tmp_path / "file")]) == 2
    assert "not a folder" in capsys.readouterr().err

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert main([*command, str(tmp_path / "full")]) == 2
    assert "No space left" in capsys.readouterr().err
    assert not (tmp_path / "full").exists()  # a refusal leaves nothing
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
        assert main([*command, str(tmp_path / "little")]) == 2
    assert "the disk has 0 MB left" in capsys.readouterr().err


def test_a_disk_that_fills_up_leaves_whole_records(tmp_path, monkeypatch):
    rows = Rows(tmp_path / "r.jsonl", lambda r: r["a"])
    rows.add({"a": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DataError, match="No space left"):
            rows.add({"a": 2}, {"a": 3})
    assert (tmp_path / "r.jsonl").read_text() == '{"a": 1}\n'
    assert set(rows.rows) == {1}


def test_rows_outlive_a_cut_off_line(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"a": 1}\nnonsense\n{"b": 2}\n{"a": 2, "c":')
    rows = Rows(path, lambda r: r["a"])
    assert set(rows.rows) == {1}
    assert rows.broken == 2
    rows.add({"a": 3})
    again = Rows(path, lambda r: r["a"])
    assert set(again.rows) == {1, 3}
    assert again.broken == 3


def test_a_claim_is_one_process_s(tmp_path):
    with claim(tmp_path / "c") as first, claim(tmp_path / "c") as second:
        assert (first, second) == (True, False)
    with claim(tmp_path / "c") as third:
        assert third


@pytest.mark.slow
def test_other_code_and_weights_are_told(whole, tmp_path, capsys):
    (tmp_path / "grid.toml").write_text(TOML)
    lines = [json.loads(line) for line in (whole / "records.jsonl").read_text().splitlines()]
    for row in lines[:5]:
        row["code"] = "0123456789abcdef"
    lines[0]["prior_sha256"] = "beef"
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in lines))
    command = ["bench", str(tmp_path / "grid.toml"), "-o", str(tmp_path), "-q", "--batch-size", "2"]
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "5 records were made with another code 0123456789abcdef" in said
    assert "1 records were made with another weights beef" in said
    assert "--fresh" in said
    assert main([*command, "--fresh"]) == 0
    assert "made again" in capsys.readouterr().err
    assert main(command) == 0
    assert capsys.readouterr().err == ""
    assert same(tmp_path) == same(whole)


def run_in_background(grid, out, *more):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "xhat", "bench", str(grid), "-o", str(out), "--batch-size", "1", "-q", *more]
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_and_shared_runs_end_with_the_same_records(tmp_path):
    """kill -9 in the middle, then two processes at once on the same folder."""
    slow = TOML.replace("lmaps:steps=3", "lmaps:steps=100").replace("phase_retrieval", "denoise")
    (tmp_path / "grid.toml").write_text(slow)
    out, reference = tmp_path / "out", tmp_path / "reference"
    first = run_in_background(tmp_path / "grid.toml", out)
    records = out / "records.jsonl"
    end = time.monotonic() + 300
    while time.monotonic() < end and not (records.exists() and records.read_bytes().count(b"\n") >= 3):
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    first.stderr.close()
    there = records.read_bytes().count(b"\n")
    assert 3 <= there < 24
    both = [run_in_background(tmp_path / "grid.toml", out) for _ in range(2)]
    for p in both:
        _, err = p.communicate(timeout=500)
        assert p.returncode == 0, err
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    bench(load(tmp_path / "grid.toml"), reference, Options(batch_size=1, quiet=True))
    torch.set_num_threads(threads)
    lines = records.read_text().splitlines()
    assert len(lines) == len({json.loads(line)["key"] for line in lines}) == 24
    assert same(out) == same(reference)
    assert not (out / ".claims").exists()


@pytest.mark.slow
def test_pictures_are_kept_on_request(tmp_path):
    bench(read({**TINY, "seeds": 1}), tmp_path, replace(TWO, keep=True))
    rows = open_run(tmp_path)[1]
    folder = RunFolder(tmp_path)
    for row in rows:
        for name in ("truth", "y", "x"):
            there = folder.picture(row, name) is not None  # truth and measurement are shared by the solvers
            assert there == (row["status"] == "ok" or name != "x")
    x = xhat.load_image(folder.picture(rows[0], "truth"))
    assert (x - open_images(rows[0]["data"]).load(rows[0]["image"])).abs().max() < 1 / 254


# --- numbers ------------------------------------------------------------------------------------


def test_student_s_quantiles():
    """Tables of the t distribution."""
    for freedom, t in ((1, 12.7062), (3, 3.18245), (9, 2.26216), (30, 2.04227), (100, 1.98397)):
        assert student(freedom) == pytest.approx(t, abs=2e-5)
    m = interval([1.0, 2.0, 3.0])
    assert (m.value, m.images) == (2.0, 3)
    assert m.half == pytest.approx(4.30265 / 3**0.5, abs=1e-4)
    assert interval([1.0]).half is None


def test_intervals_are_over_images_and_differences_are_paired():
    def row(image, seed, psnr, status="ok"):
        return {"image": image, "seed": seed, "status": status, "metrics": {"psnr": [psnr]}}

    a = [row("x", 0, 20.0), row("x", 1, 22.0), row("y", 0, 30.0), row("z", 0, 5.0)]
    b = [row("x", 0, 22.0), row("y", 0, 31.0), row("z", 0, None, "diverged")]
    gain, wins = paired(a, b, "psnr")
    assert (gain.value, gain.images, wins) == (1.0, 2, 2)
    assert paired(a, [], "psnr") is None
    assert front([(1.0, 10.0), (2.0, 9.0), (2.0, 12.0), (3.0, 12.0)]) == [0, 2]
    assert front([(1.0, 0.5), (2.0, 0.2), (3.0, 0.3)], more=False) == [0, 1]


def test_crps_of_gaussian_samples():
    """CRPS of N(0, 1) at z is z (2 Φ(z) − 1) + 2 φ(z) − 1/√π (Gneiting & Raftery, 2007), fair for any n."""
    g = torch.Generator().manual_seed(0)
    z = torch.randn(200_000, generator=g, dtype=torch.float64)
    normal = torch.distributions.Normal(0.0, 1.0)
    exact = (z * (2 * normal.cdf(z) - 1) + 2 * normal.log_prob(z).exp() - torch.pi**-0.5).mean()
    for n in (2, 3, 8):
        x = torch.randn(n, len(z), generator=g, dtype=torch.float64)
        assert float(crps(x, z)) == pytest.approx(float(exact), abs=0.006)  # 4 standard errors at n = 2


def test_coverage_of_exact_samples_is_the_level_whatever_their_number():
    g = torch.Generator().manual_seed(0)
    truth = torch.randn(200_000, generator=g)
    for n in (2, 3, 8, 20):
        x = torch.randn(n, len(truth), generator=g)
        assert float(coverage(x, truth, 0.5)) == pytest.approx(0.5, abs=0.005)
        assert float(coverage(x, truth, 0.9)) == pytest.approx(0.9, abs=0.005)
    assert float(coverage(0.5 * x, truth, 0.9)) < 0.7  # overconfident
    assert spread(torch.randn(4, 1, 8, 8, generator=g), torch.zeros(1, 8, 8))["diversity"] == pytest.approx(1, abs=0.1)


def test_samples_are_averaged_or_chosen_by_the_measurement_never_by_the_truth(tmp_path):
    bench(read({**TINY, "samples": 4, "seeds": 1, "metrics": ["psnr"]}), tmp_path, TWO)
    m = next(r for r in open_run(tmp_path)[1] if r["solver"].startswith("ddrm") and r["status"] == "ok")["metrics"]
    assert set(m) == {"psnr", "mean_psnr", "chosen_psnr", "crps", "cover50", "cover90", "diversity"}
    assert m["mean_psnr"][0] > sum(m["psnr"]) / 4  # the mean of samples beats a sample


# --- Ray ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ray_gives_the_same_records_though_a_worker_is_killed(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    grid = read({**TINY, "solvers": ["lmaps:steps=150"], "tasks": {"pixels": TINY["tasks"]["pixels"]}})
    bench(grid, tmp_path / "local", Options(batch_size=1, quiet=True))
    torch.set_num_threads(threads)
    killed = []

    def kill(row):
        if not killed:
            killed.append(row["provenance"]["process"])
            os.kill(row["provenance"]["process"], signal.SIGKILL)

    options = Options(batch_size=1, quiet=True, ray="local", threads=1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    bench(grid, tmp_path / "ray", options, watch=kill)
    assert killed[0] != os.getpid()
    assert same(tmp_path / "ray") == same(tmp_path / "local")
    workers = {r["provenance"]["process"] for r in open_run(tmp_path / "ray")[1]}
    assert len(workers) >= 2


# --- tuning -------------------------------------------------------------------------------------

TUNE = ["tune", "--operator", "denoise", "--noise", "gaussian:sigma=0.3", "--data", "fields:size=16,count=3", "-q"]
TUNE += ["--prior", "powerlaw:std=0.3", "--solver", "lmaps:steps=4", "--vary", "k=0.01:100:log"]


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_search_starts_within_the_range_of_each_option(name):
    try:
        ranges = ranges_for(name, [])
    except SpecError as e:
        assert "no number left to vary" in str(e)  # noqa: PT017
        return
    assert all(r.low < r.high for r in ranges)


def tuned(out, *more):
    assert main([*TUNE, "-o", str(out), *more]) == 0
    return json.loads((out / "best.json").read_text())


@pytest.mark.slow
def test_tuning_is_never_worse_than_the_defaults_goes_on_and_is_taken_by_the_others(tmp_path):
    pytest.importorskip("optuna")
    first = tuned(tmp_path / "t", "--trials", "3")
    best = tuned(tmp_path / "t", "--trials", "9")
    assert best["trials"] == 9
    assert best["value"] >= first["value"] >= first["before"] == best["before"]
    spec = spec_in(str(tmp_path / "t" / "best.toml"))
    assert spec == best["solver"]
    assert main(["bench", str(tmp_path / "t" / "best.toml"), "-o", str(tmp_path / "b"), "-q"]) == 0
    psnr = [value(r, "psnr") for r in open_run(tmp_path / "b")[1]]
    assert sum(psnr) / 3 == pytest.approx(best["value"], abs=1e-3)
    np.save(tmp_path / "y.npy", np.zeros((1, 16, 16), np.float32))
    command = [
        "restore",
        str(tmp_path / "y.npy"),
        "--operator",
        "denoise",
        "--noise",
        "gaussian",
        "--prior",
        "powerlaw",
    ]
    assert main([*command, "--solver", str(tmp_path / "t" / "best.toml"), "-o", str(tmp_path / "r"), "-q"]) == 0
    assert json.loads((tmp_path / "r" / "record.json").read_text())["solver"].startswith(spec.partition(",")[0])


@pytest.mark.slow
def test_tuning_without_the_truth_finds_what_the_truth_would(tmp_path):
    """The held-out error finds a k as good as the truth does; the residual is a coarser guide, but leaves both ends."""
    pytest.importorskip("optuna")
    start = "lmaps:steps=4,renoise=full"  # whose k is not the best already
    sure = ("--trials", "8", "--seeds", "2", "--solver", start)

    def psnr(solver):
        cell = Cell("t", "l", "powerlaw:std=0.3", "fields:size=16,count=3", "denoise", "gaussian:sigma=0.3", solver)
        rows = [d.row for d in evaluate(Work(cell, 0, tuple(open_images(cell.data).names())), ["psnr"])]
        return sum(value(r, "psnr") for r in rows) / 3

    best = tuned(tmp_path / "psnr", *sure)
    top, ends = psnr(best["solver"]), [psnr(f"{start},k={k}") for k in (0.01, 100)]
    assert top > max(ends) + 0.5
    held = psnr(tuned(tmp_path / "heldout", *sure, "--objective", "heldout")["solver"])
    assert held > top - 0.2
    assert held > best["before"] + 0.2, "tuning must gain something on where it starts"
    assert psnr(tuned(tmp_path / "residual", *sure, "--objective", "residual")["solver"]) > max(ends)


def test_held_out_error_is_the_error_that_the_truth_tells_up_to_a_constant():
    """E‖y₂ − A x̂‖² − E‖A(x − x̂)‖² = σ² (1 + 1/a²), whatever x̂ was made of y₁."""
    from xhat.bench.heldout import SHARE, split

    x = open_images("fields:size=64,count=1,channels=3").load("field000")[None]
    A = xhat.operators.OPERATORS["denoise"]((3, 64, 64))
    like = xhat.likelihood(
        A, xhat.Gaussian(0.3), x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    )
    given, error = split(like, torch.Generator().manual_seed(2))
    assert given.noise.sigma == pytest.approx(0.3 * (1 + SHARE) ** 0.5)
    for guess in (given.y, 0.3 * given.y, torch.zeros_like(x)):
        told = error(guess) - 0.09 * (1 + 1 / SHARE)
        assert told == pytest.approx(float((guess - x).square().mean()), abs=0.02)  # 4 standard errors


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--vary", "kk=1:2"], "kk"),
        (["--vary", "k=2:1"], "low must be below high"),
        (["--vary", "k=a:b"], "expected option"),
        (["--vary", "steps=2:8"], "fixes it"),
        (["--objective", "nice"], "nice"),
        (["--trials", "0"], "--trials"),
    ],
)
def test_mistakes_in_tuning_are_named(tmp_path, capsys, more, said):
    pytest.importorskip("optuna")
    assert main([*TUNE, "-o", str(tmp_path / "t"), *more]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_named_like_a_suite_does_not_hide_it(tmp_path, monkeypatch):
    """`xhat bench quick -o quick` can be given twice."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick").mkdir()
    assert load("quick").title == load(Path(__file__).parent.parent / "src/xhat/bench/suites/quick.toml").title


def test_generated_skies_are_the_generators():
    images = open_images("generated:what=blackhole,size=16,count=3,seed=5")
    pictures = generate(3, 16, 5)
    for name, picture in zip(images.names(), pictures, strict=True):
        x = images.load(name)
        assert x.shape == (1, 16, 16)
        torch.testing.assert_close((x[0] + 1) * 127.5, torch.from_numpy(picture).float(), rtol=0, atol=1e-4)  # rounding
