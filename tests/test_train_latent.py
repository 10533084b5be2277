"""Training an autoencoder and a prior for its latents."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from recipes import NETWORK
from xhat.cli.arguments import main
from xhat.priors import LatentDiffusion, build_prior
from xhat.priors.autoencoders import DiffusersAutoencoder
from xhat.rng import Rng
from xhat.train.autoencoder import AutoencoderLoss
from xhat.train.dataset import load
from xhat.train.encoded import encoded
from xhat.train.recipe import Codec, DataOptions, read_recipe

pytest.importorskip("accelerate")

CODES = """
[data]
validation = 4
flip = false
[network]
block_out_channels = [8, 8]
down_block_types = ["DownEncoderBlock2D", "DownEncoderBlock2D"]
up_block_types = ["UpDecoderBlock2D", "UpDecoderBlock2D"]
norm_num_groups = 4
latent_channels = 4
mid_block_add_attention = false
[optimiser]
batch = 4
warmup = 2
lr = 5e-3
decay = 0.0
[autoencoder]
kl = 1e-3
[watching]
steps = 3
validation = 4
samples = 4
"""
TINY = f"""
[data]
validation = 4
{NETWORK}[optimiser]
batch = 4
[watching]
validation = 3
samples = 2
sampling_steps = 2
sigmas = [0.1, 1.0]
"""


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "codes.toml").write_text(CODES)
    (tmp_path / "tiny.toml").write_text(TINY)
    ramps = np.linspace(0, 255, 8)[None, None, :, None] * np.random.default_rng(0).random((16, 1, 1, 3))
    np.savez("x.npz", x=np.broadcast_to(ramps, (16, 8, 8, 3)).astype(np.uint8))


def codes(*more: str, out: str = "codes", steps: int = 6) -> int:
    command = ["train", "autoencoder", "x.npz", "--recipe", "codes.toml", "--out", out, "--steps", str(steps)]
    return main([*command, "--device", "cpu", "-q", *more])


def log(out: str) -> list[dict]:
    return [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_an_autoencoder_and_a_prior_for_its_latents():
    assert codes("--half", steps=30) == 0
    assert log("codes")[-1]["psnr"]["0.0"] > log("codes")[0]["psnr"]["0.0"] + 3
    codec = DiffusersAutoencoder("codes")
    held = load("x.npz", DataOptions(validation=4)).validation(4)
    z = codec.encode(held)
    assert z.shape == (4, 4, 4, 4)
    torch.testing.assert_close(z.std(), torch.tensor(1.0), rtol=0.02, atol=0.0)  # scaled to that, in 16-bit weights
    torch.testing.assert_close(z.mean(), torch.tensor(0.0), rtol=0.0, atol=0.02)
    assert {"README.md", "config.json", "recipe.toml", "samples.png"} <= {p.name for p in Path("codes").iterdir()}

    command = ["train", "denoiser", "x.npz", "--recipe", "tiny.toml", "--autoencoder", "codes", "--out", "mine"]
    assert main([*command, "--steps", "3", "--device", "cpu", "-q"]) == 0
    prior = build_prior("mine", device="cpu")
    assert isinstance(prior, LatentDiffusion)
    torch.testing.assert_close(prior.autoencoder.encode(held), z, rtol=1e-3, atol=1e-3)
    assert "the latents of `codes`" in Path("mine/README.md").read_text()
    physics = ["--operator", "inpaint", "--noise", "gaussian:sigma=0.1"]
    torch.save(held[0], "y.pt")
    assert main(["restore", "y.pt", *physics, "--prior", "mine", "--steps", "3", "-o", "r", "-q"]) == 0
    assert json.loads(Path("r/record.json").read_text())["latent_shape"] == [4, 4, 4]


@pytest.mark.slow
def test_resuming_is_bitwise():
    codes(out="a")
    codes(out="b", steps=3)
    codes("--resume", out="b")
    a, b = (Path(out, "diffusion_pytorch_model.safetensors").read_bytes() for out in "ab")
    assert a == b


def test_latents_as_training_images():
    codes()
    images = load("x.npz", DataOptions(validation=4))
    data = encoded(images, "codes")
    assert data.shape == (4, 4, 4)
    a, b = (data.batch([0, 1], Rng(seeds)) for seeds in ([3, 4], [3, 5]))
    torch.testing.assert_close(a[0], b[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(data.pictures(a), data.codec.decode(a))
    assert data.std() == pytest.approx(1.0, rel=0.1)


def test_the_loss_is_the_one_it_says():
    """Against torch's own divergence of Gaussians."""
    g = torch.Generator().manual_seed(0)
    x, out = torch.randn(2, 3, 3, 8, 8, generator=g)
    mean, logvar = torch.randn(2, 3, 4, 4, 4, generator=g)

    class Fixed(torch.nn.Module):
        def forward(self, *_):
            return out, mean, logvar

    got = AutoencoderLoss(Codec(l2=0.5, kl=0.1), (4, 4, 4))(Fixed(), x, Rng([0, 1, 2]), 0.0)
    normal = torch.distributions.Normal
    divergence = torch.distributions.kl_divergence(normal(mean, (logvar / 2).exp()), normal(0.0, 1.0))
    for i in range(3):
        r = out[i] - x[i]
        torch.testing.assert_close(got[i], r.abs().mean() + 0.5 * (r**2).mean() + 0.1 * divergence[i].mean())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("network.act=silu", "network has no option act; it has down_block_types"),
        ("autoencoder.kl=-1", "kl must be a number of at least 0"),
        ("loss.kl=3", "no table loss; a recipe has network, data"),
        ("data.square=9", "multiples of 2"),
    ],
)
def test_mistakes(capsys, change, says):
    assert codes("--set", change) == 2
    assert says in capsys.readouterr().err


def test_other_recipes_are_none_for_an_autoencoder(capsys):
    assert main(["train", "autoencoder", "x.npz", "--recipe", "tiny.toml", "--out", "o", "--device", "cpu"]) == 2
    assert "it has no table autoencoder" in capsys.readouterr().err


def test_the_shipped_recipe_is_one():
    assert read_recipe("autoencoder").network["latent_channels"] == 4
