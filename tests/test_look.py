"""What is told from a picture alone: noise against scikit-image and known levels, JPEG headers, and what is guessed."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from skimage.restoration import estimate_sigma as oracle

import xhat
from xhat.cli.arguments import main
from xhat.errors import DataError, SpecError
from xhat.files.jpeg_header import jpeg_header, stored_luma
from xhat.files.readers.load import load
from xhat.files.webp_header import webp_loss
from xhat.likelihoods.verdict import FITS, ROUGH
from xhat.noise import Gaussian, Noiseless, Poisson
from xhat.noise.coded import coded_noise
from xhat.noise.estimate import estimate_noise, estimate_sigma
from xhat.operators.building import build_operator
from xhat.task.look import look

CAT = data.chelsea()[100:260, 120:312]


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def recorded():
    return json.loads(Path("out/record.json").read_text())


def noisy(sigma, seed=0):
    """Grey levels of the cat with noise of `sigma` levels."""
    x = CAT + np.random.default_rng(seed).normal(0, sigma, CAT.shape)
    return Image.fromarray(np.clip(x, 0, 255).round().astype(np.uint8))


@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.1, 0.2])
def test_the_level_is_the_true_one_and_texture_is_not_noise(sigma):
    x = torch.from_numpy(CAT / 127.5 - 1).permute(2, 0, 1) + sigma * torch.randn(
        3, *CAT.shape[:2], generator=torch.Generator().manual_seed(1)
    )
    # 0.002 is a quarter of a grey level; at 0.02 scikit-image's wavelets find 0.036, because fur is fine
    assert estimate_sigma(x) == pytest.approx(sigma, rel=0.03, abs=0.002)
    assert (
        abs(estimate_sigma(x) - sigma)
        < abs(oracle(x.numpy(), channel_axis=0, average_sigmas=True) - sigma) + 0.02 * sigma
    )
    assert isinstance(estimate_noise(x), Gaussian)


def test_light_has_a_level_that_grows_with_brightness():
    u = np.tile(np.linspace(0.02, 0.98, 256), (256, 1))
    y = np.random.default_rng(0).poisson(100 * u + 4) - 4
    found = estimate_noise(torch.from_numpy(y / 100 * 2 - 1)[None])
    assert isinstance(found, Poisson)
    # A variance from 16384 coefficients in 16 bins is known to about 5 %, its value at black to less.
    assert found.peak == pytest.approx(100, rel=0.15)
    assert found.dark == pytest.approx(4, rel=0.5)
    assert isinstance(estimate_noise(torch.from_numpy(y / 100 * 2 - 1)[None], light=False), Gaussian)


def test_what_is_drawn_has_no_noise_and_a_hole_does_not_count():
    flat = torch.zeros(1, 32, 32)
    flat[:, 8:20, 8:20] = 1
    assert isinstance(estimate_noise(flat), Noiseless)
    x = torch.randn(3, 96, 96, generator=torch.Generator().manual_seed(0)) * 0.1
    seen = torch.ones(1, 96, 96, dtype=torch.bool)
    seen[:, 20:70, 20:70] = False
    torn = torch.where(seen, x, torch.randn_like(x))
    assert estimate_sigma(torn, seen) == estimate_sigma(x, seen)
    with pytest.raises(DataError, match="too little"):
        estimate_sigma(x, seen & False)
    with pytest.raises(DataError, match="too small"):
        estimate_sigma(x[:, :3])


@pytest.mark.parametrize("quality", [3, 37, 75, 96])
@pytest.mark.parametrize(("code", "text"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_a_jpeg_tells_its_quality(quality, code, text):
    Image.fromarray(CAT).save("x.jpg", quality=quality, subsampling=code)
    found = jpeg_header("x.jpg")
    assert (found.quality, found.exact, found.subsampling) == (quality, True, text)


def test_no_jpeg_has_no_header():
    Image.fromarray(CAT).save("x.png")
    assert jpeg_header("x.png") is None
    assert jpeg_header("nothing.jpg") is None


def told(caplog, path, **given):
    caplog.clear()
    with caplog.at_level(logging.WARNING, "xhat"):
        found = look(load(path), **given)
    return found, caplog.text


def test_what_is_guessed(caplog):
    Image.fromarray(CAT).save("low.jpg", quality=10)
    found, text = told(caplog, "low.jpg")
    assert (found.operator, found.noise) == ("jpeg:tables=low.jpg", "noiseless")
    assert text.count("\n") == 1
    assert "give --operator and --noise" in text
    found, _ = told(caplog, "low.jpg", scale=2)
    assert found.operator == "jpeg:tables=low.jpg @ super_resolution:factor=2"
    noisy(15).save("night.jpg", quality=97)
    noisy(15).save("night.png")
    for name in ("night.jpg", "night.png"):
        found, text = told(caplog, name)
        assert found.operator == "denoise"
        assert found.guessed == {"operator": found.operator, "noise": found.noise}
    noisy(4).save("small.png")
    found, _ = told(caplog, "small.png", scale=4)
    assert found.operator == "super_resolution:factor=4"
    # What is given is not guessed, and then nothing is said.
    found, text = told(caplog, "night.png", operator="gaussian_blur:std=2", noise="noiseless")
    assert (found.operator, found.noise, text) == (None, None, "")
    # How strong a blur was is no matter of defaults.
    for name, option in (("gaussian_blur", "std=3"), ("defocus", "radius=3"), ("motion_blur:intensity=0.3", "seed=0")):
        found, text = told(caplog, "night.png", operator=name, noise="noiseless")
        assert f"{option}" in found.guessed["operator"]
        assert "is a guess" in text
        assert "blind_blur" in text
    found, _ = told(caplog, "night.png", operator="quantize")
    assert found.noise == "noiseless"


def test_where_nothing_is_seen_nothing_is_guessed():
    Image.new("RGB", (40, 40), (9, 90, 200)).save("flat.png")
    with pytest.raises(DataError, match="say what happened to it"):
        look(load("flat.png"))
    with pytest.raises(SpecError, match="linear operators only"):
        look(load("flat.png"), operator="phase_retrieval", noise="auto")
    y = torch.zeros(3, 16, 16)
    assert look(load(y)).operator is None  # an array is not taken for a damaged picture


def test_the_command_says_and_records_its_guess(caplog):
    noisy(12).crop((0, 0, 48, 40)).save("x.png")
    run = ["restore", "x.png", "--solver", "tv:steps=3", "-o", "out", "-q"]
    with caplog.at_level(logging.WARNING, "xhat"):
        assert main(run) == 0
    record = recorded()
    assert record["provenance"]["guessed"] == {"operator": "denoise", "noise": record["noise"]}
    assert record["noise"] in caplog.text
    assert main([*run[:-1], "--sigma", "12/255", "--operator", "denoise"]) == 0
    assert recorded()["noise"] == "gaussian:sigma=0.09412"
    assert main([*run[:-1], "--sigma", "auto", "--operator", "denoise"]) == 0
    assert recorded()["provenance"]["guessed"].keys() == {"noise"}


def test_pixels_in_memory_are_looked_at_as_those_of_a_file():
    """A Pillow image, its array and a tensor of bytes; floats may be anything, and are not."""
    picture = noisy(20)
    picture.save("cat.png")
    pixels = np.asarray(picture)
    file = look(load("cat.png"))
    for same in (picture, pixels, torch.from_numpy(pixels.copy()).permute(2, 0, 1)):
        found = look(load(same))
        assert (found.operator, found.noise, dict(found.guessed)) == (file.operator, file.noise, dict(file.guessed))
    assert look(load(pixels / 127.5 - 1)).operator is None
    r = xhat.restore(picture, solver="lmaps:steps=1")
    assert r.record["provenance"]["guessed"]["operator"] == "denoise"


def test_a_guess_in_python_is_recorded():
    noisy(12).crop((0, 0, 48, 40)).save("x.png")
    r = xhat.restore("x.png", solver="tv:steps=3")
    assert set(r.record["provenance"]["guessed"]) == {"operator", "noise"}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_from_a_turned_camera_is_explained_by_its_own_tables(orientation):
    """Coding the upright picture gives the upright file, whatever way the camera was held."""
    exif = Image.Exif()
    exif[274] = orientation
    table = [1 + 3 * (i // 8) + i % 8 for i in range(64)]  # not symmetric
    grey = Image.fromarray(CAT).convert("L").crop((0, 0, 96, 64))
    grey.save("x.jpg", exif=exif, qtables=[table])
    grey.save("x.png", exif=exif)
    y = load("x.jpg").y
    A = build_operator("jpeg:tables=x.jpg", tuple(y.shape))
    # libjpeg's whole-number transform treats rows and columns not quite alike: 0.16 of a level, 2.4 without coding.
    assert (A(load("x.png").y[None])[0] - y).abs().mean() < 0.25 / 127.5
    assert look(load("x.jpg")).operator == "jpeg:tables=x.jpg"


def test_a_blurred_jpeg_is_told_its_own_error():
    """Compression swallows noise: 0.3 grey levels were estimated, and the picture came out as a pattern of dots."""
    x = torch.from_numpy(CAT / 127.5 - 1).permute(2, 0, 1).float()
    soft = xhat.simulate(x, "gaussian_blur:std=1.3", "gaussian:sigma=0.0157", seed=1)
    soft.save("soft.png")
    Image.open("soft.png").save("soft.jpg", quality=92)
    r = xhat.restore("soft.jpg", operator="gaussian_blur:std=1.3", reference=x, solver="lmaps:steps=10")
    before = 10 * torch.log10(4 / (load("soft.jpg").y - x).square().mean())
    assert float(r.metrics["psnr"]) > float(before) + 1
    assert r.verdict() == FITS
    wrong = xhat.restore("soft.jpg", operator="gaussian_blur:std=1.3", noise=0.003, solver="lmaps:steps=10")
    assert wrong.verdict() == ROUGH, "its residual fits, and it is 20 grey levels of dots"


def test_a_blur_without_noise_is_told_of_rounding_and_a_code_of_nothing():
    """8 bits of a blurred picture are no exact data; a mask keeps exact ones, and a JPEG's cells are exact."""
    flat = torch.linspace(-0.9, 0.9, 64).expand(3, 64, 64)
    xhat.save_image("flat.png", flat)
    assert look(load("flat.png"), "gaussian_blur:std=2").noise == "gaussian:sigma=0.0078"
    assert look(load("flat.png"), "jpeg:quality=50").noise == "noiseless"
    assert look(load("flat.png"), "inpaint:mask=box25").noise == "noiseless"


@pytest.mark.parametrize(("sigma", "kept"), [(2, True), (15, False)])
def test_what_is_known_is_kept_unless_its_noise_is_evident(sigma, kept):
    picture = np.dstack([np.asarray(noisy(sigma)), np.full(CAT.shape[:2], 255, np.uint8)])
    picture[40:60, 50:80, 3] = 0
    Image.fromarray(picture).save("hole.png")
    found = look(load("hole.png"))
    assert found.operator == "inpaint"
    assert (found.noise == "noiseless") == kept


def test_stripes_of_a_wrong_kernel_are_seen():
    """Beside right results of two blurs, and with waves of half a grey scale laid over one of them."""
    x = torch.from_numpy(CAT / 127.5 - 1).permute(2, 0, 1).float()
    options = {"noise": 0.0157, "solver": "lmaps:steps=10"}
    for right in ("gaussian_blur:std=2", "motion_blur:seed=1,size=31"):
        y = xhat.simulate(x, right, "gaussian:sigma=0.0157", seed=1)
        assert xhat.restore(y, operator=right, **options).verdict() == FITS
    striped = xhat.restore(y, operator=right, **options)
    waves = 0.4 * torch.cos(torch.arange(x.shape[-1]) * 1.5).expand_as(x)
    assert replace(striped, images=striped.images + waves).verdict() == ROUGH


def test_an_opened_picture_is_its_file_and_a_hole_in_memory_is_filled():
    noisy(3).save("cat.jpg", quality=15)
    file = Path("cat.jpg").resolve()  # Pillow 11 says where the file is in full, whatever was opened
    assert look(load(Image.open(file))).operator == look(load(file)).operator
    turned = Image.open("cat.jpg").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert look(load(turned)).operator == "denoise", "its blocks are not the file's any more"
    hole = np.dstack([CAT, np.full(CAT.shape[:2], 255, np.uint8)])
    hole[40:60, 50:80, 3] = 0
    assert look(load(Image.fromarray(hole))).operator == "inpaint"


@pytest.mark.parametrize("of", [data.astronaut, data.coffee, data.rocket])
def test_a_thumbnail_is_sharp_and_not_noisy(of):
    """All of a small picture is fine detail, which the finest wavelets take for noise of up to ten grey levels."""
    small = np.asarray(Image.fromarray(of()).resize((128, 96), Image.Resampling.LANCZOS))
    tensor = lambda a: torch.from_numpy(a.astype(np.float32)).permute(2, 0, 1) / 127.5 - 1
    own = 2.5  # grey levels: the finest detail that eigenvalues of so few patches do not tell from noise
    assert estimate_sigma(tensor(small)) * 127.5 < own
    for sigma in (5, 12):
        noise = np.random.default_rng(0).normal(0, sigma, small.shape)
        assert 0.95 * sigma < estimate_sigma(tensor(small + noise)) * 127.5 < 1.03 * (sigma**2 + own**2) ** 0.5


@pytest.mark.parametrize("left", [0.0, 1.2])
def test_noise_whose_colours_a_codec_smoothed_is_seen(left):
    """Video and JPEG keep colours at half the resolution, and leave a grey level of their fine noise or less."""
    clean = np.asarray(Image.fromarray(data.coffee()).resize((300, 200)))
    g = np.random.default_rng(0)
    y, *colours = (
        Image.fromarray((clean + g.normal(0, 10, clean.shape)).clip(0, 255).astype(np.uint8)).convert("YCbCr").split()
    )
    half = [c.resize((150, 100), Image.Resampling.BOX).resize((300, 200), Image.Resampling.BILINEAR) for c in colours]
    coded = np.asarray(Image.merge("YCbCr", (y, *half)).convert("RGB")) + g.normal(0, left, clean.shape)
    x = torch.from_numpy(coded.astype(np.float32)).permute(2, 0, 1) / 127.5 - 1
    assert estimate_sigma(x) * 127.5 == pytest.approx((coded - clean).std(), rel=0.25)  # it is not white any more


@pytest.mark.parametrize("of", [data.astronaut, data.coffee, data.rocket])
def test_a_tiny_picture_is_sharp_rather_than_noisy(of):
    """All of 48 x 48 pixels is fine detail: wavelets of the quietest places, too, have 2 to 12 grey levels of it."""
    small = np.asarray(Image.fromarray(of()).resize((48, 48), Image.Resampling.BICUBIC)).astype(np.float32)
    level = lambda a: estimate_sigma(torch.from_numpy(a).permute(2, 0, 1) / 127.5 - 1) * 127.5
    assert level(small) < 3.5
    noise = np.random.default_rng(0).normal(0, 8, small.shape).astype(np.float32)
    assert 6.5 < level(small + noise) < 9.5


@pytest.mark.parametrize("sigma", [3.0, 6.0, 12.0])
@pytest.mark.parametrize("quality", [50, 75, 95])
def test_noise_alone_has_its_level_behind_any_quantisation_that_keeps_some(sigma, quality):
    """As the formula of the docstring says it; where nothing is kept, less than compression did."""
    x = 128 + np.random.default_rng(0).normal(0, sigma, (256, 256))
    Image.fromarray(x.round().astype(np.uint8)).save("y.jpg", quality=quality)
    header = jpeg_header("y.jpg")
    found = coded_noise(stored_luma("y.jpg"), header.steps, colour=False)
    kept = np.sort(header.steps)[16] < 4 * sigma  # of a quarter of the frequencies some is kept
    if kept:
        assert found.even
        assert found.sigma == pytest.approx(sigma, rel=0.07)
    else:
        assert found.sigma < header.loss


@pytest.mark.parametrize("quality", [60, 85])
@pytest.mark.parametrize("sigma", [0, 15, 25])
def test_a_noisy_photograph_saved_as_jpeg_is_noisy_and_fur_is_not(sigma, quality):
    """Its fine detail has lost the noise, of which the eigenvalues tell 1 to 3 grey levels."""
    noisy(sigma).save("y.jpg", quality=quality)
    found = look(load("y.jpg"))
    if sigma == 0:
        assert found.operator.startswith("jpeg")
    else:
        assert found.operator == "denoise"
        level = float(found.noise.partition("sigma=")[2]) * 127.5
        assert level == pytest.approx(sigma, rel=0.2)  # fur is 5 to 8 grey levels of it


def test_a_webp_tells_what_its_compression_did_at_most():
    """Against the errors themselves; at quality 100 those of colours, which the header does not tell, are as large."""
    x = noisy(0)
    for quality in (10, 40, 75, 90):
        x.save("y.webp", quality=quality)
        error = np.asarray(Image.open("y.webp").convert("L"), float) - np.asarray(x.convert("L"), float)
        assert 0.4 * webp_loss("y.webp") < error.std() < 1.1 * webp_loss("y.webp")
    turned = x.convert("RGBA")
    turned.putalpha(200)
    turned.save("alpha.webp", quality=90, icc_profile=b"x" * 101)
    assert webp_loss("alpha.webp") == webp_loss("y.webp")
    x.save("y.webp", lossless=True)
    x.save("y.png")
    assert webp_loss("y.webp") is webp_loss("y.png") is None
    Path("cut.webp").write_bytes(b"RIFF\x40\0\0\0WEBPVP8 \x40\0\0\0\0\0\0\x9d\x01\x2a")
    assert webp_loss("cut.webp") is not None


def test_what_a_webp_has_lost_is_noise_to_a_denoiser_and_to_a_blur():
    noisy(0).save("y.webp", quality=30)
    loss = webp_loss("y.webp") / 127.5
    for operator, least in ((None, 0.5 * loss), ("gaussian_blur:std=1.5", loss), ("super_resolution:factor=2", loss)):
        found = look(load("y.webp"), operator)
        assert float(found.noise.partition("sigma=")[2]) >= 0.99 * least
    noisy(0).save("y.webp", lossless=True)
    assert float(look(load("y.webp"), "gaussian_blur:std=1.5").noise.partition("sigma=")[2]) < 0.5 * loss


def test_a_picture_seen_in_single_pixels_is_filled():
    seen = np.where(np.random.default_rng(0).random(CAT.shape[:2]) < 0.5, 255, 0).astype(np.uint8)
    Image.fromarray(np.dstack([CAT, seen])).save("y.png")
    found = look(load("y.png"))
    assert (found.operator, found.noise.partition(":")[0]) == ("inpaint", "noiseless")
    with pytest.raises(DataError, match="too little of the picture is seen"):
        look(load("y.png"), "inpaint", "auto")


def test_a_clipped_picture_tells_its_noise():
    x = (CAT * 1.6 + np.random.default_rng(0).normal(0, 8, CAT.shape)).clip(0, 255).round().astype(np.uint8)
    Image.fromarray(x).save("y.png")
    assert float(look(load("y.png"), "hdr").noise.partition("sigma=")[2]) * 127.5 == pytest.approx(8, rel=0.2)
