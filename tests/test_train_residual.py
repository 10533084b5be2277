"""Training the residual family: any size, resumed bit for bit, told beside the bare network; what needs diffusers."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from conftest import untried
from xhat.cli.arguments import main
from xhat.errors import SpecError
from xhat.priors import ConsistencyPrior, NetworkFolder
from xhat.priors.precondition import Karras
from xhat.rng import Rng
from xhat.schedule import Level
from xhat.train import denoiser, edm
from xhat.train.consistency import endpoint
from xhat.train.recipe import read_recipe
from xhat.train.residual import Residual

pytest.importorskip("accelerate")
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 10, 14), np.uint8)  # sides that no level of the network divides
TINY = """
[data]
validation = 3
[network]
widths = [4, 8]
blocks = [1, 1]
embedding = 8
frequencies = 4
[optimiser]
batch = 4
warmup = 2
[diffusion]
wide = 0.3
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
    Path("tiny.toml").write_text(TINY)
    np.savez("x.npz", x=PIXELS)


def train(*more: str, out: str = "out", steps: int = 6) -> int:
    command = ["train", "denoiser", "x.npz", "--recipe", "tiny.toml", "--out", out, "--steps", str(steps)]
    return main([*command, "--device", "cpu", "-q", *more])


def weights(out: str) -> dict[str, torch.Tensor]:
    return load_file(f"{out}/model.safetensors")


def test_the_default_family_makes_a_prior_of_any_size_that_is_the_network_as_trained():
    assert train("--licence", "public domain") == 0
    assert {p.name for p in Path("out").iterdir()} == {
        "README.md", "calibration.json", "checkpoint.pt", "config.json", "log.jsonl", "model.safetensors",
        "recipe.toml", "samples", "samples.png",
    }  # fmt: skip
    prior = untried("out", "cpu")
    assert isinstance(prior, NetworkFolder)
    for shape in ((1, 10, 14), (1, 33, 7)):
        prior.check(shape)
        assert prior(torch.randn(2, *shape), Level(0.0, 1.0, 0.5)).shape == (2, *shape)
    recipe = read_recipe("out/recipe.toml")
    net, recipe = Residual().start(Path("out"), recipe, (1, 10, 14))
    u, sigma = torch.randn(2, 1, 10, 14), torch.full((2,), 0.5)
    trained = edm.preconditioned(
        Residual().caller(net, recipe), u, sigma, Karras("epsilon", recipe.diffusion.sigma_data)
    )
    torch.testing.assert_close(prior(u, Level(0.0, 1.0, 0.5)), trained.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_interrupted_and_resumed_is_the_same(monkeypatch):
    assert train() == 0
    plain, calls = denoiser.EDMLoss.__call__, [0]

    def press(self, *inputs):
        calls[0] += 1
        if calls[0] == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self, *inputs)

    with monkeypatch.context() as patch:
        patch.setattr(denoiser.EDMLoss, "__call__", press)
        assert train(out="two") == 130
    assert any(not torch.equal(v, weights("out")[k]) for k, v in weights("two").items())
    assert train("--resume", out="two") == 0
    assert all(torch.equal(v, weights("out")[k]) for k, v in weights("two").items())


@pytest.mark.slow
def test_a_look_tells_the_speed_beside_the_bare_networks_and_leaves_the_training_alone():
    assert train() == 0
    assert train("--set", "watching.steps=1", out="two") == 0
    assert all(torch.equal(v, weights("out")[k]) for k, v in weights("two").items())
    looks = [json.loads(line) for line in Path("out/log.jsonl").read_text().splitlines()]
    assert all(look["bare_images_per_second"] > 0 for look in looks)
    assert "of the bare network's" in Path("out/README.md").read_text()


@pytest.mark.slow
def test_going_on_from_a_folder_starts_at_its_denoiser():
    assert train() == 0
    assert train("--init", "out", "--set", "optimiser.lr=1e-9", out="two", steps=1) == 0
    before, after = untried("out", "cpu"), untried("two", "cpu")
    x, t = torch.randn(2, 1, 10, 14), Level(0.0, 1.0, 0.5)
    torch.testing.assert_close(after(x, t), before(x, t), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_in_bfloat16_the_weights_that_are_kept_are_float32_and_learn_about_the_same():
    """Six small steps of Adam move a weight by at most 6e-3; bfloat16 changes the sign of few of its gradients."""
    assert train("--precision", "no") == 0
    assert train("--precision", "bf16", out="two") == 0
    one, two = weights("out"), weights("two")
    assert all(v.dtype == torch.float32 for v in two.values())
    assert any((v - v.bfloat16().float()).abs().max() > 0 for v in two.values())
    first, second = (torch.cat([v.flatten() for v in w.values()]) for w in (one, two))
    assert not torch.equal(first, second)
    assert (first - second).abs().max() < 12e-3
    assert (first - second).abs().mean() < 1e-3


def test_the_wide_share_of_the_levels_is_even_in_their_logarithm():
    n, low, high = 20_000, 0.002, 80.0
    base = torch.full((n,), 1e-9)
    sigma = edm.widened(base, Rng(range(n)), 0.25, low, high)
    wide = sigma[sigma != base]
    assert abs(len(wide) / n - 0.25) < 0.0125  # 4 standard errors
    place = (wide / low).log() / torch.tensor(high / low).log()
    assert 0 <= float(place.min()) <= float(place.max()) <= 1
    assert abs(float(place.mean()) - 0.5) < 0.017
    assert torch.equal(edm.widened(base, Rng([0]), 0.0, low, high), base)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--set", "network.block_out_channels=8"], "it has widths, blocks, embedding, frequencies; for a diffu"),
        (["--set", "network.family=vit"], "unknown family 'vit'; known: residual, unet"),
        (["--set", "network.widths=[4]"], "widths [4] and blocks [1, 1]: one of each is needed"),
        (["--autoencoder", "codes"], "needs network.family = unet"),
        (["--recipe", "autoencoder"], "this recipe is for an autoencoder"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_would_be_right(capsys, more, words):
    assert train(*more) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert not Path("out").exists()


@pytest.mark.parametrize("name", sorted(p.stem for p in (Path(denoiser.__file__).parent / "recipes").glob("*.toml")))
def test_every_shipped_recipe_says_its_family_and_builds(name):
    recipe = read_recipe(name)
    if recipe.autoencoder or recipe.consistency:
        return
    c = recipe.data.channels or 3
    side = recipe.data.square or recipe.data.pad or recipe.data.patch or 64
    family = denoiser.family_of(recipe)
    call = family.caller(family.build(recipe, (c, side, side)), recipe)
    with torch.no_grad():
        assert call(torch.zeros(1, c, side, side), torch.zeros(1)).shape == (1, c, side, side)


def consistency(*more: str, steps: int = 4, out: str = "cm") -> int:
    command = ["train", "consistency", "x.npz", "--from", "out", "--out", out, "--steps", str(steps)]
    return main([*command, "--device", "cpu", "-q", "--set", "data.validation=3", *more])


@pytest.mark.parametrize("method", ["ect", "cd"])
def test_a_consistency_model_is_trained_from_it_in_its_family(method):
    """It starts at the denoiser's weights, is the identity at the smallest level, and knows its denoiser."""
    assert train() == 0
    assert consistency("--set", "optimiser.lr=1e-12", "--set", f"consistency.method={method}", steps=1) == 0
    prior, teacher = untried("cm", "cpu"), untried("out:dtype=float32", "cpu")
    assert isinstance(prior, ConsistencyPrior)
    for name, w in weights("out").items():
        torch.testing.assert_close(weights("cm")[name], w, rtol=1e-4, atol=1e-6)
    u, d, e, s = torch.randn(2, 1, 10, 14), prior.unet.precondition.sigma_data, 0.002, 0.7
    assert torch.equal(prior.jump(u, Level(0.0, 1.0, e)), u)
    there = prior.denoiser(u, Level(0.0, 1.0, s))
    torch.testing.assert_close(there, teacher(u, Level(0.0, 1.0, s)), rtol=0.02, atol=0.02)  # bfloat16
    # The network's own output, from the denoiser's formula, in the consistency model's (Song et al., 2023, appendix C).
    x0 = teacher(u, Level(0.0, 1.0, s))
    raw = (x0 - d**2 / (s**2 + d**2) * u) * (s**2 + d**2) ** 0.5 / (s * d)
    f = d**2 / ((s - e) ** 2 + d**2) * u + (s - e) * d / (s**2 + d**2) ** 0.5 * raw
    torch.testing.assert_close(prior.jump(u, Level(0.0, 1.0, s)), f, rtol=1e-3, atol=1e-3)
    # What was trained is what is loaded: the same f, up to the order of a few sums in float32, with any weights.
    with torch.no_grad():
        for w in prior.unet.net.parameters():
            w.add_(0.2 * torch.randn_like(w))
    recipe = read_recipe("tiny.toml")
    recipe = replace(recipe, diffusion=replace(recipe.diffusion, sigma_data=d))
    trained = endpoint(prior.unet.net, u, torch.full((2,), s), recipe)
    torch.testing.assert_close(prior.jump(u, Level(0.0, 1.0, s)), trained, rtol=1e-4, atol=1e-5)


def test_the_layers_of_a_consistency_model_of_the_family_can_be_shifted():
    assert train() == 0
    assert consistency() == 0
    prior, u, t = untried("cm", "cpu"), torch.randn(2, 1, 10, 14), Level(0.0, 1.0, 2.0)
    assert set(prior.layers) == set(prior.sizes)
    still, values = prior.jump_through(u, t, {})
    assert torch.equal(still, prior.jump(u, t))
    for name, h in values.items():
        assert tuple(h.shape) == (2, *prior.sizes[name])
        moved, shifted = prior.jump_through(u, t, {name: torch.ones_like(h)})
        torch.testing.assert_close(shifted[name], h + 1, rtol=1e-4, atol=1e-4)
        assert (moved - still).abs().max() > 1e-4, name


def test_what_does_not_fit_a_consistency_model_of_the_family_is_named():
    assert train() == 0
    assert consistency() == 0
    with pytest.raises(SpecError, match="holds a consistency model"):
        untried("network:path=cm", "cpu")
    with pytest.raises(SpecError, match="holds a denoiser"):
        untried("consistency:path=out", "cpu")
    with pytest.raises(SpecError, match="has no classes"):
        untried("cm:label=1", "cpu")
