"""A part of a picture is restored as if the picture were no larger; what belongs to it is cut in the same way."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import xhat
from xhat.cli.arguments import main
from xhat.errors import DataError, SpecError
from xhat.files.cut import Cut, Window
from xhat.files.pictures import layers
from xhat.files.readers.load import load
from xhat.operators.building import build_operator
from xhat.task.cutting import cut_out

FAST = ["--sigma", "0.1", "--solver", "tv:steps=2", "-q"]


@pytest.fixture(autouse=True)
def _pictures(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).save("x.png")
    mask = np.zeros((60, 80), np.uint8)
    mask[10:20, 30:50] = 255
    Image.fromarray(mask).save("mask.png")


@pytest.mark.parametrize(
    ("cut", "window"),
    [
        (Cut("20x10"), (25, 30, 10, 20)),
        (Cut("20x10+3+5"), (5, 3, 10, 20)),
        (Cut(size=7), (0, 10, 60, 60)),
        (Cut("40x20+0+0", 8), (0, 10, 20, 20)),
    ],
)
def test_where_a_part_lies(cut, window):
    assert cut.window(60, 80, "x") == Window(*window, (60, 80))
    x = load("x.png").y
    part = cut(x, "x")
    assert part.shape[1:] == ((cut.size, cut.size) if cut.size else window[2:])
    if not cut.size:
        top, left, h, w = window
        assert (part == x[:, top : top + h, left : left + w]).all()


def test_what_is_no_part_is_refused():
    for bad in ("20", "20x", "-3x4", "3x4+1"):
        with pytest.raises(SpecError, match="--crop"):
            Cut(bad)
    for bad in ("81x10", "10x10+75+0", "0x5"):
        with pytest.raises(DataError, match="does not fit"):
            Cut(bad)(load("x.png").y, "x.png")
    with pytest.raises(DataError, match="only pictures"):
        cut_out(xhat.simulate("x.png", "denoise", "noiseless"), Cut("8x8"))
    assert not Cut()


def test_the_same_as_a_picture_that_was_cut_before():
    with Image.open("x.png") as picture:
        picture.crop((8, 4, 40, 28)).save("part.png")
    assert main(["restore", "x.png", "--operator", "denoise", *FAST, "--crop", "32x24+8+4", "-o", "a"]) == 0
    assert main(["restore", "part.png", "--operator", "denoise", *FAST, "-o", "b"]) == 0
    assert (xhat.load_image("a/restored.png") == xhat.load_image("b/restored.png")).all()
    assert json.loads(Path("a/record.json").read_text())["provenance"]["cut"] == {"crop": "32x24+8+4"}


def test_mask_reference_and_transparency_go_with_it():
    cut = Cut("40x30+20+5")
    x = load("x.png").y
    r = xhat.restore("x.png", "inpaint:fill=mask.png", "noiseless", solver="pinv", cut=cut, reference="x.png")
    known = torch.ones(60, 80)
    known[10:20, 30:50] = 0
    assert (r.problem.A.s[0, 0] == known[5:35, 20:60]).all()
    assert (r.reference == x[:, 5:35, 20:60]).all()
    large = torch.rand(3, 120, 160, generator=torch.Generator().manual_seed(0)) * 2 - 1
    r = xhat.restore("x.png", noise="gaussian:sigma=0.1", solver="tv:steps=2", cut=cut, scale=2, reference=large)
    assert (r.reference == large[:, 10:70, 40:120]).all()
    r = xhat.restore(
        "x.png", "denoise", "gaussian:sigma=0.1", solver="tv:steps=2", cut=cut, reference=x[:, 5:35, 20:60]
    )
    assert (r.reference == x[:, 5:35, 20:60]).all()  # it was cut already
    clear = np.full((60, 80, 4), 200, np.uint8)
    clear[..., 3] = 255
    clear[:30, :, 3] = 0
    Image.fromarray(clear).save("clear.png")
    r = xhat.restore("clear.png", "denoise", "gaussian:sigma=0.1", solver="tv:steps=2", cut=Cut("20x20+0+20"))
    r.save("out.png")
    assert (layers("out.png")[1] == torch.cat([torch.zeros(10, 20), torch.ones(10, 20)])).all()


def test_a_jpeg_is_cut_between_its_blocks_and_is_none_once_it_is_resized(caplog):
    with Image.open("x.png") as picture:
        picture.save("x.jpg", quality=20)
    with caplog.at_level(logging.WARNING, "xhat"):
        found = cut_out(load("x.jpg"), Cut("50x30+10+10"))
    assert found.window == Window(16, 16, 16, 32, (60, 80))
    assert "32x16+16+16" in caplog.text
    assert cut_out(load("x.jpg"), Cut("64x44+16+16")).window == Window(16, 16, 44, 64, (60, 80))  # up to the border
    with pytest.raises(DataError, match="no whole block"):
        cut_out(load("x.jpg"), Cut("10x10+3+3"))
    # The blocks of the part are those of the file: luma, whose transform is exact, is where the tables say it is.
    with Image.open("x.png") as picture:
        picture.convert("L").save("grey.jpg", quality=20)
    y = cut_out(load("grey.jpg"), Cut("48x32+16+16")).y
    A = build_operator("jpeg:tables=grey.jpg", (1, 32, 48))
    assert (A(y[None])[0] - y).abs().mean() < 0.01  # of clipping alone; 0.1 when cut elsewhere
    elsewhere = load("grey.jpg").y[:, 19:51, 13:61]
    assert (A(elsewhere[None])[0] - elsewhere).abs().mean() > 0.05
    small = xhat.restore("x.jpg", solver="tv:steps=2", cut=Cut(size=32))
    assert small.record["operator"] == "denoise"


def test_simulate_cuts_too():
    assert (
        main(["simulate", "x.png", "--operator", "denoise", "--noise", "noiseless", "--crop", "8x6", "-o", "y.npz"])
        == 0
    )
    assert np.load("y.npz")["y"].shape == (3, 6, 8)


def size(path):
    """Columns and rows of a picture."""
    with Image.open(path) as picture:
        return picture.size


def shown(capsys, *arguments):
    """The `xhat restore` command that `xhat fix` shows, and its exit code."""
    code = main(["fix", *arguments, "--steps", "1"])
    said = capsys.readouterr().err
    return next((line for line in said.splitlines() if line.startswith("xhat: xhat restore")), said), code


@pytest.mark.slow
def test_fix_shows_the_command_that_it_runs(capsys):
    line, code = shown(capsys, "x.png", "--sigma", "25/255", "--crop", "16x16")
    assert (line, code) == ("xhat: xhat restore x.png -o x_fixed.png --sigma 25/255 --crop 16x16 --steps 1", 0)
    assert size("x_fixed.png") == (16, 16)
    line, code = shown(capsys, "x.png", "--crop", "16x16")
    assert (code, "nothing says that xhat wrote it" in line) == (2, False)  # the command comes first
    cut = ["--sigma", "0.1", "--crop", "24x24+25+5", "-o", "a.png"]
    line, code = shown(capsys, "x.png", "--scratches", "mask.png", *cut)
    assert "--operator inpaint:fill=mask.png" in line
    assert code == 0
    line, code = shown(capsys, "x.png", "--deblur", "1.5", "--sigma", "0.1", "--crop", "24x24", "-o", "b.png")
    assert "--operator gaussian_blur:std=1.5" in line
    assert code == 0
    line, code = shown(capsys, "x.png", "--enlarge", "2", "--sigma", "0.1", "--crop", "16x16", "-o", "c.png")
    assert "--scale 2" in line
    assert size("c.png") == (32, 32)
    both = ["--scratches", "mask.png", "--enlarge", "2", "--sigma", "0.1", "--crop", "16x16+28+8", "-o", "d.png"]
    line, code = shown(capsys, "x.png", *both)
    assert "--operator 'inpaint:fill=mask.png @ super_resolution:factor=2'" in line
    assert (code, size("d.png")) == (0, (32, 32))
    for bad in (["--scratches", "none.png"], ["--deblur", "much"]):
        line, code = shown(capsys, "x.png", *bad)
        assert code == 2
        assert line.startswith(f"xhat: {bad[0]}")


def test_fix_finds_what_was_painted():
    with Image.open("x.png") as picture:
        picture.paste((255, 0, 0), (30, 10, 50, 20))
        picture.save("red.png")
    code = main(["fix", "red.png", "--scratches", "red", "--sigma", "0.1", "--steps", "1", "-q", "--record"])
    assert code == 0
    assert json.loads(Path("red_fixed.record.json").read_text())["operator"] == "inpaint:fill=#ff0000"
