"""Masks in every form that people save them in mean the same pixels."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

import xhat
from xhat.errors import DataError, ShapeError, SpecError
from xhat.files.readers.load import load, load_reference
from xhat.likelihoods import likelihood
from xhat.noise import Gaussian, Noiseless
from xhat.operators import OPERATORS
from xhat.operators.denoise import Denoise
from xhat.operators.film import Scratches
from xhat.operators.inpaint import Inpaint
from xhat.operators.masks import painted
from xhat.spec import build
from xhat.task.as_seen import as_seen
from xhat.task.look import look

SIZE = (40, 60)
HOLE = np.zeros(SIZE, bool)
HOLE[10:22, 20:44] = True
SHAPE = (3, *SIZE)


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def layer(white, alpha):
    return Image.fromarray(np.stack([np.uint8(white) * np.ones(SIZE, np.uint8)] * 3 + [alpha.astype(np.uint8)], -1))


def turned():
    """Stored on its side, upright by EXIF only."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(HOLE * np.uint8(255))).save("m.png", exif=exif)


HOLE8 = HOLE * np.uint8(255)
FORMS = {
    "white": lambda: Image.fromarray(HOLE8).save("m.png"),
    "turned": turned,
    "16 bit": lambda: Image.fromarray(HOLE.astype(np.uint16) * 65535).save("m.png"),
    "palette": lambda: Image.fromarray(HOLE8).convert("RGB").convert("P").save("m.png"),
    "painted on glass": lambda: layer(255, HOLE8).save("m.png"),
    "black on glass": lambda: layer(0, HOLE8).save("m.png"),
    "bits": lambda: Image.fromarray(HOLE8).convert("1").save("m.png"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_mask(form):
    FORMS[form]()
    assert (Inpaint(SHAPE, fill="m.png").s[0, 0] == torch.from_numpy(~HOLE)).all()


def test_arrays_are_masks():
    np.save("m.npy", HOLE)
    np.savez("m.npz", mask=HOLE8)
    for name in ("m.npy", "m.npz"):
        assert (Inpaint(SHAPE, fill=name).s[0, 0] == torch.from_numpy(~HOLE)).all()
        assert (Inpaint(SHAPE, known=name).s[0, 0] == torch.from_numpy(HOLE)).all()
        assert (Inpaint(SHAPE, mask=name).s[0, 0] == torch.from_numpy(HOLE)).all()


@pytest.mark.parametrize(
    "made",
    [
        lambda: HOLE,
        lambda: torch.from_numpy(HOLE8),
        lambda: HOLE8.astype(np.float64)[None],
        lambda: Image.fromarray(HOLE8),
        lambda: Image.fromarray(HOLE8).convert("1"),
        lambda: layer(0, HOLE8),
    ],
    ids=["booleans", "tensor", "floats", "Pillow", "bits", "on glass"],
)
def test_masks_of_a_program_need_no_file(made):
    assert (Inpaint(SHAPE, fill=made()).s[0, 0] == torch.from_numpy(~HOLE)).all()
    assert (Inpaint(SHAPE, known=made()).s[0, 0] == torch.from_numpy(HOLE)).all()
    assert (Inpaint(SHAPE, mask=made()).s[0, 0] == torch.from_numpy(HOLE)).all()
    faint = np.maximum(HOLE8, 20)  # a twelfth of white: no brush has touched the rest, whatever white is called
    assert (Inpaint(SHAPE, fill=faint).s[0, 0] == torch.from_numpy(~HOLE)).all()
    with pytest.raises(ShapeError, match="the mask has 3x3 pixels"):
        Inpaint(SHAPE, fill=np.eye(3))
    with pytest.raises(DataError, match="the mask: a mask has shape"):
        Inpaint(SHAPE, fill=np.ones((2, *SHAPE)))


@pytest.mark.parametrize("how", ["soft", "jpeg", "resized"])
def test_a_mask_that_is_not_black_and_white_leaves_no_touched_pixel(how):
    picture = Image.fromarray(HOLE8)
    if how == "soft":
        picture.filter(ImageFilter.GaussianBlur(1)).save("m.png")
    elif how == "jpeg":
        picture.save("m.jpg", quality=60)
    else:
        picture.resize((150, 100), Image.Resampling.BILINEAR).save("m.png")
    known = Inpaint(SHAPE, fill="m.jpg" if how == "jpeg" else "m.png").s[0, 0].numpy() > 0
    assert not known[HOLE].any()
    near = np.array(Image.fromarray(HOLE8).filter(ImageFilter.MaxFilter(7))) > 0
    assert known[~near].all()  # what lies 3 pixels away is not lost


def test_masks_that_cannot_be_meant(caplog):
    Image.fromarray(255 - HOLE8).save("inverted.png")
    with caplog.at_level(logging.WARNING, "xhat"):
        Inpaint(SHAPE, fill="inverted.png")
    assert "drops 88 % of the picture; if it is meant the other way, say known=" in caplog.text
    caplog.clear()
    Inpaint(SHAPE, known="inverted.png")
    assert caplog.text == ""
    Image.fromarray(HOLE8[:, :30]).save("half.png")
    with pytest.raises(ShapeError, match="not the same form"):
        Inpaint(SHAPE, fill="half.png")
    Image.new("L", SIZE[::-1]).save("black.png")
    with pytest.raises(DataError, match="drops nothing"):
        Inpaint(SHAPE, fill="black.png")
    with pytest.raises(DataError, match="is empty"):
        Inpaint(SHAPE, known="black.png")
    with pytest.raises(SpecError, match="#rrggbb"):
        Inpaint(SHAPE, fill="#f00")


def test_a_colour_painted_into_the_picture():
    x = np.full((*SIZE, 3), (90, 120, 60), np.uint8)
    x[HOLE] = 255, 0, 0
    Image.fromarray(x).save("x.jpg", quality=85)
    found = look(load("x.jpg"), "inpaint:fill=#ff0000", "noiseless")
    r = xhat.restore("x.jpg", "inpaint:fill=#ff0000", "noiseless", solver="pinv")
    known = r.problem.A.s[0, 0].numpy() > 0
    assert not known[HOLE].any()
    assert known.mean() > 0.75
    assert "picture" in found.physics
    with pytest.raises(DataError, match="nothing in the picture has the colour #0000ff"):
        xhat.restore("x.jpg", "inpaint:fill=#0000ff", "noiseless", solver="pinv")


def test_a_transparent_picture_is_its_own_mask():
    layer(120, 255 - HOLE8).save("x.png")
    found = load("x.png")
    assert look(found, noise="noiseless").operator == "inpaint"
    r = xhat.restore("x.png", noise="noiseless", solver="pinv")
    assert (r.problem.A.s[0, 0] == torch.from_numpy(~HOLE)).all()
    # Another operator fills nothing: the colours are data everywhere, and the transparency is kept.
    whole = xhat.restore("x.png", "denoise", "noiseless", solver="pinv")
    assert torch.equal(whole.first, load("x.png").y[:1])
    assert (whole.kept.alpha == torch.from_numpy(~HOLE)).all()
    with pytest.raises(DataError, match="transparent"):
        load_reference("x.png")


def test_a_picture_is_not_thinned_at_random():
    Image.fromarray(HOLE8).convert("RGB").save("x.png")
    with pytest.raises(SpecError, match=r"say which are lost: inpaint:fill=mask\.png"):
        look(load("x.png"), "inpaint", "noiseless")
    assert look(load("x.png"), "inpaint:keep=0.5", "noiseless").operator is None


def test_the_side_of_a_box_asks_for_a_box():
    """`inpaint:box=5` dropped random pixels, and said nothing of the box."""
    mask = build("inpaint:box=5", OPERATORS, (3, 16, 16)).s[0, 0] == 0
    rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    assert (len(rows), len(columns), int(mask.sum())) == (5, 5, 25)
    assert (rows.diff() == 1).all()
    assert (columns.diff() == 1).all()


def test_a_hard_brush_drops_what_it_painted_and_no_more():
    """Known neighbours are what a hole is filled from; a rim that is mixed with the brush must still go."""
    x = torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(0)) * 0.4 - 0.5
    red = torch.tensor([1.0, -1.0, -1.0])[:, None, None]
    brush = torch.zeros(48, 48)
    brush[20:23, 6:42] = 1
    assert torch.equal(painted(x * (1 - brush) + red * brush, "#ff0000"), brush == 0)
    for edge in (0.3, 0.5, 0.7, 0.9):  # of paint in the pixels on one side, as of a line between two rows
        soft = brush.clone()
        soft[23, 6:42] = edge
        known = painted(x * (1 - soft) + red * soft, "#ff0000")
        assert not known[soft > 0].any()


def test_a_hard_brush_over_something_of_nearly_its_colour_hides_only_what_it_painted():
    """Red paint over a red nose, with texture: neither the nose nor the rim of the brush is filled."""
    place = torch.stack(torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij"))
    texture = 0.1 * torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0))
    nose = (place - 32).norm(dim=0) < 16
    red, skin = torch.tensor([1.0, -1.0, -1.0])[:, None, None], torch.tensor([0.2, 0.0, -0.2])[:, None, None]
    picture = (torch.where(nose, 0.95 * red, skin) + texture).clamp(-1, 0.99)
    brush = (place[0] - place[1]).abs() < 2
    known = painted(torch.where(brush, red, picture), "#ff0000")
    assert torch.equal(known, ~brush)


@pytest.mark.parametrize("solver", ["lmaps:steps=3", "dps:steps=3", "tv"])
def test_pixels_seen_without_noise_are_given_back_as_they_were(solver, tmp_path, monkeypatch):
    """A solver may count the rounding of a file as noise, and move what was seen by a part of a grey level."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    hole = np.zeros((32, 32), np.uint8)
    hole[10:14, 5:20] = 255
    Image.fromarray(x).save("x.png")
    Image.fromarray(hole).save("hole.png")
    r = xhat.restore("x.png", "inpaint:fill=hole.png", "noiseless", solver=solver)
    seen = torch.from_numpy(hole == 0)
    assert torch.equal(r.first[:, seen], load("x.png").y[:, seen])
    assert not torch.equal(r.first[:, ~seen], load("x.png").y[:, ~seen])
    assert float(r.residual) == 0
    noisy = xhat.restore("x.png", "inpaint:fill=hole.png", 0.1, solver=solver)
    assert not torch.equal(noisy.first[:, seen], load("x.png").y[:, seen]), "noise is removed everywhere"


@pytest.mark.parametrize("A", [Inpaint((3, 8, 8), keep=0.5), Scratches((3, 4, 32, 32), count=2)])
def test_only_what_a_mask_shows_and_only_without_noise_is_put_back(A):
    truth, x = torch.rand(1, *A.shape), torch.rand(2, *A.shape)
    y = A(truth)
    found = as_seen(x, likelihood(A, Noiseless(), y))
    shown = (A.s > 0).expand_as(x)
    assert shown.any()
    assert not shown.all()
    assert torch.equal(found[shown], truth.expand_as(x)[shown])
    assert torch.equal(found[~shown], x[~shown])
    assert torch.equal(as_seen(x, likelihood(A, Gaussian(0.01), y)), x)
    assert torch.equal(as_seen(x, likelihood(Denoise(A.shape), Noiseless(), y)), x)
