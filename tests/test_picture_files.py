"""What a picture's file says beside its colours is in the restored one, too: profile, EXIF, bits, grey, alpha."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import xhat
from xhat.errors import DataError
from xhat.files.encode import Extras, encoded
from xhat.files.kept import Kept, kept_of
from xhat.files.pictures import layers, to_pixels

MADE = {0x9003: "2001:02:03 04:05:06", 0xA002: 40}  # taken at, pixels across
PLACE = {1: "N", 2: (48.0, 30.0, 1.5)}
RGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FAST = {"operator": "denoise", "noise": "gaussian:sigma=0.05", "solver": "tv:steps=2"}


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def noise(*shape, white=255):
    kind = np.uint8 if white == 255 else np.uint16
    return np.random.default_rng(0).integers(0, white + 1, shape, kind)


def photograph(name="photo.jpg", orientation=6):
    """A picture of 40 x 30 pixels that was taken with the camera turned, and says a lot."""
    exif = Image.Exif()
    exif[271], exif[274], exif[0x8769], exif[0x8825] = "Maker", orientation, MADE, PLACE
    Image.fromarray(noise(30, 40, 3)).save(name, exif=exif, icc_profile=RGB, dpi=(300, 300))


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.tif", "x.webp", "folder"])
@pytest.mark.parametrize("depth", [None, 16])
def test_profile_and_exif_are_kept_and_the_orientation_is_applied_once(name, depth):
    photograph()
    result = xhat.restore("photo.jpg", **FAST)
    if depth == 16 and name in ("x.jpg", "x.webp"):
        with pytest.raises(DataError, match="8 bits"):
            result.save(name, depth)
        return
    result.save(name, depth)
    file = f"{name}/restored.png" if name == "folder" else name
    with Image.open(file) as picture:
        assert picture.size == (30, 40)
        assert picture.info["icc_profile"] == RGB
        exif = picture.getexif()
        assert (exif[271], exif[274]) == ("Maker", 1)
        assert exif.get_ifd(0x8769)[0x9003] == MADE[0x9003]
        assert exif.get_ifd(0x8769)[0xA002] == 30
        assert exif.get_ifd(0x8825)[2] == PLACE[2]
        if "dpi" in picture.info:
            assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.01)  # PNG counts whole pixels per metre
    step = 2 / (65535 if depth else 255)
    if name != "x.jpg":
        assert (xhat.load_image(file) - result.first.clamp(-1, 1)).abs().max() <= step / 2 + 1e-6


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_stay_16_bits(suffix, channels):
    pixels = noise(12, 9, channels, white=65535)
    pixels = pixels[..., 0] if channels == 1 else pixels
    with open(f"x.{suffix}", "wb") as file:
        file.write(encoded(f"x.{suffix}", pixels))
    if channels == 1:  # an independent reader
        with Image.open(f"x.{suffix}") as picture:
            assert (np.asarray(picture) == pixels).all()
    x, alpha = layers(f"x.{suffix}")
    assert (to_pixels(x, 16).reshape(12, 9, -1) == pixels.reshape(12, 9, -1)[..., : len(x)]).all()
    assert (alpha is None) == (channels != 4)
    result = xhat.restore(f"x.{suffix}", **FAST)
    result.save("out.tif")
    result.save("out.jpg")
    assert kept_of("out.tif").depth == 16
    assert kept_of("out.jpg").depth == 8
    assert (xhat.restore("out.tif", **FAST).y - result.first.clamp(-1, 1)).abs().max() < 1 / 65535 + 1e-6


def test_16_bit_tiff_is_one_for_an_independent_reader():
    tifffile = pytest.importorskip("tifffile")
    for shape in ((12, 9), (12, 9, 3), (12, 9, 4)):
        pixels = noise(*shape, white=65535)
        with open("x.tif", "wb") as file:
            file.write(encoded("x.tif", pixels, Extras(RGB if pixels.ndim == 3 else None)))
        assert (tifffile.imread("x.tif") == pixels).all()


def test_grey_stays_grey_and_a_grey_photograph_stored_in_colour_gets_no_colours(caplog):
    grey = noise(24, 32)
    Image.fromarray(grey).save("l.png")
    Image.fromarray(grey).convert("RGB").save("rgb.png")
    Image.fromarray(noise(24, 32, 3)).save("truth.png")
    xhat.restore("l.png", **FAST).save("l_out.png")
    with caplog.at_level(logging.WARNING, "xhat"):
        result = xhat.restore("rgb.png", **FAST)
    assert "is grey, though stored in colour" in caplog.text
    result.save("rgb_out.png")
    with Image.open("l_out.png") as one, Image.open("rgb_out.png") as three:
        assert (one.mode, three.mode) == ("L", "RGB")
        assert (np.asarray(three) == np.asarray(one)[..., None]).all()
    # Where something else says that the image has colours, it has; colorize makes some of one channel.
    assert len(xhat.restore("rgb.png", **FAST, reference="truth.png").first) == 3
    assert len(xhat.restore("rgb.png", **FAST, shape=(3, 24, 32)).first) == 3
    assert len(xhat.restore("rgb.png", **FAST, reference="rgb.png").first) == 1
    assert len(xhat.restore("rgb.png", **{**FAST, "operator": "colorize"}, reference="truth.png").first) == 3
    # A prior that takes colours only is given colours.
    colours = xhat.Denoiser(lambda x, sigma: x.reshape(-1, 3, 24, 32) / (1 + sigma**2))
    assert len(xhat.restore("rgb.png", "denoise", "gaussian:sigma=0.05", colours, "ddrm:steps=2").first) == 3


def test_transparency_stays_where_nobody_fills_it(caplog):
    pixels = noise(24, 32, 4)
    pixels[:, :9, 3], pixels[:, 9:, 3] = 0, 255
    Image.fromarray(pixels).save("x.png")
    with caplog.at_level(logging.WARNING, "xhat"):
        result = xhat.restore("x.png", **FAST)
    assert "transparent pixels, which stay so" in caplog.text
    for name in ("out.png", "out.tif", "out.webp"):
        result.save(name)
        _, alpha = layers(name)
        assert (alpha == torch.from_numpy(pixels[..., 3] / 255)).all()
    result.save("out.jpg")
    large = xhat.restore("x.png", "super_resolution:factor=2", "gaussian:sigma=0.05", solver="tv:steps=2")
    large.save("large.png")
    assert layers("large.png")[1].shape == (48, 64)
    xhat.restore("x.png", "inpaint", "gaussian:sigma=0.05", solver="tv:steps=2").save("filled.png")
    assert layers("filled.png")[1] is None


def test_a_profile_of_other_channels_is_left_out():
    kept = Kept(icc=RGB[:16] + b"CMYK" + RGB[20:])
    kept.save("x.png", torch.zeros(3, 8, 8))
    assert kept_of("x.png").icc is None
    assert kept_of("nothing.png") == Kept()


def test_a_grey_jpeg_stored_in_colour_is_a_grey_jpeg():
    """Its luma was coded by the luma table, so the grey picture that was coded explains it to the last bit."""
    grey = np.kron(noise(6, 8), np.ones((8, 8), np.uint8)) // 2 + 60
    Image.fromarray(grey).convert("RGB").save("rgb.jpg", quality=12)
    Image.fromarray(grey).save("l.jpg", quality=12)
    one, three = (xhat.restore(f"{name}.jpg", prior="powerlaw", solver="diffpir:steps=2") for name in ("l", "rgb"))
    assert three.record["operator"] == "jpeg:tables=rgb.jpg"
    assert three.images.shape == one.images.shape == (1, 1, 48, 64)
    x = torch.from_numpy(grey / 127.5 - 1)[None, None].float()
    assert (three.problem.A(x) - three.y).abs().max() < 1.01 / 127.5  # converting back from YCbCr rounds once more
