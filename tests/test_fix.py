"""`xhat fix` and the files around it: names, formats, colours, widths, and advice that the command understands."""

import logging
import re
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from skimage import data

import xhat
from xhat.cli import fix
from xhat.cli.arguments import main
from xhat.cli.listing import listing
from xhat.errors import DataError, SpecError
from xhat.files.colours import is_colour
from xhat.files.readers.load import load
from xhat.files.targets import sources, targets
from xhat.operators.masks import brush, painted
from xhat.spec import Spec, parse
from xhat.task.look import look

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


@pytest.mark.parametrize("name", ["a.avif", "a", "a.jp2", "-a.png", "film.mp4", "scan.h5#12", "scan.h5#13"])
def test_each_single_file_has_a_result_of_its_own_beside_it(name):
    made = stands_for(f"in/{name}")[3]
    assert (
        made
        == {
            "a.avif": "in/a_fixed.png",
            "a": "in/a_fixed.png",
            "a.jp2": "in/a_fixed.png",
            "-a.png": "in/-a_fixed.png",
            "film.mp4": "in/film_mp4_fixed",
            "scan.h5#12": "in/scan_h5#12_fixed",
            "scan.h5#13": "in/scan_h5#13_fixed",
        }[name]
    )
    assert stands_for("in/*.jpg")[3] == stands_for("a.png", "b.png")[4] == "fixed"


def test_a_picture_whose_name_begins_with_a_dash_is_mended(capsys):
    noisy("-a.png")
    assert main(["fix", "./-a.png", "-q", "--steps", "1"]) == 0
    assert Path("-a_fixed.png").exists()
    with pytest.raises(SystemExit):
        main(["fix", "-a.png"])
    assert "fix: unrecognized arguments: -a.png; a file of this name is ./-a.png; xhat fix" in capsys.readouterr().err
    assert main(["fix", "--steps", "1", "-q", "-o", "b.png", "--", "-a.png"]) == 0


@pytest.mark.parametrize("name", ["out.heic", "out.avif", "out.PDF"])
def test_a_kind_of_picture_that_is_not_written_makes_no_folder(name, capsys):
    noisy("a.png")
    assert main(["fix", "a.png", "-o", name]) == 2
    assert f"-o {name}: pictures are written as .png, " in capsys.readouterr().err
    assert not Path(name).exists()


def test_a_picture_without_an_opaque_pixel_is_called_so(capsys):
    Image.new("RGBA", (32, 32), (9, 90, 200, 128)).save("glass.png")
    assert main(["fix", "glass.png"]) == 2
    assert "glass.png: no pixel is opaque" in capsys.readouterr().err


def test_advice_for_what_is_given_is_left_out(caplog):
    noisy("a.png")
    with caplog.at_level(logging.WARNING, "xhat"):
        assert main(["fix", "a.png", "-q", "--sigma", "0.1", "--steps", "1"]) == 0
    assert "if you know better, give --deblur, --enlarge, --scratches" in caplog.text


def test_noise_that_is_given_is_used_where_no_blur_is_found(capsys):
    Image.fromarray(CAT[:2, :3]).save("tiny.png")
    assert main(["fix", "tiny.png", "--deblur", "--sigma", "0.1", "--steps", "1"]) == 0
    assert "denoise, gaussian:sigma=0.1 " in capsys.readouterr().out


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "0/255", "1e9", "600/255"])
def test_advice_about_sigma_can_be_followed(text, capsys):
    noisy("a.png")
    assert main(["fix", "a.png", f"--sigma={text}"]) == 2
    said = capsys.readouterr().err
    assert f"--sigma {text}: " in said
    for advised in re.findall(r"say (\S+/255)", said):
        assert not advised.startswith(("0/", "-", "nan", "inf", "1e9")), said


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
    assert stands_for("x.png", scratches="green")[5] == "inpaint:fill=lime"
    assert stands_for("x.png", scratches="orange")[5] == "inpaint:fill=orange"


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


def test_what_is_shown_is_the_spec_that_it_stands_for():
    """Options are written without the module that parses them, which imports torch."""
    names = (
        "mask.png",
        "my mask.png",
        "a,b.png",
        "it's.png",
        "1.png",
        "none",
        "1e5",
        "(x).png",
        "./true",
        "=",
        "ü.png",
    )
    for name in names:
        Path(name).touch()
        made = stands_for("x.png", scratches=name)[5]
        assert made == str(Spec("inpaint", {"fill": name}))
        assert parse(made).options == {"fill": name}
    for width in ("1", "1.5", "3.0", "0.30"):
        assert stands_for("x.png", deblur=width)[5] == str(Spec("gaussian_blur", {"std": float(width)}))


def drawn(colour, soft):
    """A picture with a line of a brush, and where the brush was."""
    big, (h, w) = Image.new("L", (4 * CAT.shape[1], 4 * CAT.shape[0])), CAT.shape[:2]
    ImageDraw.Draw(big).line([(20, 30), (150, 100), (230, 40)], fill=255, width=12)
    share = np.asarray(big.resize((w, h), Image.Resampling.BOX)) / 255
    share = share[..., None] if soft else (share[..., None] > 0.5) * 1.0
    return (CAT * (1 - share) + share * np.array(colour)).round().astype(np.uint8), share[..., 0] > 0


@pytest.mark.parametrize("colour", [(255, 0, 0), (237, 28, 36), (255, 59, 48), (229, 20, 20)])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_brush_called_red_is_found_in_the_red_of_any_program(colour, soft, suffix, caplog):
    """All that the brush touched is filled, and of the rest no more than the rim of it."""
    x, touched = drawn(colour, soft)
    Image.fromarray(x).save(f"x{suffix}", quality=92)
    with caplog.at_level(logging.WARNING, "xhat"):
        found = look(load(f"x{suffix}"), "inpaint:fill=red", "noiseless")
    assert "% of the picture to be filled" in caplog.text
    filled = ~painted(found.y, parse(found.guessed["operator"]).options["fill"]).numpy().astype(bool)
    missed = touched & ~filled
    assert missed.sum() <= (0.01 if suffix == ".png" else 0.05) * touched.sum()
    assert filled.mean() < touched.mean() * (1.01 if suffix == ".png" and not soft else 3.2)


def test_texture_beside_a_hard_brush_is_no_paint():
    """Photographs whose colours lie between those around them and the brush's: a mean share of paint of 0.055."""
    x = torch.from_numpy(data.astronaut()[10:138, 130:322].copy()).permute(2, 0, 1).float() / 127.5 - 1
    touched = torch.zeros(128, 192, dtype=torch.bool)
    for i in range(90):
        for top, left in ((30 + i // 4, 50 + i), (20 + i, 60), (25 + i // 2, 150 - i // 3)):
            touched[top : top + 3, left : left + 3] = True
    x[:, touched] = torch.tensor([1.0, -1.0, -1.0])[:, None]
    assert torch.equal(painted(x, "#ff0000"), ~touched)


def test_no_brush_of_that_colour_is_said():
    x = torch.from_numpy(CAT.copy()).permute(2, 0, 1).float() / 127.5 - 1
    with pytest.raises(DataError, match="nothing in the picture is lime"):
        brush(x, "lime")
    with pytest.raises(DataError, match="colour pictures only"):
        brush(x[:1], "red")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\0\0\x20ftypheic" + bytes(90), "it is HEIC"),
        (b"<!DOCTYPE html><title>x</title>", "it is a web page"),
        ("milk, eggs and Käse".encode(), "it is text"),
        (b"", "it is an empty file"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "it is a JPEG that is damaged"),
        (bytes(range(7, 207)), "cannot identify"),
    ],
)
def test_a_file_that_is_no_picture_is_called_by_what_it_is(content, words):
    Path("a.jpg").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as an image") as e:
        xhat.load_image("a.jpg")
    assert words in str(e.value)


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


def test_the_summary_names_options_that_are_not_the_defaults(capsys):
    """The record has them all."""
    noisy("a.png")
    made = ["restore", "a.png", "--operator", "denoise"]
    assert main([*made, "--noise", "noiseless", "--steps", "2", "-o", "exact.png"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "denoise, noiseless; lmaps:steps=2 with photo"
    assert main([*made, "--sigma", "0.05", "-o", "noisy.png"]) == 0
    said = "denoise, gaussian:sigma=0.05 (6.38 of 255 grey levels); lmaps with photo"
    assert capsys.readouterr().out.startswith(said)
