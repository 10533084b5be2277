"""Training: readers, the loss, exact resume, and folders that diffusers and `--prior` load."""

import copy
import gzip
import json
import math
import os
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from conftest import untried
from recipes import NETWORK
from xhat.cli.arguments import main
from xhat.errors import DataError, MismatchError
from xhat.files.folder import alone
from xhat.priors import Denoiser, DiffusersPrior
from xhat.priors.precondition import Karras
from xhat.rng import Rng
from xhat.schedule import EDM, Level
from xhat.train import consistency, edm
from xhat.train.average import Average, exponent
from xhat.train.consistency import Distillation, Tuning, endpoint, nearer
from xhat.train.dataset import Order, load, scaled, split, stream
from xhat.train.images import read_images
from xhat.train.network import build_network, retimed
from xhat.train.recipe import Consistency, DataOptions, read_recipe, with_sigma_data
from xhat.train.report import table
from xhat.train.sample import heun

pytest.importorskip("accelerate")
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)

TINY = f"""
[data]
validation = 3
{NETWORK}dropout = 0.1
[optimiser]
batch = 4
warmup = 2
[watching]
steps = 3
validation = 3
sigmas = [0.1, 1.0]
samples = 2
sampling_steps = 2
"""


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY)
    np.savez("x.npz", x=PIXELS, label=np.arange(12))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder trained in six steps."""
    root = tmp_path_factory.mktemp("trained")
    (root / "tiny.toml").write_text(TINY)
    np.savez(root / "x.npz", x=PIXELS, label=np.arange(12))
    here = Path.cwd()
    os.chdir(root)
    assert train() == 0
    os.chdir(here)
    return root / "out"


@pytest.fixture
def out(trained, _place) -> Path:
    shutil.copytree(trained, "out")
    return Path("out")


def idx(images: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{images.ndim}I", 0, 0, 8, images.ndim, *images.shape) + images.tobytes()


def train(*more: str, out: str = "out", steps: int = 6, data: str = "x.npz") -> int:
    command = ["train", "denoiser", data, "--recipe", "tiny.toml", "--out", out, "--steps", str(steps)]
    return main([*command, "--device", "cpu", "-q", *more])


def weights(out: str) -> bytes:
    return (Path(out) / "unet/diffusion_pytorch_model.safetensors").read_bytes()


# Readers


def write_folder():
    Path("d/deep").mkdir(parents=True)
    for i, x in enumerate(PIXELS):
        Image.fromarray(x).save(f"d/{'deep/' if i % 2 else ''}{i:02d}.{('png', 'webp', 'BMP')[i % 3]}", lossless=True)
    Path("d/notes.txt").write_text("no image")


def write_tar():
    write_folder()
    with tarfile.open("d.tar", "w") as archive:
        archive.add("d")


@pytest.mark.parametrize("kind", ["folder", "tar", "npz", "channels first"])
def test_readers_of_colour_images_agree(kind):
    if kind == "folder":
        write_folder()
    elif kind == "tar":
        write_tar()
    elif kind == "channels first":
        np.savez("x.npz", PIXELS.transpose(0, 3, 1, 2))
    found = read_images({"folder": "d", "tar": "d.tar"}.get(kind, "x.npz"))
    expected = {x.transpose(2, 0, 1).tobytes() for x in PIXELS}
    assert len(found) == 12
    assert {x.numpy().tobytes() for _, x in found} == expected


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(packed):
    raw = idx(PIXELS[..., 0])
    Path("x-idx3-ubyte").write_bytes(gzip.compress(raw) if packed else raw)
    found = [x for _, x in read_images("x-idx3-ubyte")]
    assert (torch.stack(found)[:, 0].numpy() == PIXELS[..., 0]).all()


def test_fashion_mnist_of_debian():
    file = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
    if not file.exists():
        pytest.skip("no package dataset-fashion-mnist")
    data = load(file, read_recipe("fashion").data)
    assert data.shape == (1, 32, 32)
    assert len(data.train) + len(data.held) == 10_000
    assert all((x[:, :2] == 0).all() and (x[:, :, -2:] == 0).all() for x in data.train)


def test_squares_padding_patches_and_colour():
    write_folder()
    Image.fromarray(PIXELS[0, :6, :, 0]).save("d/grey.png")
    with pytest.raises(DataError, match=r"grey.png is 6x8|is 8x8.*use square, pad or patch"):
        load("d", DataOptions(validation=3))
    assert load("d", DataOptions(square=6, validation=3)).shape == (3, 6, 6)
    padded = load("d", DataOptions(pad=12, validation=3, channels=1))
    assert padded.shape == (1, 12, 12)
    assert all((x[:, :2] == 0).all() for x in padded.train + padded.held)
    patches = load("d", DataOptions(patch=4, validation=3))
    assert patches.batch([0, 1], Rng([0, 1])).shape == (2, 3, 4, 4)
    assert patches.validation(9).shape == (3, 3, 4, 4)


def test_the_split_knows_pixels_not_order():
    np.savez("y.npz", PIXELS[::-1])
    one, two = load("x.npz", DataOptions(validation=3)), load("y.npz", DataOptions(validation=3))
    assert all(torch.equal(a, b) for a, b in zip(one.held, two.held, strict=True))
    assert not {x.numpy().tobytes() for x in one.held} & {x.numpy().tobytes() for x in one.train}


def test_batches_are_flips_and_patches_of_the_images_and_each_epoch_shows_all():
    data = load("x.npz", DataOptions(validation=3))
    order = Order(len(data.train), 0)
    seen = [order(i) for i in range(18)]
    assert sorted(seen[:9]) == sorted(seen[9:]) == list(range(9))
    assert seen[:9] != seen[9:]
    batch = data.batch(seen, stream(0, range(18)))
    flipped = [torch.equal(x, scaled(data.train[i]).flip(-1)) for x, i in zip(batch, seen, strict=True)]
    assert all(f or torch.equal(x, scaled(data.train[i])) for f, x, i in zip(flipped, batch, seen, strict=True))
    assert 0 < sum(flipped) < 18
    parts = [data.batch(seen[i : i + 6], stream(0, range(i, i + 6))) for i in (0, 6, 12)]
    assert torch.equal(torch.cat(parts), batch)


# Errors


def corrupt_folder():
    write_folder()
    Path("d/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nxx")


def corrupt_tar():
    corrupt_folder()
    with tarfile.open("d.tar", "w") as archive:
        archive.add("d")


def truncated_idx():
    Path("x.idx").write_bytes(idx(PIXELS[..., 0])[:-5])


def foreign():
    Path("x.idx").write_bytes(b"hello, world")


def two_arrays():
    np.savez("two.npz", a=PIXELS, b=PIXELS)


def empty():
    Path("d").mkdir()
    Path("d/notes.txt").write_text("no image")


BAD = [
    (empty, "d", [], "d: holds no images; pictures end in"),
    (corrupt_folder, "d", [], "broken.png: cannot be read"),
    (corrupt_tar, "d.tar", [], "d.tar/d/broken.png: cannot be read"),
    (truncated_idx, "x.idx", [], "truncated?"),
    (foreign, "x.idx", [], "x.idx: is neither a folder nor a tar, .npz or IDX file"),
    (two_arrays, "two.npz", [], "needs one uint8 array"),
    (None, "missing", [], "missing: no such file or folder"),
    (
        None,
        "x.npz",
        ["--set", "data.validation=12"],
        "leaves none to train on; --set data.validation=1 holds out a tenth",
    ),
    (None, "x.npz", ["--set", "data.pad=7"], "x.npz[0]: 8x8 is larger than pad = 7"),
    (None, "x.npz", ["--set", "data.patch=9"], "x.npz[0]: 8x8 is smaller than patch = 9"),
    (None, "x.npz", ["--set", "data.patch=5"], "multiples of 2, the images are 5x5"),
    (None, "x.npz", ["--set", "data.pads=7"], "data has no option pads; it has square, pad, patch, channels"),
    (None, "x.npz", ["--set", "dates.pad=7"], "no table dates; a recipe has network, data, optimiser"),
    (None, "x.npz", ["--set", "network.channels=7"], "network has no option channels; it has center_input_sample"),
    (None, "x.npz", ["--set", "optimiser.lr=fast"], "lr must be a number above 0, not 'fast'"),
    (None, "x.npz", ["--set", "optimiser.lr"], "expected table.key=value"),
    (None, "x.npz", ["--recipe", "none"], "no recipe none; choose from "),
    (None, "x.npz", ["--steps", "-1"], "steps must be a whole number of at least 1 and at most 1000000000, not -1"),
    (None, "x.npz", ["--resume"], "nothing to resume"),
    (None, "x.npz", ["--init", "nowhere"], "nowhere is not a folder"),
    (None, "x.npz", ["--precision", "int8"], "precision must be no, bf16 or fp16, not 'int8'"),
]


@pytest.mark.parametrize(("make", "data", "more", "words"), BAD)
def test_a_mistake_is_one_line_and_exit_code_2(capsys, tmp_path, make, data, more, words):
    if make:
        make()
    assert train(*more, data=data) == 2
    err = capsys.readouterr().err
    assert err.startswith("xhat: ")
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


# Loss


def test_the_loss_is_the_weighted_error_and_the_exact_denoiser_attains_the_known_minimum():
    """For x₀ ~ N(0, s²) the minimum at σ is λ(σ) s²σ²/(s²+σ²); with s = σ_data that is 1 on every level."""
    s, d, n = 0.8, 0.5, 200_000
    karras = Karras("epsilon", d)
    for sigma in (0.05, 0.5, 5.0):
        level = torch.full((1,), sigma, dtype=torch.float64)
        x0 = s * torch.randn(1, 1, 1, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        noise = torch.randn(1, 1, 1, n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        c = karras(sigma)

        def exact(scaled, _, sigma=sigma, c=c):
            u = scaled / c.into
            return (s**2 / (s**2 + sigma**2) * u - c.skip * u) / c.out

        found = float(edm.loss(exact, x0, level, noise, karras))
        u = x0 + sigma * noise
        error = float((s**2 / (s**2 + sigma**2) * u - x0).square().mean())
        assert math.isclose(found, edm.weighted(error, sigma, d), rel_tol=1e-9)
        minimum = edm.weighted(s**2 * sigma**2 / (s**2 + sigma**2), sigma, d)
        assert math.isclose(found, minimum, rel_tol=0.02)  # 2e5 squares: 0.3 % standard error
        assert math.isclose(edm.weighted(d**2 * sigma**2 / (d**2 + sigma**2), sigma, d), 1.0, rel_tol=1e-12)


def test_levels_are_log_normal():
    sigma = edm.draw_sigma(stream(0, range(4000)), 4000, -1.0, 1.5).log()
    assert abs(float(sigma.mean()) + 1.0) < 0.1  # 4 standard errors
    assert abs(float(sigma.std()) - 1.5) < 0.07


def test_the_average_weighs_step_t_with_a_power_of_t():
    net = torch.nn.Linear(1, 1, bias=False).double()
    average = Average(net, 0.1)
    values = torch.linspace(-1, 2, 50, dtype=torch.float64)
    for step, v in enumerate(values, 1):
        net.weight.data.fill_(v)
        average.update(net, step)
    t = torch.arange(51, dtype=torch.float64)
    part = torch.ones(50, dtype=torch.float64)
    for i in range(50):  # the weight of step i + 1: its own (1 − β), then every later β
        betas = (1 - 1 / t[i + 2 :]) ** (average.gamma + 1)
        part[i] = (1 - (1 - 1 / t[i + 1]) ** (average.gamma + 1)) * betas.prod()
    torch.testing.assert_close(average.weights["weight"][0, 0], (part * values).sum())
    assert math.isclose(float(part.sum()), 1.0, rel_tol=1e-12)
    mean = float((part * t[1:]).sum()) / 50
    width = math.sqrt(float((part * (t[1:] / 50 - mean) ** 2).sum()))
    assert abs(width - 0.1) < 0.01  # 50 steps for a continuum
    assert math.isclose(exponent(0.1), 6.94, abs_tol=0.01)  # the paper's pair


# Runs


@pytest.mark.slow
def test_a_run_repeats_itself_and_is_not_overwritten(capsys, out):
    assert [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()] == [3, 6]
    assert train("--set", "watching.minutes=9", out="two") == 0
    assert weights("two") == weights("out")
    assert train() == 2
    assert "holds a training run" in capsys.readouterr().err


@pytest.mark.usefixtures("out")
@pytest.mark.slow
def test_two_processes_share_a_batch_and_agree_with_one():
    """Their gradients are the same but for the order of a sum: 1e-6 is some roundings of weights up to 1."""
    command = ["train", "denoiser", "x.npz", "--recipe", "tiny.toml", "--out", "two", "--steps", "6", "--device", "cpu"]
    run = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        "-m",
        "xhat",
        *command,
        "-q",
    ]
    subprocess.run([*run, "--set", "network.dropout=0"], check=True, capture_output=True)
    assert train("--set", "network.dropout=0", out="one") == 0
    one, two, before = (load_file(f"{d}/unet/diffusion_pytorch_model.safetensors") for d in ("one", "two", "out"))
    assert all((one[k] - two[k]).abs().max() < 1e-6 for k in one)
    assert any((one[k] - before[k]).abs().max() > 1e-5 for k in one)


@pytest.mark.slow
@pytest.mark.usefixtures("out")
def test_interrupted_and_resumed_is_the_same(capsys, monkeypatch):
    from xhat.train import denoiser

    plain = denoiser.EDMLoss.__call__
    calls = [0]

    def press(self, *inputs):
        calls[0] += 1
        if calls[0] == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self, *inputs)

    with monkeypatch.context() as patch:
        patch.setattr(denoiser.EDMLoss, "__call__", press)
        assert train(out="two") == 130
    assert "--resume" in capsys.readouterr().err
    assert [json.loads(line)["step"] for line in Path("two/log.jsonl").read_text().splitlines()] == [3, 4]
    assert weights("two") != weights("out")
    assert train("--resume", "--set", "optimiser.lr=0.1", out="two") == 2
    assert "cannot resume another training: optimiser was" in capsys.readouterr().err
    assert train("--resume", out="two") == 0
    assert weights("two") == weights("out")
    assert Path("two/log.jsonl").read_text().count("\n") == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "culprit"),
    [("image", "images"), ("code", "code"), ("torch", "torch"), (["--precision", "bf16"], "precision"),
     (["--set", "optimiser.seed=9"], "optimiser"), (["--set", "network.dropout=0"], "network")],
)  # fmt: skip
def test_resuming_another_training_is_refused(capsys, monkeypatch, change, culprit):
    """Whatever decides the weights is compared: an image that is not held out, too, and what is computed with it."""
    from xhat.train import session

    assert train(steps=3) == 0
    if change == "image":
        held = {x.numpy().tobytes() for x in load("x.npz", DataOptions(validation=3)).held}
        others = [i for i, x in enumerate(PIXELS) if x.transpose(2, 0, 1).tobytes() not in held]
        changed = PIXELS.copy()
        changed[others[0], 0, 0, 0] ^= 1
        np.savez("x.npz", x=changed, label=np.arange(12))
        after = load("x.npz", DataOptions(validation=3)).held
        assert held == {x.numpy().tobytes() for x in after}, "only an image to train on has changed"
    if change == "code":
        monkeypatch.setattr(session.CODE, "fingerprint", lambda *_: "0" * 16)
    if change == "torch":
        monkeypatch.setattr(session, "versions", lambda: {"torch": "0.0", "xhat": "0"})
    before = Path("out/checkpoint.pt").read_bytes()
    capsys.readouterr()
    assert train("--resume", *(change if isinstance(change, list) else []), steps=6) == 2
    assert f"cannot resume another training: {culprit} was" in capsys.readouterr().err
    assert Path("out/checkpoint.pt").read_bytes() == before


@pytest.mark.slow
def test_one_folder_one_training(capsys):
    with ThreadPoolExecutor(1) as other, ExitStack() as stack:
        other.submit(stack.enter_context, alone(Path("out"))).result()
        assert train() == 2
        assert "another run writes into it" in capsys.readouterr().err
        other.submit(stack.close).result()
    assert train() == 0


@pytest.mark.slow
def test_a_time_limit_ends_the_run():
    command = ["train", "denoiser", "x.npz", "--recipe", "tiny.toml", "--out", "out", "--minutes", "0.02", "-q"]
    assert main([*command, "--device", "cpu", "--set", "watching.steps=0"]) == 0
    last = json.loads(Path("out/log.jsonl").read_text().splitlines()[-1])
    assert 0.02 <= last["minutes"] < 0.2
    assert last["step"] >= 1


@pytest.mark.slow
def test_the_folder_is_whole_and_loads_in_diffusers_and_here():
    assert train("--half", "--set", "network.pixel_unshuffle=2", "--licence", "public domain") == 0
    assert {p.name for p in Path("out").iterdir()} == {
        "README.md", "calibration.json", "checkpoint.pt", "log.jsonl", "recipe.toml", "samples", "samples.png",
        "scheduler", "unet", "xhat.json",
    }  # fmt: skip
    card = Path("out/README.md").read_text()
    assert "public domain" in card
    assert "9 for training, 3 held out" in card
    prior = untried("out", "cpu")
    assert isinstance(prior, DiffusersPrior)
    assert prior.mse(Level(0.0, 1.0, 0.3)) is not None
    prior.check((3, 8, 8))
    with pytest.raises(MismatchError, match=r"\(3, 8, 8\)"):
        prior.check((3, 16, 16))
    assert read_recipe("out/recipe.toml").diffusion.sigma_data > 0


def test_diffusers_own_scheduler_samples_what_our_euler_does(out):
    from diffusers import EDMEulerScheduler, UNet2DModel

    net, scheduler = UNet2DModel.from_pretrained("out/unet"), EDMEulerScheduler.from_pretrained("out/scheduler")
    prior = untried("out", "cpu")
    scheduler.set_timesteps(5)
    noise = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    theirs = noise * scheduler.init_noise_sigma
    ours, sigmas = theirs.clone(), scheduler.sigmas.double().tolist()
    with torch.no_grad():
        for i, t in enumerate(scheduler.timesteps):
            out = net(scheduler.scale_model_input(theirs, t), t, return_dict=False)[0]
            theirs = scheduler.step(out, t, theirs, return_dict=False)[0]
            x0 = prior(ours, Level(0.0, 1.0, sigmas[i]))
            ours = ours + (sigmas[i + 1] - sigmas[i]) / sigmas[i] * (ours - x0)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_the_cards_table_has_the_first_look_the_last_and_no_gap_it_need_not_have():
    curve = [{"images": i, "minutes": float(i), "psnr": {"1.0": 20.0}} for i in range(30)]
    rows = lambda n: [int(line.split("|")[1]) for line in table(curve[:n]).splitlines()[2:]]
    assert rows(1) == [0]
    assert rows(5) == [0, 1, 2, 3, 4]
    assert len(rows(30)) == 8
    assert (rows(30)[0], rows(30)[-1]) == (0, 29)


@pytest.mark.usefixtures("out")
def test_going_on_from_a_folder_starts_at_its_denoiser():
    before = untried("out", "cpu")
    assert train("--init", "out", "--set", "optimiser.lr=1e-9", out="two", steps=1) == 0
    after = untried("two", "cpu")
    x, t = torch.randn(2, 3, 8, 8), Level(0.0, 1.0, 0.5)
    torch.testing.assert_close(after(x, t), before(x, t), rtol=1e-4, atol=1e-4)
    assert after.precondition == before.precondition


def test_heun_solves_the_flow_of_a_gaussian():
    """For N(0, s²) the flow is x_σ = x_T √((s²+σ²)/(s²+T²)) exactly."""
    s = 0.5
    prior, schedule = Denoiser(lambda x, sigma: x * s**2 / (s**2 + sigma**2)), EDM(0.01, 10.0)
    noise = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    exact = 10.0 * noise * s / math.sqrt(s**2 + 100)
    errors = [float((heun(prior, noise, schedule, n) - exact).abs().max()) for n in (20, 40)]
    assert errors[1] < 0.01
    assert 3 < errors[0] / errors[1] < 5  # second order


# Consistency models


def test_a_network_told_another_time_is_the_same_function(recipe):
    net = build_network(recipe, (3, 8, 8)).eval()
    again = retimed(copy.deepcopy(net), recipe.diffusion)
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        for sigma in (0.002, 0.1, 1.0, 80.0):
            c = math.log(sigma) / 4
            one, two = (f(x, torch.full((2,), t), return_dict=False)[0] for f, t in ((net, c), (again, 1000 * c)))
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3 * float(one.abs().max()))


@pytest.fixture
def recipe():
    return with_sigma_data(read_recipe("tiny.toml"), 0.5)


def test_at_the_smallest_level_the_consistency_function_is_the_identity(recipe):
    net, u = build_network(recipe, (3, 8, 8)), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(endpoint(net, u, torch.full((2,), 0.002), recipe), u)
        assert not torch.allclose(endpoint(net, u, torch.full((2,), 0.2), recipe), u, atol=0.01)


def test_the_distance_of_tuning_shrinks_to_none_and_keeps_above_the_floor():
    t, o = torch.tensor([0.004, 0.1, 1.0, 80.0]), Consistency(stages=8)
    gaps = [1 - nearer(t, done, o, 0.002) / t for done in (0.0, 0.3, 0.6, 0.99, 1.0)]
    assert all((a >= b - 1e-7).all() for a, b in pairwise(gaps))  # never grows
    assert all((nearer(t, d, o, 0.002) >= 0.002).all() for d in (0.0, 0.5, 1.0))
    torch.testing.assert_close(gaps[-1][3:], torch.tensor([1 / 256]), rtol=1e-2, atol=0)  # n(80) = 1, q^8 = 256
    torch.testing.assert_close(gaps[-1][2:3], (1 + 8 * torch.sigmoid(torch.tensor([-1.0]))) / 256, rtol=1e-3, atol=0)


class Scalar(torch.nn.Module):
    """F(c_in u, time) = g(time) c_in u for images of one pixel: every linear flow is of this form."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.g = torch.nn.Sequential(torch.nn.Linear(1, 64), torch.nn.SiLU(), torch.nn.Linear(64, 1))
        torch.nn.init.zeros_(self.g[2].weight)

    def forward(self, x, when, return_dict=False):
        return (self.g(when[:, None] / 500)[..., None, None] * x,)


@pytest.mark.parametrize("method", ["cd", "ect"])
@pytest.mark.slow
def test_a_gaussian_is_carried_to_the_end_of_its_flow(recipe, method):
    """N(0, s²): the flow from (u, σ) ends in u √((s² + ε²)/(s² + σ²)); the loss is minimal there, and reached."""
    s, o = 0.5, Consistency(method=method, huber=1e-3, levels=18, stages=6, mu=0.5)
    net, b = Scalar(), 24
    exact = lambda u, sigma: u * (s**2 / (s**2 + sigma**2))[:, None, None, None]
    objective = Tuning(recipe, o) if method == "ect" else Distillation(recipe, o, exact, net)
    steps, lr = (800, 4e-3) if method == "ect" else (600, 2e-2)
    adam = torch.optim.Adam(net.parameters(), lr)
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = lr * min(1.0, 2 - 2 * step / steps)
        x0 = s * torch.randn(b, 1, 1, 1, generator=torch.Generator().manual_seed(step + 10**6))
        objective(net, x0, Rng(range(b * step, b * (step + 1))), step / steps).mean().backward()
        adam.step()
        adam.zero_grad()
        objective.after(net)
    found = {}
    for sigma in (0.1, 0.5, 2.0, 20.0, 80.0):
        u = torch.full((1, 1, 1, 1), math.hypot(s, sigma))
        found[sigma] = float(endpoint(net, u, torch.tensor([sigma]), recipe).detach()) / s
    assert all(abs(v - 1) < 0.1 for v in found.values()), found  # E[x0|u] has 0.006 at 80; 18 levels err by 0.07 at 0.1


def tune(*more: str, out: str = "cm", steps: int = 6, data: tuple[str, ...] = ("x.npz",)) -> int:
    fast = [f"watching.{k}" for k in ("steps=3", "samples=2", "sampling_steps=2")]
    command = ["train", "consistency", *data, "--from", "out", "--out", out, "--steps", str(steps), "--device", "cpu"]
    return main([*command, "-q", *(a for k in [*fast, "optimiser.batch=4"] for a in ("--set", k)), *more])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ect", "cd"])
@pytest.mark.usefixtures("out")
def test_a_consistency_folder_is_a_pipeline_of_diffusers_and_a_prior_here(method):
    from diffusers import ConsistencyModelPipeline

    assert tune("--set", f"consistency.method={method}", "--half") == 0
    pipe = ConsistencyModelPipeline.from_pretrained("cm")
    pipe.set_progress_bar_config(disable=True)
    theirs = pipe(batch_size=2, generator=torch.Generator().manual_seed(1), output_type="pt").images * 2 - 1
    noise = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    prior = untried("cm", "cpu")
    ours = prior.jump(80.0 * noise, Level(0.0, 1.0, 80.0))
    torch.testing.assert_close(ours.clamp(-1, 1), theirs, rtol=1e-4, atol=1e-4)
    x, t = torch.randn(2, 3, 8, 8), Level(0.0, 1.0, 0.5)
    assert torch.equal(prior(x, t), untried("out", "cpu")(x, t))  # its denoiser is the teacher
    last = json.loads(Path("cm/log.jsonl").read_text().splitlines()[-1])
    assert list(last["psnr"]) == ["0.05", "0.1", "0.2", "0.5", "1.0", "3.0", "80.0"]


@pytest.mark.usefixtures("out")
def test_a_denoiser_elsewhere_is_refused_before_a_step_is_taken(capsys):
    """The finished folder could not name it: such a run once failed at its first look."""
    assert tune(out="elsewhere/cm") == 2
    assert "choose --out cm, or copy out to elsewhere/out first" in capsys.readouterr().err
    assert not Path("elsewhere").exists()


@pytest.mark.parametrize("method", ["ect", "cd"])
@pytest.mark.usefixtures("out")
@pytest.mark.slow
def test_an_interrupted_consistency_model_goes_on_bit_for_bit(monkeypatch, method):
    how = ["--set", f"consistency.method={method}"]
    assert tune(*how) == 0
    kind = consistency.Tuning if method == "ect" else consistency.Distillation
    plain, calls = kind.__call__, [0]

    def press(self, *inputs):
        calls[0] += 1
        if calls[0] == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self, *inputs)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "__call__", press)
        assert tune(*how, out="two") == 130
    assert tune(*how, "--resume", out="two") == 0
    assert weights("two") == weights("cm")


@pytest.mark.slow
@pytest.mark.usefixtures("out")
def test_without_images_the_denoiser_draws_them(capsys):
    assert tune("--set", "consistency.drawn=16", data=()) == 0
    assert "samples of the denoiser" in Path("cm/README.md").read_text()
    assert tune("--set", "consistency.method=none", out="two") == 2
    assert "method must be one of ect, cd" in capsys.readouterr().err


def test_a_folder_too_small_for_what_is_held_out_is_told_how_to_go_on():
    images = [torch.full((1, 4, 4), float(k)) for k in range(30)]
    with pytest.warns(UserWarning, match=r"16 of 30 images are held out, 14 are left .* data\.validation=3 holds"):
        held, rest = split(images, 16)
    assert (len(held), len(rest)) == (16, 14)
