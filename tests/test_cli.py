"""The command line, in process: what it writes, what it refuses, and that a refusal leaves nothing behind."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import xhat
from xhat.cli.arguments import main
from xhat.errors import MismatchError
from xhat.files.readers.load import load
from xhat.priors import PRIORS


class Toy(xhat.Prior):
    """A colour prior that costs nothing."""

    def __init__(self, dtype: str = "float32", compile: bool = False):
        super().__init__()
        self.schedule = xhat.EDM()

    def check(self, shape):
        if shape[0] not in (1, 3):
            raise MismatchError(f"this prior knows images of 1 or 3 channels, the problem has {shape[0]}")

    def forward(self, x, t):
        return x / t.alpha * (0.25 / (0.25 + t.ratio**2))


@pytest.fixture(autouse=True)
def _toy(monkeypatch, tmp_path):
    monkeypatch.setitem(PRIORS.own, "toy", Toy)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (48, 33, 3), np.uint8)).save("x.png")
    Image.fromarray(rng.integers(0, 256, (48, 33), np.uint8)).save("grey.png")
    xhat.save_image("deep.png", torch.rand(3, 16, 16) * 2 - 1, depth=16)


RUN = ["--prior", "toy", "--solver", "diffpir", "--steps", "2", "-o", "out"]
PHYSICS = ["--operator", "denoise", "--noise", "gaussian:sigma=0.1"]


def names(folder):
    return {p.name for p in folder.iterdir()}


@pytest.mark.parametrize("image", ["x.png", "grey.png", "deep.png"])
def test_restore_a_picture(tmp_path, capsys, image):
    assert main(["restore", image, *PHYSICS, *RUN, "--reference", image]) == 0
    assert names(tmp_path / "out") == {"restored.png", "panel.png", "compare.html", "record.json"}
    out = capsys.readouterr().out
    assert "12.8 of 255 grey levels" in out
    assert "psnr" in out
    assert xhat.load_image("out/restored.png").shape == xhat.load_image(image).shape
    record = json.loads((tmp_path / "out/record.json").read_text())
    assert record["solver"].startswith("diffpir:steps=2")
    assert record["calls"]["forwards"] == 2


@pytest.mark.parametrize("suffix", ["jpg", "webp", "tif", "npy", "pt"])
def test_other_files(suffix):
    x = xhat.load_image("x.png")
    if suffix == "npy":
        np.save("y.npy", x.numpy())
    elif suffix == "pt":
        torch.save(x, "y.pt")
    else:
        xhat.save_image(f"y.{suffix}", x)
    assert main(["restore", f"y.{suffix}", *PHYSICS, *RUN, "-q"]) == 0


def test_samples_in_sub_batches(tmp_path):
    common = ["restore", "x.png", *PHYSICS, *RUN, "-q", "--samples", "3", "--seed", "4", "--depth", "16"]
    assert main(common) == 0
    assert {"mean.png", "std.png", "sample_002.png"} <= names(tmp_path / "out")
    whole = [xhat.load_image(f"out/sample_00{i}.png") for i in range(3)]
    assert main([*common, "--batch-size", "2"]) == 0
    assert all((xhat.load_image(f"out/sample_00{i}.png") - w).abs().max() < 1e-4 for i, w in enumerate(whole))


def test_a_simulated_npz_knows_its_operator_and_noise(tmp_path):
    main(["simulate", "x.png", "--operator", "gaussian_blur", "--noise", "gaussian:sigma=0.1", "-o", "y.npz"])
    assert main(["restore", "y.npz", *RUN, "-q", "--record-every", "1"]) == 0
    assert json.loads((tmp_path / "out/record.json").read_text())["operator"] == "gaussian_blur"
    assert "trajectory.png" in names(tmp_path / "out")


def test_super_resolution_infers_and_overrides_the_shape():
    physics = ["--operator", "super_resolution:factor=4", "--noise", "gaussian:sigma=0.1"]
    main(["simulate", "x.png", *physics, "--crop-multiple", "4", "-o", "y.png", "--reference-out", "x4.png", "-q"])
    assert xhat.load_image("x4.png").shape == (3, 48, 32)
    assert xhat.load_image("y.png").shape == (3, 12, 8)
    assert main(["restore", "y.png", *physics, *RUN, "-q", "--reference", "x4.png"]) == 0
    assert xhat.load_image("out/restored.png").shape == (3, 48, 32)
    assert main(["restore", "y.png", *physics, *RUN, "-q", "--shape", "3,45,30"]) == 0
    assert xhat.load_image("out/restored.png").shape == (3, 45, 30)


def test_simulate_sizes_seeds_and_notes(capsys):
    base = ["simulate", "x.png", *PHYSICS, "--size", "16"]
    assert main([*base, "-o", "a.npz"]) == main([*base, "-o", "b.npz"]) == main([*base, "--seed", "1", "-o", "c.npz"])
    a, b, c = (np.load(f"{n}.npz")["y"] for n in "abc")
    assert a.shape == (3, 16, 16)
    assert (a == b).all()
    assert (a != c).any()
    assert capsys.readouterr().err == ""
    assert main([*base, "-o", "a.png"]) == 0
    assert "clips to [-1, 1]" in capsys.readouterr().err


def test_short_flags_become_options_of_the_specs(tmp_path):
    assert main(["restore", "x.png", *PHYSICS, *RUN, "-q", "--dtype", "bfloat16", "--compile"]) == 0
    assert json.loads((tmp_path / "out/record.json").read_text())["prior"] == "toy:dtype=bfloat16,compile=true"


@pytest.mark.slow
def test_lists_and_help(capsys):
    for kind in ("operators", "noises", "solvers", "priors", "metrics", "schedules"):
        assert main(["list", kind]) == 0
        assert capsys.readouterr().out.strip()
    main(["list"])
    assert "diffpir" in capsys.readouterr().out
    main(["list", "solvers", "diffpir"])
    out = capsys.readouterr().out
    assert "options: steps=100, lam=0.25, zeta=0.25" in out
    assert "needs PinvGaussian, returns sample; arXiv:2305.08995" in out
    main(["list", "solvers"])
    row = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.split("operator\n")[1].splitlines()}
    assert set(row["dps"]) == {"◐"}
    assert set(row["ddrm"]) == {"●", "·"}
    assert set(row["repaint"]) == {"○", "·"}
    for command in (["--help"], ["restore", "--help"], ["simulate", "--help"], ["list", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as end:
            main(command)
        assert end.value.code == 0
        assert "xhat" in capsys.readouterr().out


def _files():
    """Broken and unfit inputs."""
    np.save("nan.npy", np.full((3, 8, 8), np.nan))
    np.save("five.npy", np.zeros((5, 8, 8), np.float32))
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\nxx")
    Image.fromarray(np.zeros((48, 33), np.uint8)).save("empty.png")
    Image.fromarray(np.full((8, 8, 4), 9, np.uint8)).save("glass.png")


BAD = [
    (["missing.png", *PHYSICS], "missing.png: no such file"),
    (["broken.png", *PHYSICS], "broken.png: cannot be read"),
    (["x.png", *PHYSICS, "--reference", "glass.png"], "glass.png: has transparent pixels"),
    (["nan.npy", *PHYSICS], "nan.npy: holds 192 values that are NaN"),
    (["five.npy", *PHYSICS], "1 or 3 channels, the problem has 5"),
    (["five.npy"], "five.npy does not say which operator"),
    (["x.png", "--sigma", "12/0"], "--sigma: expected 0.05, 12/255 or auto"),
    (["x.png", "--sigma", "12.75"], "say 12.75/255"),
    (["x.png", "--scale", "4", "--operator", "denoise"], "give it or an operator"),
    (
        ["x.png", "--operator", "denoise", "--noise", "gaussian:sigma=-1"],
        "not -1; none is noiseless",
    ),
    (["x.png", "--operator", "denoise", "--noise", "gaussian:sgima=1"], "no option sgima; it has sigma"),
    (
        ["x.png", "--operator", "denoize", "--noise", "noiseless"],
        "did you mean denoise?",
    ),
    (["x.png", "--operator", "inpaint:mask=empty.png", "--noise", "noiseless"], "mask is empty"),
    (["x.png", "--operator", "inpaint:mask=none.png", "--noise", "noiseless"], "none.png"),
    (["x.png", *PHYSICS, "--solver", "lmap"], "did you mean lmaps?"),
    (["x.png", *PHYSICS, "--steps", "0"], "steps must be a whole number from 1 to 1,000,000"),
    (["x.png", *PHYSICS, "--steps", "ten"], "steps must be a whole number from 1 to 1,000,000, not 'ten'"),
    (["x.png", *PHYSICS, "--solver", "diffpir:steps=3"], "option steps is given twice"),
    (["x.png", *PHYSICS, "--prior", "nothing"], "nothing"),
    (["x.png", *PHYSICS, "--shape", "a,b"], "--shape: expected numbers"),
    (["x.png", *PHYSICS, "--reference", "grey.png"], "the reference may be of another image"),
    (["x.png", *PHYSICS, "--reference", "x.png", "--metrics", "fid"], "unknown metric 'fid'"),
    (["x.png", *PHYSICS, "--schedule", "edm:sigma_max=0.001"], "must exceed sigma_min"),
    (["x.png", *PHYSICS, "--device", "gpu"], "device gpu is not available"),
    (["x.png", *PHYSICS, "--resume"], "nothing to resume"),
    (["x.png", *PHYSICS, "-o", "x.png"], "x.png: would overwrite its own input"),
    (["x.png", *PHYSICS, "-o", "broken.png"], "nothing says that xhat wrote it"),
    (["x.png", *PHYSICS, "-o", "nan.npy"], "nan.npy: is a file, not a folder"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD)
def test_bad_input_is_one_line_exit_code_2_and_nothing_written(tmp_path, capsys, arguments, words):
    _files()
    before = names(tmp_path)
    at = {"--solver", "--steps", "--prior", "-o"} & set(arguments)
    defaults = [v for k, v in zip(RUN[::2], RUN[1::2], strict=True) for v in (k, v) if k not in at or k == "--steps"]
    defaults = defaults if "--steps" not in at else [v for v in defaults if v not in ("--steps", "2")]
    assert main(["restore", *defaults, *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("xhat: ")
    assert words in err
    assert err.count("\n") == 1
    assert names(tmp_path) == before


def test_bad_simulations(tmp_path, capsys):
    before = names(tmp_path)
    for arguments, words in [
        (["-o", "y.nonsense"], "written as .npz or as a picture"),
        (["-o", "y.png", "--size", "-1"], "at least 1"),
        (["-o", "y.png", "--crop-multiple", "99"], "no side of 99"),
    ]:
        assert main(["simulate", "x.png", *PHYSICS, *arguments]) == 2
        assert words in capsys.readouterr().err
    np.save("five.npy", np.zeros((5, 8, 8), np.float32))
    assert main(["simulate", "five.npy", *PHYSICS, "-o", "y.png"]) == 2
    assert "not a picture" in capsys.readouterr().err
    assert names(tmp_path) == before | {"five.npy"}


def test_bugs_keep_their_traceback(monkeypatch):
    monkeypatch.setattr(Toy, "forward", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["restore", "x.png", *PHYSICS, *RUN, "-q"])


@pytest.mark.slow
def test_a_reader_that_has_seen_enough():
    """`xhat list solvers | head -1` ends in silence."""
    command = [sys.executable, "-m", "xhat", "list", "solvers"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as run:
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 141


def test_ctrl_c_and_resume(tmp_path, capsys, monkeypatch):
    command = ["restore", "x.png", *PHYSICS, *RUN, "-q", "--samples", "2", "--depth", "16"]
    command[command.index("--steps") + 1] = "5"
    assert main(command) == 0
    whole = xhat.load_image("out/sample_001.png")
    made, forward = [0], Toy.forward

    def press(self, x, t):
        made[0] += 1
        if made[0] == 4:
            raise KeyboardInterrupt
        return forward(self, x, t)

    command[command.index("-o") + 1] = "two"
    with monkeypatch.context() as patch:
        patch.setattr(Toy, "forward", press)
        assert main(command) == 130
    assert "--resume" in capsys.readouterr().err
    assert names(tmp_path / "two") == {"checkpoint.pt"}
    assert main([*command, "--seed", "9", "--resume"]) == 2
    assert "seeds was" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert "checkpoint.pt" not in names(tmp_path / "two")
    assert torch.equal(xhat.load_image("two/sample_001.png"), whole)


def test_a_number_is_the_sigma_of_gaussian_noise_here_as_in_python(tmp_path, capsys):
    xhat.save_image(tmp_path / "x.png", torch.zeros(3, 8, 8))
    out = tmp_path / "y.npz"
    for text, sigma in (("0.05", 0.05), (".05", 0.05), ("51/255", 0.4)):
        assert main(["simulate", f"{tmp_path}/x.png", "--operator", "denoise", "--noise", text, "-o", f"{out}"]) == 0
        assert load(out).noise == f"gaussian:sigma={sigma}"
        out.unlink()
    assert main(["simulate", f"{tmp_path}/x.png", "--operator", "denoise", "--noise", "5x", "-o", f"{out}"]) == 2
    assert "--noise: expected 0.05, 12/255 or auto, not '5x'" in capsys.readouterr().err
