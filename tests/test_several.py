"""Several measurements in one command, and a result that is one picture: named, resumed, never over a user's file."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import xhat
from xhat.cli.arguments import main
from xhat.errors import DataError, SpecError
from xhat.files.folder import sha256
from xhat.files.targets import fixed_part, sources, targets
from xhat.priors import PRIORS
from xhat.task.lists import several

built = []


class Toy(xhat.Prior):
    """A colour prior that costs nothing and counts how often it is built."""

    def __init__(self):
        super().__init__()
        self.schedule = xhat.EDM()
        built.append(self)

    def forward(self, x, t):
        return x / t.alpha * (0.25 / (0.25 + t.ratio**2))


RUN = ["--operator", "denoise", "--sigma", "0.1", "--prior", "toy", "--solver", "diffpir:steps=2"]


@pytest.fixture(autouse=True)
def _pictures(monkeypatch, tmp_path):
    monkeypatch.setitem(PRIORS.own, "toy", Toy)
    monkeypatch.chdir(tmp_path)
    built.clear()
    rng = np.random.default_rng(0)
    os.makedirs("in/sub")
    for name in ("in/a.png", "in/b.jpg", "in/sub/a.tif", "in/.hidden.png"):
        Image.fromarray(rng.integers(0, 256, (24, 17, 3), np.uint8)).save(name)
    Path("in/notes.txt").write_text("not a picture")


def tree(folder):
    return {str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file()}


def kind(path):
    """The format and the size of a picture."""
    with Image.open(path) as picture:
        return picture.format, picture.size


def rows():
    return [json.loads(line) for line in Path("out/summary.jsonl").read_text().splitlines()]


MADE = {"a.png", "b.png", "sub/a.tif", "summary.jsonl", "contact.png"}


def test_a_folder_becomes_a_folder_with_one_prior_and_one_summary(capsys):
    assert main(["restore", "in", *RUN, "-o", "out"]) == 0
    assert tree("out") == MADE
    assert len(built) == 1
    assert [r["output"] for r in rows()] == ["a.png", "b.png", "sub/a.tif", "contact.png"]
    out = capsys.readouterr().out
    assert out.count("denoise, 12.8 of 255 grey levels") == 3
    assert "3 of 3 restored" in out
    # The same numbers as by itself, with the same record but for where and when it was made.
    assert main(["restore", "in/a.png", *RUN, "-o", "alone", "-q"]) == 0
    assert (xhat.load_image("alone/restored.png") == xhat.load_image("out/a.png")).all()
    alone, one = json.loads(Path("alone/record.json").read_text()), rows()[0]
    own = ("prior", "solver", "operator", "noise", "seeds", "residual", "prior_sha256", "measurement_sha256")
    assert {k: alone[k] for k in own} == {k: one[k] for k in own}


def test_what_fails_is_told_at_the_end_and_stops_nothing(capsys, monkeypatch):
    Path("in/a0.png").write_bytes(b"xx")
    assert main(["restore", "in", *RUN, "-o", "out"]) == 1
    assert tree("out") == MADE
    said = capsys.readouterr()
    assert "3 of 4 restored" in said.out
    assert "1 of 4 failed:\n  a0.png: in/a0.png: cannot be read" in said.err
    # A fault of the program stops nothing either, and its traceback is shown.
    load = xhat.task.intake.load
    monkeypatch.setattr(xhat.task.intake, "load", lambda y: 1 / 0 if "b.jpg" in str(y) else load(y))
    assert main(["restore", "in", *RUN, "-o", "other", "-q"]) == 1
    assert tree("other") == MADE - {"b.png"}
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_what_is_done_is_skipped(capsys, monkeypatch):
    assert main(["restore", "in", *RUN, "-o", "out", "-q"]) == 0
    Image.new("RGB", (9, 9)).save("in/b.jpg")  # another picture by now
    Path("out/sub/a.tif").unlink()
    made, restore = [], xhat.cli.several.restore
    monkeypatch.setattr(xhat.cli.several, "restore", lambda y, **k: made.append(y) or restore(y, **k))
    assert main(["restore", "in", *RUN, "-o", "out", "--resume"]) == 0
    assert made == ["in/b.jpg", "in/sub/a.tif"]
    assert "2 of 3 restored" in capsys.readouterr().out
    assert main(["restore", "in", *RUN, "-o", "out", "--resume", "--seed", "1"]) == 2
    assert "seed was 0, is 1" in capsys.readouterr().err
    assert main(["restore", "in", *RUN, "-o", "out", "--seed", "1", "-q"]) == 0  # made anew


def test_ctrl_c_goes_on_in_the_middle_of_a_picture(capsys, monkeypatch):
    forward, calls = Toy.forward, []

    def press(self, x, t):
        calls.append(t)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return forward(self, x, t)

    assert main(["restore", "in", *RUN, "-o", "whole", "-q"]) == 0
    monkeypatch.setattr(Toy, "forward", press)
    assert main(["restore", "in", *RUN, "-o", "out", "-q"]) == 130
    assert "--resume" in capsys.readouterr().err
    assert tree("out") == {"a.png", "b.png.checkpoint.pt", "summary.jsonl"}
    assert main(["restore", "in", *RUN, "-o", "out", "-q"]) == 2  # an interrupted run is not lost by mistake
    assert "holds an interrupted run" in capsys.readouterr().err
    assert main(["restore", "in", *RUN, "-o", "out", "-q", "--resume"]) == 0
    assert tree("out") == MADE
    for name in ("a.png", "b.png", "sub/a.tif"):
        assert sha256(Path("out", name)) == sha256(Path("whole", name))


def test_patterns_and_globs():
    assert main(["restore", "in/*.png", "in/b.jpg", *RUN, "-o", "{folder}/{stem}_new.webp", "-q"]) == 0
    new = {"in/a_new.webp", "in/b_new.webp", "contact.png", "summary.jsonl"}
    assert new <= tree(".")
    assert kind("in/a_new.webp") == ("WEBP", (17, 24))
    # What xhat wrote is not taken for a picture to restore when the same is asked for again.
    assert main(["restore", "in", *RUN, "-o", "{folder}/{stem}_new.webp", "-q"]) == 0
    assert not any("new_new" in name for name in tree("."))
    assert fixed_part("out/x_{stem}.png") == Path("out")
    assert fixed_part("out/{stem}/") == Path("out")
    with pytest.raises(DataError, match="no file fits"):
        sources(["nothing*.png"])
    with pytest.raises(SpecError, match="may name"):
        targets(sources(["in"]), "{file}.png")
    Image.new("RGB", (9, 9)).save("in/sub/a.png")
    with pytest.raises(DataError, match="would both become"):
        targets(sources(["in/a.png", "in/sub/a.png"]), "out")
    with pytest.raises(DataError, match="which is read"):
        targets(sources(["in/a.png"]), "{folder}/{name}")


def test_a_folder_for_each_and_references(capsys):
    assert main(["restore", "in", *RUN, "-o", "out/{name}-x", "-q", "--samples", "2"]) == 0
    assert {"out/a.png-x/restored.png", "out/b.jpg-x/std.png"} <= tree(".")
    assert main(["restore", "in", *RUN, "-o", "out2", "--reference", "in"]) == 0
    assert capsys.readouterr().out.count("psnr") == 3
    assert main(["restore", "in", *RUN, "-o", "out3", "--reference", "in/a.png"]) == 2
    assert "give a folder with the same names" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.tif", "x.webp"])
def test_one_picture_is_one_picture(name):
    before = tree(".")
    assert main(["restore", "in/a.png", *RUN, "-o", name, "-q"]) == 0
    assert tree(".") == before | {name}
    formats = {"x.png": "PNG", "x.jpg": "JPEG", "x.tif": "TIFF", "x.webp": "WEBP"}
    assert kind(name) == (formats[name], (17, 24))


def test_of_several_samples_the_picture_is_the_mean():
    assert main(["restore", "in/a.png", *RUN, "-o", "x.png", "-q", "--samples", "3", "--depth", "16"]) == 0
    assert main(["restore", "in/a.png", *RUN, "-o", "x", "-q", "--samples", "3", "--depth", "16"]) == 0
    assert (xhat.load_image("x.png") == xhat.load_image("x/mean.png")).all()


def test_a_picture_of_the_user_is_never_replaced(capsys):
    Image.new("RGB", (5, 5)).save("mine.png")
    was = sha256(Path("mine.png"))
    assert main(["restore", "in/a.png", *RUN, "-o", "mine.png", "-q"]) == 2
    assert "nothing says that xhat wrote it" in capsys.readouterr().err
    assert main(["restore", "in/a.png", *RUN, "-o", "in/a.png", "-q"]) == 2
    assert "its own input" in capsys.readouterr().err
    assert main(["restore", "in/a.png", *RUN, "-o", "new.png", "-q", "--record"]) == 0
    record = json.loads(Path("new.record.json").read_text())
    assert record["files_sha256"] == {"new.png": sha256(Path("new.png"))}
    assert main(["restore", "in/a.png", *RUN, "-o", "new.png", "-q", "--seed", "5"]) == 0  # known to be of xhat
    assert json.loads(Path("new.record.json").read_text())["seeds"] == [5]  # not left as a wrong record
    os.makedirs("out/sub")
    for name in ("out/b.png", "out/contact.png"):
        os.link("mine.png", name)
    assert main(["restore", "in", *RUN, "-o", "out", "-q"]) == 2
    assert tree("out") == {"b.png", "contact.png"}
    Path("out/b.png").unlink()
    assert main(["restore", "in", *RUN, "-o", "out"]) == 0
    assert "no contact sheet" in capsys.readouterr().out
    assert {sha256(Path(name)) for name in ("mine.png", "out/contact.png")} == {was}
    Path("foreign").mkdir()
    Path("foreign/summary.jsonl").write_text("my own notes\n")
    assert main(["restore", "in", *RUN, "-o", "foreign", "-q"]) == 2
    assert Path("foreign/summary.jsonl").read_text() == "my own notes\n"
    assert main(["restore", "in", *RUN, "-o", "one.png", "-q"]) == 2
    assert "is one picture" in capsys.readouterr().err


@pytest.mark.parametrize("given", [torch.Tensor, {}, {"y": 1}])
def test_a_class_or_a_table_is_no_list_of_measurements(given):
    assert several(given) is None
