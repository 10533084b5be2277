"""`xhat fix` and the files around it: names, formats, colours, widths, and advice that the command understands."""

import logging
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import xhat
from xhat.cli import fix
from xhat.cli.arguments import main
from xhat.cli.listing import listing
from xhat.errors import DataError, SpecError
from xhat.files.targets import sources, targets
from xhat.operators.masks import is_colour, painted

CAT = data.chelsea()[100:148, 120:184]


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def noisy(name, seed=0):
    x = CAT + np.random.default_rng(seed).normal(0, 12, CAT.shape)
    Image.fromarray(x.clip(0, 255).round().astype(np.uint8)).save(name)


def stands_for(*pictures, **given):
    names = ("out", "scratches", "deblur", "enlarge", "sigma", "crop", "steps", "dtype")
    flags = ("yes", "resume", "overwrite", "record", "quiet")
    empty = dict.fromkeys(names) | dict.fromkeys(flags, False)
    return fix.command(Namespace(pictures=list(pictures), **empty | given))


@pytest.mark.parametrize(
    ("name", "made"), [("a.tif", "a_fixed.tif"), ("a.TIFF", "a_fixed.tiff"), ("a.jpg", "a_fixed.png")]
)
def test_a_tiff_stays_one(name, made):
    Image.fromarray(CAT).save("a" + Path(name).suffix)
    assert stands_for(name)[3] == made
    Path("in").mkdir()
    Image.fromarray(CAT).save(f"in/{name}")
    assert [t.out.suffix for t in targets(sources(["in"]), "out")] == [Path(made).suffix]


def test_pictures_that_differ_in_their_suffix_alone_have_results_of_their_own(caplog):
    Path("in").mkdir()
    for name in ("thumb.jpg", "thumb.png", "other.png"):
        Image.fromarray(CAT).save(f"in/{name}")
    with caplog.at_level(logging.WARNING, "xhat"):
        made = [t.out.name for t in targets(sources(["in"]), "out")]
    assert sorted(made) == ["other.png", "thumb.jpg.png", "thumb.png.png"]
    assert "another picture has its name" in caplog.text
    with pytest.raises(DataError, match="would both become"):  # a pattern is obeyed as it is
        targets(sources(["in"]), "{stem}.png")
    assert stands_for("in/thumb.jpg")[3] == "in/thumb_fixed.png"
    Path("in/thumb_fixed.png").touch()
    assert stands_for("in/thumb.png")[3] == "in/thumb_png_fixed.png"
    Path("in/other_fixed.png").touch()
    assert stands_for("in/other.png")[3] == "in/other_fixed.png", "no other picture has this name: it is refused later"


def test_a_colour_by_its_name_and_a_file_of_that_name_first():
    assert is_colour("red")
    assert is_colour("RebeccaPurple")
    assert not is_colour("box")
    Path("red").touch()
    assert not is_colour("red")
    x = torch.zeros(3, 16, 16)
    x[:, 4:8, 4:8] = torch.tensor([1.0, -1.0, -1.0])[:, None, None]
    assert torch.equal(painted(x, "red"), painted(x, "#ff0000"))
    assert stands_for("x.png", scratches="green")[5] == "inpaint:fill=#00ff00"
    assert stands_for("x.png", scratches="orange")[5] == "inpaint:fill=#ffa500"


@pytest.mark.parametrize("width", ["500", "0", "-1", "nan", "0.1"])
def test_a_width_that_no_blur_has_is_refused(width):
    with pytest.raises(SpecError, match=r"between 0\.3 and 15 pixels"):
        stands_for("x.png", deblur=width)


def test_an_unknown_width_is_found_out():
    assert stands_for("x.png", deblur="auto")[5] == "blind_blur"
    with pytest.raises(SpecError, match="needs a width"):
        stands_for("x.png", deblur="auto", enlarge=2)
    with pytest.raises(SpecError, match=r"xhat fix x\.jpg --deblur"):  # the picture went to the option
        stands_for(deblur="x.jpg")
    with pytest.raises(SpecError, match="give a picture"):
        stands_for()


def test_advice_names_options_that_the_command_has(capsys, caplog):
    Image.new("RGB", (32, 32), "teal").save("flat.png")
    for command, own, other in (("fix", "--enlarge", "--operator"), ("restore", "--operator", "--enlarge")):
        assert main([command, "flat.png", "-o", "x.png"]) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert own in said
        assert other not in said
    noisy("a.png")
    with caplog.at_level(logging.WARNING, "xhat"):
        assert main(["fix", "a.png", "-q"]) == 0
    assert "if you know better, give --sigma or --deblur" in caplog.text


def test_a_second_run_over_a_folder_makes_its_results_anew(capsys):
    Path("in").mkdir()
    noisy("in/a.png")
    noisy("in/b.png", 1)
    assert main(["fix", "in"]) == 0
    assert main(["fix", "in"]) == 0
    assert main(["fix", "in", "--resume"]) == 0
    assert "0 of 2 restored" in capsys.readouterr().out


def test_an_empty_folder_is_called_one(capsys):
    Path("in").mkdir()
    assert main(["fix", "in"]) == 2
    assert "in: the folder is empty" in capsys.readouterr().err
    Path("in/notes.txt").touch()
    assert main(["fix", "in"]) == 2
    assert "in: holds no picture" in capsys.readouterr().err


def test_pixels_come_back_as_pixels():
    r = xhat.restore(CAT, "denoise", 0.1, solver="pinv", prior="none")
    assert r.to_numpy(dtype=np.uint8).dtype == np.uint8
    assert np.array_equal(r.to_numpy(dtype="uint8"), CAT)
    assert np.array_equal(r.to_numpy(dtype="uint16"), CAT.astype(np.uint16) * 257)
    with pytest.raises(SpecError, match="float32, uint8 or uint16"):
        r.to_numpy(dtype="int8")


def test_solvers_can_be_chosen_by_the_operator():
    text = listing("solvers", of="jpeg")
    assert "lmaps" in text
    assert "ddrm" not in text
    assert "ddrm" in listing("solvers", of="super_resolution:kind=average")
    with pytest.raises(SpecError, match="among the solvers"):
        listing("priors", of="jpeg")
