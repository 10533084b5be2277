"""Files ⇄ tensors: every pixel arrives, in [−1, 1], upright, or the error says why not."""

import os
import stat

import numpy as np
import pytest
import torch
from PIL import Image

import xhat
from xhat.errors import DataError
from xhat.files.measurement import Measurement
from xhat.files.pictures import centre_crop, from_pixels, resize, to_pixels
from xhat.files.readers.load import load

RNG = np.random.default_rng(0)


def pixels(*shape, bits=8):
    return RNG.integers(0, 2**bits, shape).astype(np.uint8 if bits == 8 else np.uint16)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "bmp"])
@pytest.mark.parametrize("shape", [(13, 21), (13, 21, 3)])
def test_lossless_8_bit_files_give_back_every_pixel(tmp_path, suffix, shape):
    p = pixels(*shape)
    Image.fromarray(p).save(tmp_path / f"x.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    x = xhat.load_image(tmp_path / f"x.{suffix}")
    if suffix == "webp" and len(shape) == 2:  # WebP knows no grey
        x = x[:1]
    assert x.shape == (len(shape) * 2 - 3, 13, 21)
    assert x.dtype == torch.float32
    assert (to_pixels(x) == p).all()


def test_black_and_white_are_minus_one_and_one():
    for bits, kind in ((8, np.uint8), (16, np.uint16)):
        assert from_pixels(np.array([[0, 2**bits - 1]], kind)).flatten().tolist() == [-1, 1]


@pytest.mark.parametrize("shape", [(13, 21), (13, 21, 3)])
def test_16_bit_png_keeps_all_16_bits(tmp_path, shape):
    p = pixels(*shape, bits=16)
    xhat.save_image(tmp_path / "x.png", from_pixels(p), depth=16)
    assert (to_pixels(xhat.load_image(tmp_path / "x.png"), 16) == p).all()


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("shape", [(13, 21), (13, 21, 3)])
def test_16_bit_tiff_keeps_all_16_bits(tmp_path, shape, byteorder, compression):
    tifffile = pytest.importorskip("tifffile")  # an independent writer
    p = pixels(*shape, bits=16)
    tifffile.imwrite(tmp_path / "x.tif", p, byteorder=byteorder, compression=compression)
    assert (to_pixels(xhat.load_image(tmp_path / "x.tif"), 16) == p).all()


def test_our_16_bit_png_is_one_for_an_independent_reader(tmp_path):
    imageio = pytest.importorskip("skimage.io")
    p = pixels(9, 7, bits=16)
    xhat.save_image(tmp_path / "x.png", from_pixels(p), depth=16)
    assert (imageio.imread(tmp_path / "x.png") == p).all()


def test_exif_orientation_is_applied(tmp_path):
    p = pixels(8, 16, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90° clockwise
    Image.fromarray(p).save(tmp_path / "x.png", exif=exif)
    assert (to_pixels(xhat.load_image(tmp_path / "x.png")) == np.rot90(p, -1)).all()


def test_palettes_become_colour_and_bilevel_grey(tmp_path):
    p = pixels(8, 9, 3)
    Image.fromarray(p).quantize(16).save(tmp_path / "p.png")
    assert xhat.load_image(tmp_path / "p.png").shape == (3, 8, 9)
    Image.fromarray(p[..., 0] > 99).save(tmp_path / "b.png")
    assert xhat.load_image(tmp_path / "b.png").unique().tolist() == [-1, 1]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_opaque_alpha_is_dropped_and_transparency_refused(tmp_path, mode):
    colours = len(mode) - 1
    p = pixels(8, 9, colours)
    alpha = np.full((8, 9, 1), 255, np.uint8)
    Image.fromarray(np.concatenate([p, alpha], -1)).save(tmp_path / "x.png")
    assert (to_pixels(xhat.load_image(tmp_path / "x.png")) == p.squeeze()).all()
    alpha[3, 4] = 254
    Image.fromarray(np.concatenate([p, alpha], -1)).save(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"x\.png: has transparent pixels"):
        xhat.load_image(tmp_path / "x.png")


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_unreadable_files_are_named(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.png: cannot be read"):
        xhat.load_image(tmp_path / "x.png")


def test_truncated_and_missing_files_are_named(tmp_path):
    Image.fromarray(pixels(64, 64, 3)).save(tmp_path / "x.png")
    (tmp_path / "x.png").write_bytes((tmp_path / "x.png").read_bytes()[:5000])
    with pytest.raises(DataError, match=r"x\.png: cannot be read"):
        xhat.load_image(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"y\.png: no such file"):
        xhat.load_image(tmp_path / "y.png")


def test_pixels_without_an_agreed_range_are_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(DataError, match="32-bit"):
        xhat.load_image(tmp_path / "x.tif")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    xhat.save_image(tmp_path / "x.png", torch.zeros(1, 4, 4))
    before = (tmp_path / "x.png").read_bytes()
    with pytest.raises(DataError, match=r"not a picture.*\.npz"):
        xhat.save_image(tmp_path / "x.png", torch.zeros(5, 4, 4))
    with pytest.raises(ValueError):
        xhat.save_image(tmp_path / "x.nonsense", torch.zeros(1, 4, 4))
    assert os.listdir(tmp_path) == ["x.png"]
    assert (tmp_path / "x.png").read_bytes() == before


def test_written_files_have_ordinary_rights(tmp_path):
    xhat.save_image(tmp_path / "x.png", torch.zeros(1, 4, 4))
    (tmp_path / "plain").touch()
    assert stat.S_IMODE((tmp_path / "x.png").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize("suffix", ["npy", "npz", "pt"])
def test_arrays_are_read_as_they_are(tmp_path, suffix):
    y = torch.randn(2, 5, dtype=torch.complex64)
    path = tmp_path / f"y.{suffix}"
    if suffix == "pt":
        torch.save(y, path)
    else:
        (np.save if suffix == "npy" else np.savez)(path, y.numpy())
    assert (load(path).y == y).all()


def test_a_measurement_file_keeps_everything(tmp_path):
    m = Measurement(torch.randn(4, 7), (1, 8, 8), "blur:kernel='a b.png'", "gaussian:sigma=0.1", 7)
    m.save(tmp_path / "y.npz")
    back = load(tmp_path / "y.npz")
    assert torch.equal(back.y, m.y)
    assert (back.image_shape, back.operator, back.noise, back.seed) == (m.image_shape, m.operator, m.noise, 7)


def test_pixel_arrays_have_channels_last_and_pixel_tensors_first():
    p = pixels(5, 6, 3)
    a, b = load(p).y, load(torch.from_numpy(p).permute(2, 0, 1)).y
    assert torch.equal(a, b)
    assert torch.equal(a, load(Image.fromarray(p)).y)
    assert load(np.zeros((5, 6, 3))).y.shape == (5, 6, 3)  # floats are data, not pixels


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (torch.tensor([1.0, float("nan")]), "1 values that are NaN"),
        (np.zeros((0, 3)), "is empty"),
        (np.zeros((2, 4, 4, 5), np.uint8), r"not an image \(h, w\)"),
        (torch.zeros(4, 4, 5, dtype=torch.uint8), r"no image \(1 or 3, h, w\)"),
        (np.array(["a"]), "not numbers"),
    ],
)
def test_other_sources_are_refused(source, words):
    with pytest.raises(DataError, match=words):
        load(source)


def test_broken_array_files_are_named(tmp_path):
    for name, content in {"a.npz": b"xx", "b.npy": b"", "c.pt": b"xx"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            load(tmp_path / name)
    np.savez(tmp_path / "d.npz", a=1, b=2)
    with pytest.raises(DataError, match=r"no entry 'y', only a, b"):
        load(tmp_path / "d.npz")


def test_crop_is_central_and_resize_keeps_constants_and_range():
    x = torch.zeros(3, 9, 12)
    x[:, 3:6, 4:8] = 1
    assert (centre_crop(x, 3, 4) == 1).all()
    assert torch.allclose(resize(torch.full((3, 9, 12), 0.3), 5, 20), torch.tensor(0.3))
    assert resize(x, 40, 40).abs().max() <= 1
