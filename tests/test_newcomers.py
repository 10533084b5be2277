"""What people type first: it works, or one line names what was wrong and what would be right."""

import inspect
import re

import numpy as np
import pytest
import torch
from PIL import Image

import xhat
from xhat import catalogue  # noqa: F401  (the sciences join)
from xhat.cli.arguments import main
from xhat.cli.listing import KINDS, listing
from xhat.errors import DataError, MismatchError, SpecError
from xhat.operators import OPERATORS
from xhat.operators.building import build_operator
from xhat.priors import PRIORS, build_prior
from xhat.task.cutting import advised
from xhat.task.lists import several
from xhat.task.look import look

G = torch.Generator().manual_seed(0)
X = torch.rand(3, 16, 24, generator=G) * 2 - 1
QUICK = {"prior": lambda x, s: x / (1 + s**2), "solver": "lmaps:steps=2", "device": "cpu"}
PIXELS = ((X + 1) * 127.5).round().to(torch.uint8)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "photo.png"
    xhat.save_image(path, X)
    return path


def without_default(registry, skip):
    for name, maker in registry.items():
        parameters = list(inspect.signature(maker).parameters.values())[skip:]
        if left := [
            p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]:
            yield name, left


@pytest.mark.parametrize("kind", ["priors", "operators"])
def test_a_part_says_which_option_it_cannot_do_without(kind):
    registry, skip, build = {
        "priors": (PRIORS, 0, lambda name: build_prior(name, "cpu")),
        "operators": (OPERATORS, 1, lambda name: build_operator(name, (3, 16, 16))),
    }[kind]
    asked = dict(without_default(registry, skip))
    assert asked
    for name, left in asked.items():
        with pytest.raises(SpecError, match=rf"^{name} needs {left[0]}.*: {name}:{left[0]}=") as e:
            build(name)
        assert "__init__" not in str(e.value)
    with pytest.raises(SpecError, match=r"ddpm needs path: ddpm:path=FILE, or the file or folder alone"):
        build_prior("ddpm:dtype=float32")
    with pytest.raises(SpecError, match="ddpm has no option grey"):  # what is there is looked at first
        build_prior("ddpm:grey=true")


def test_pixels_with_channels_first_are_a_picture_from_numpy_too():
    want = xhat.restore(PIXELS, "denoise", 0.1, **QUICK).images
    for y in (PIXELS.numpy(), PIXELS.numpy().astype(np.uint16) * 257):
        assert torch.allclose(xhat.restore(y, "denoise", 0.1, **QUICK).images, want, atol=1e-6)
    assert xhat.restore(PIXELS.numpy()[None], "denoise", 0.1, **QUICK).images.ndim == 5  # with four axes a volume


def test_simulate_takes_a_picture_in_any_layout():
    make = lambda x, **more: xhat.simulate(x, "gaussian_blur:std=0.6", 0.05, seed=3, **more).y
    want = make(X)
    for x in (X.numpy(), X.permute(1, 2, 0), X.permute(1, 2, 0).numpy()):
        assert torch.equal(make(x), want)
    assert make(X[0]).shape == (1, 16, 24)
    for x, values in (((X + 1) / 2, (0, 1)), ((X.permute(1, 2, 0).numpy() + 1) * 127.5, (0, 255))):
        clean = xhat.simulate(x, "gaussian_blur:std=0.6", "noiseless", value_range=values).y
        assert torch.allclose(clean, xhat.simulate(X, "gaussian_blur:std=0.6", "noiseless").y, atol=1e-5)
    noise = want - xhat.simulate(X, "gaussian_blur:std=0.6", "noiseless").y
    half = xhat.simulate((X + 1) / 2, "gaussian_blur:std=0.6", 0.025, seed=3, value_range=(0, 1)).y
    assert torch.allclose(half - want, 0 * noise, atol=1e-5)
    with pytest.raises(SpecError, match="files and pixels say"):
        make(PIXELS, value_range=(0, 1))


def test_a_bright_image_of_simulate_is_said(caplog):
    xhat.simulate(X, "denoise", 0.1)
    assert "value_range" not in caplog.text
    xhat.simulate((X + 1) / 2, "denoise", 0.1)
    assert "value_range=(0, 1) says that 0 is black" in caplog.text


def test_an_option_of_the_command_line_is_answered_with_how_python_says_it():
    for name, says in (("steps", "lmaps:steps"), ("sigma", "noise=0.05"), ("dtype", "photo:dtype"), ("size", "Cut")):
        with pytest.raises(TypeError, match=rf"unexpected keyword argument '{name}'; say .*{says}"):
            xhat.restore(X, "denoise", 0.1, **QUICK, **{name: 3})
    assert not set(inspect.signature(xhat.restore).parameters) & set(xhat.task.lists.TYPED)


def test_a_noise_that_nobody_chose_is_said(caplog):
    for name, option in (("gaussian", "sigma=0.05"), ("poisson", "peak=100")):
        caplog.clear()
        look(xhat.Measurement(X, pixels=True, origin="photo.png"), "denoise", name)
        assert f"photo.png: {option}" in caplog.text
        assert (
            f"is a guess: --noise auto estimates the noise, --noise {name}:{option.split('=')[0]}=… says" in caplog.text
        )
    caplog.clear()
    for noise in ("gaussian:sigma=0.05", "noiseless", "poisson:peak=30", xhat.Gaussian(0.05), "auto"):
        look(xhat.Measurement(X, pixels=True), "denoise", noise)
    look(xhat.Measurement(X), "denoise", "gaussian")  # numbers of the user's own making
    assert "is a guess" not in caplog.text


@pytest.mark.parametrize("noise", ["gaussian:sigma=12.75", xhat.Gaussian(12.75)])
def test_noise_in_grey_levels_is_said(noise, caplog):
    for y in (X, X[:1], X.flatten()):
        caplog.clear()
        look(xhat.Measurement(y, origin="y"), "denoise", noise)
        assert "y: noise of sigma=12.75 is more than its numbers" in caplog.text
        assert "12.75 of 255 grey levels are sigma=0.1" in caplog.text


def test_much_noise_is_not_doubted(caplog):
    for sigma in (0.3, 3.0, 12.75):
        y = X + sigma * torch.randn(X.shape, generator=G)
        look(xhat.Measurement(y), "denoise", f"gaussian:sigma={sigma}")
    look(
        xhat.Measurement(torch.zeros(5)), "dense:matrix=none", xhat.Gaussian(1.0)
    )  # five numbers may be small by chance
    look(xhat.Measurement(0 * X), "denoise", xhat.Gaussian(0.1))  # nor is a sigma that is none in grey levels
    assert "is more than" not in caplog.text


def test_colours_for_a_picture_in_colour_are_refused(file):
    with pytest.raises(DataError, match=r"photo.png: is in colour already; colorize gives colours to a grey picture"):
        xhat.restore(file, "colorize", "noiseless", **QUICK)
    Image.open(file).convert("L").save(file)
    assert xhat.restore(file, "colorize", "noiseless", **QUICK).images.shape == (1, 3, 16, 24)


class Sized(xhat.Prior):
    """Knows pictures of one size, or with sides that are multiples of `k`."""

    def __init__(self, size=None, k=1):
        super().__init__()
        self.schedule, self.size, self.k = xhat.EDM(), size, k

    def specimen(self, shape=None):
        return (3, *(self.size or (64, 64)))

    def check(self, shape):
        if self.size not in (None, shape[1:]) or shape[1] % self.k or shape[2] % self.k:
            raise MismatchError(f"knows other sizes than {shape}")

    def forward(self, x, t):
        return x


@pytest.mark.parametrize(
    ("prior", "says"),
    [
        (Sized((12, 12)), "--crop 12x12 takes the middle and --size 12 the central square, resized"),
        (Sized((12, 20)), "--crop 20x12 takes the middle"),
        (Sized((32, 32)), "--size 32 the central square, resized"),
        (Sized(k=16), "--crop 16x16 takes the middle and --size 16 the central square, resized"),
        (Sized((32, 20)), None),
        (Sized(), None),
        (lambda x, s: x, None),
    ],
)
def test_a_prior_of_another_size_says_how_to_cut(prior, says, file):
    found = xhat.Measurement(X, file=file)
    with pytest.raises(MismatchError) as e, advised(found, lambda: prior):
        raise MismatchError("they do not fit")
    assert str(e.value) == "they do not fit" + (f"; {says}" if says else "")


@pytest.mark.slow
def test_the_advice_is_followed(file, tmp_path, capsys):
    out = ["-o", str(tmp_path / "out.png"), "--device", "cpu", "--steps", "1"]
    assert main(["restore", str(file), "--operator", "denoise", "--sigma", "0.1", "--prior", "faces", *out]) == 2
    said = capsys.readouterr().err
    assert "--size 64 the central square, resized" in said
    assert (
        main(
            ["restore", str(file), "--operator", "denoise", "--sigma", "0.1", "--prior", "faces", "--size", "64", *out]
        )
        == 0
    )


@pytest.mark.parametrize("y", [None, b"bytes", bytearray(3), {"y": X}, 3.0, xhat.Prior, "photo.png", X])
def test_what_is_one_thing_is_no_list(y):
    """The content of a file is refused as bytes, and not as its first byte."""
    assert several(y) is None


def test_a_folder_of_pictures_is_called_so(file):
    with pytest.raises(DataError, match=r"is a folder with 1 pictures; give one of them, or in Python a list"):
        xhat.restore(file.parent, "denoise", 0.1, **QUICK)
    assert len(xhat.restore([file], "denoise", 0.1, **QUICK)) == 1


def test_what_is_no_model_is_said(file, tmp_path):
    with pytest.raises(DataError, match=r"photo.png: is a picture; a prior is a spec"):
        build_prior(file)
    with pytest.raises(DataError, match=r"holds no model; the folder of one has config.json or model_index.json in it"):
        build_prior(tmp_path)


@pytest.mark.parametrize(("option", "more"), [("fill", ", and no colour such as red or #ff0000"), ("known", "")])
def test_a_mask_that_is_not_there_is_called_by_its_option(file, option, more):
    with pytest.raises(DataError, match=rf"^inpaint: {option}=reddish: there is no such file{more}$"):
        xhat.restore(file, f"inpaint:{option}=reddish", "noiseless", **QUICK)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_name_that_is_nearly_right_is_suggested_in_every_list(kind):
    for name in KINDS[kind]:
        wrong = name[:-1] if len(name) > 4 else f"{name}{name[-1]}"
        if wrong not in KINDS[kind]:
            with pytest.raises(SpecError, match=rf"unknown .*'{re.escape(wrong)}'.*did you mean \S+\?"):
                listing(kind, wrong)
    with pytest.raises(SpecError, match=rf"without options; xhat list {kind} has all"):
        listing(kind, "os:path")


def files_of(x, tmp_path):
    """A picture alone in files of arrays, in layouts that people have."""
    last = x.permute(1, 2, 0)
    for name, v in (("first", x.numpy()), ("last", last.numpy()), ("double", last.double().numpy())):
        np.save(tmp_path / f"{name}.npy", v)
        yield tmp_path / f"{name}.npy"
    np.savez(tmp_path / "one.npz", last.numpy())
    torch.save(last, tmp_path / "x.pt")
    yield from (tmp_path / "one.npz", tmp_path / "x.pt")


def test_a_picture_alone_in_a_file_of_arrays_is_one_in_memory(tmp_path):
    want = xhat.restore(X, "denoise", 0.1, **QUICK).images
    for path in files_of(X, tmp_path):
        r = xhat.restore(path, "denoise", 0.1, reference=path, **QUICK)
        assert torch.allclose(r.images, want, atol=1e-6)
        assert torch.allclose(r.reference, X, atol=1e-6)
    for white in (1, 255):
        for path in files_of((X + 1) / 2 * white, tmp_path):
            with pytest.raises(
                DataError, match=rf"Say what black and white are: value_range=\(0, {white}\), .*--value-range"
            ):
                xhat.restore(path, "denoise", 0.1, **QUICK)
            r = xhat.restore(path, "denoise", "gaussian:sigma=0.1", value_range=(0, white), **QUICK)
            assert torch.allclose(r.images, want, atol=1e-5)
    for dtype, white in ((np.uint8, 255), (np.uint16, 65535)):  # whole numbers of 8 or 16 bits say it themselves
        np.save(tmp_path / "pixels.npy", ((X.permute(1, 2, 0).numpy() + 1) / 2 * white).round().astype(dtype))
        assert torch.allclose(xhat.restore(tmp_path / "pixels.npy", "denoise", 0.1, **QUICK).images, want, atol=0.01)


def test_a_file_that_says_what_it_holds_is_not_asked(tmp_path):
    bright = xhat.simulate(X.abs(), "denoise", 0.01)
    bright.save(tmp_path / "y.npz")
    assert torch.equal(xhat.restore(tmp_path / "y.npz", **QUICK).images, xhat.restore(bright, **QUICK).images)


@pytest.mark.parametrize("text", ["0", "1,0", "a,b", "0,1,2", ""])
def test_a_range_on_the_command_line_is_two_numbers(text, tmp_path, capsys):
    np.save(tmp_path / "y.npy", ((X + 1) / 2).numpy())
    out = [
        str(tmp_path / "y.npy"),
        "--operator",
        "denoise",
        "--sigma",
        "0.1",
        "--steps",
        "1",
        "-o",
        str(tmp_path / "o.png"),
    ]
    assert main(["restore", *out, "--value-range", text]) == 2
    assert "--value-range: expected black and white, such as 0,1 or 0,255, not" in capsys.readouterr().err


@pytest.mark.slow
def test_a_range_on_the_command_line_is_that_of_python(tmp_path):
    np.save(tmp_path / "y.npy", ((X + 1) / 2).numpy())
    xhat.save_image(tmp_path / "y.png", X)
    for name, more in (("y.npy", ["--value-range", "0,1"]), ("y.png", [])):
        words = ["restore", str(tmp_path / name), "--operator", "denoise", "--sigma", "0.1", "--steps", "1", *more]
        assert main([*words, "-o", str(tmp_path / f"{name}.out.png"), "--device", "cpu", "-q"]) == 0
    a, b = (np.asarray(Image.open(tmp_path / f"{n}.out.png")).astype(int) for n in ("y.npy", "y.png"))
    assert abs(a - b).max() <= 2


def test_a_picture_that_is_too_small_to_estimate_noise_is_named(tmp_path):
    xhat.save_image(tmp_path / "line.png", X[:, :2])
    with pytest.raises(
        DataError, match=r"line.png: a picture of 24x2 pixels \(width x height\) is too small .*; give sigma"
    ):
        xhat.restore(tmp_path / "line.png", **QUICK)
