"""The priors that ship: small, with a card whose figures hold, and in a layout that is read without code."""

from pathlib import Path

import pytest
import torch

import xhat
from xhat.bench.images import open_images
from xhat.metrics.pixels import decibels
from xhat.priors import build_prior
from xhat.priors.calibrate import measure
from xhat.schedule import Level
from xhat.train.recipe import read_recipe

PRIORS = Path(xhat.__file__).parent / "priors"
CARDS = sorted(str(p.parent.relative_to(PRIORS)) for p in PRIORS.rglob("README.md"))
HELD = {  # (data in shared/data, recipe): the images that training held out
    "nuclei": ("nuclei_128.npz", "nuclei"),
    "brain": ("brain_128.npz", "brain"),
    "faces/denoiser": ("faces_train.tar", "faces"),
}
# networks of generated pictures, and what they are of
GENERATED = {"blackhole_net": "blackhole", "velocity_net": "velocity", "vorticity_net": "vorticity"}


def test_all_weights_together_are_small():
    sizes = [p.stat().st_size for p in PRIORS.rglob("*.safetensors")]
    assert len(sizes) == len(CARDS)
    assert sum(sizes) < 45e6  # what a wheel may weigh


@pytest.mark.parametrize("name", CARDS)
def test_a_card_says_what_was_trained_and_how(name):
    folder = PRIORS / name
    card = (folder / "README.md").read_text(encoding="utf-8")
    for word in ("| data |", "PSNR", "minutes", "arXiv:"):
        assert word in card, word
    clone = Path(__file__).parents[1] / "src" / "xhat" / "priors"  # a wheel has no sheets of samples
    assert (clone / name / "samples.png").exists() == ("samples.png" in card)
    assert ("licence" in card) or "non-commercial" in card
    recipe = folder / "recipe.toml"  # of `xhat train`; other cards tell the program and its options
    assert (recipe.read_text(encoding="utf-8").strip() in card) if recipe.exists() else "train.py" in card


@pytest.mark.parametrize("name", HELD)
@pytest.mark.slow
def test_the_figures_of_a_card_are_measured_again(name, shared):
    """The last row of the card's table, on the images that training held out. 0.01 dB is their rounding."""
    check_figures(name, held_out(name, shared))


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.slow
def test_the_figures_of_a_network_of_generated_pictures_are_measured_again(name):
    check_figures(name, generated(name))


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.slow
def test_a_network_of_generated_pictures_denoises_better_than_the_mixture_of_them(name):
    """At every level, on pictures of a seed that neither was fitted to."""
    levels = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0)
    net, mixture = (measure(build_prior(p, "cpu"), generated(name), levels).mse for p in (name, GENERATED[name]))
    assert (torch.tensor(net) < torch.tensor(mixture)).all(), (net, mixture)


def generated(name: str) -> torch.Tensor:
    """256 pictures of the kind that the network knows, (256, 1, 64, 64), of the seed held out."""
    images = open_images(f"generated:what={GENERATED[name]},count=256,seed=2")
    return torch.stack([images.load(n) for n in images.names()])


def held_out(name: str, shared: Path) -> torch.Tensor:
    """The images that the training of a prior held out and its card is about, (n, c, h, w)."""
    data, recipe = HELD[name]
    images = open_images(f"held:path={shared / 'data' / data},recipe={recipe}")
    return torch.stack([images.load(n) for n in images.names()[: read_recipe(recipe, []).watching.validation]])


def check_figures(name: str, x: torch.Tensor) -> None:
    """Compares the last row of the card's table with what the prior does to `x`."""
    card = (PRIORS / name / "README.md").read_text(encoding="utf-8").splitlines()
    head = next(i for i, line in enumerate(card) if line.startswith("| images seen"))
    last = next(i for i in range(head, len(card)) if not card[i].startswith("|")) - 1
    sigmas = [float(cell.removeprefix(" s = ")) for cell in card[head].split("|")[3:-1]]
    stated = [float(cell) for cell in card[last].split("|")[3:-1]]
    found = measure(build_prior(str(PRIORS / name), "cpu"), x, tuple(sigmas))
    measured = torch.tensor([decibels(e) for e in found.mse])
    torch.testing.assert_close(measured, torch.tensor(stated), atol=0.01, rtol=0)


@pytest.mark.parametrize("spec", ["nuclei", "brain", "velocity_net"])
def test_a_prior_of_a_science_takes_any_size(spec):
    """A slice of 320 x 320 and an odd size: what is left of noise of 0.2 on a smooth spot is less than a quarter."""
    prior = build_prior(spec, "cpu")
    for h, w in ((320, 320), (75, 130)):
        y, x = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
        spot = (1.5 * torch.exp(-4 * (x**2 + y**2)) - 1)[None, None]
        noise = 0.2 * torch.randn(spot.shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            left = prior(spot + noise, Level(0.0, 1.0, 0.2)) - spot
        assert left.std() < 0.05
