"""What people give in Python works like what it stands for, or is refused in a sentence that says what to give."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import xhat
from pipelines import scheduler, unet
from xhat.errors import DataError, MismatchError, SpecError
from xhat.priors import GivenNetwork, build_prior
from xhat.schedule import Discrete, Level
from xhat.solvers import SOLVERS

Y = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1)) - 0.5
QUICK = {"operator": "denoise", "noise": "gaussian:sigma=0.1", "device": "cpu"}


def white(x: Tensor, sigma: float) -> Tensor:
    return x / (1 + sigma**2)


def restore(y=Y, **changes):
    return xhat.restore(y, **{"prior": white, "solver": "lmaps:steps=2", **QUICK, **changes})


@pytest.mark.parametrize("given", [0.1, np.float32(0.1), np.array(0.1), torch.tensor(0.1), xhat.Gaussian(0.1)])
def test_a_number_is_the_sigma_of_gaussian_noise(given):
    r = restore(noise=given)
    assert r.record["noise"].startswith("gaussian:sigma=0.1")
    assert torch.allclose(r.images, restore().images, atol=1e-6)


def test_no_noise_is_0_and_a_class_has_its_defaults():
    assert restore(noise=0).record["noise"] == restore(noise="noiseless").record["noise"]
    assert restore(noise=xhat.Gaussian).record["noise"] == restore(noise="gaussian").record["noise"]
    assert xhat.simulate(Y, "denoise", 0.1, seed=3).y.equal(xhat.simulate(Y, "denoise", "gaussian:sigma=0.1", 3).y)


def test_a_solver_is_a_class_or_a_path(tmp_path):
    assert torch.equal(restore(solver=SOLVERS["ddnm"]).images, restore(solver="ddnm").images)
    (tmp_path / "s.toml").write_text('solvers = ["lmaps:steps=2"]')
    assert torch.equal(restore(solver=tmp_path / "s.toml").images, restore().images)


@pytest.mark.parametrize(
    ("part", "given", "says"),
    [
        ("noise", [0.1, 0.2], "a noise is a number .* not list"),
        ("noise", True, "a noise is a number .* not bool"),
        ("solver", 50, "a solver is a spec string .* not int"),
        ("solver", dict, "a solver is .* not the class dict"),
        ("prior", 3, "a prior is a spec string .* not int"),
        ("prior", xhat.Denoiser, "a prior is .* not the class Denoiser"),
    ],
)
def test_what_is_no_part_is_refused_with_what_would_be_one(part, given, says):
    with pytest.raises(SpecError, match=says):
        restore(**{part: given})


def test_a_hub_id_says_how_to_download():
    with pytest.raises(DataError, match=r"`hf download google/ddpm-celebahq-256 --local-dir ddpm-celebahq-256`"):
        build_prior("google/ddpm-celebahq-256:dtype=float32", "cpu")


# Networks in memory


def pipeline(**changes):
    from diffusers import DDIMPipeline

    return DDIMPipeline(unet(**changes), scheduler())


def untried(given):
    """The prior of a random network, which denoises nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GivenNetwork, "trial", False)
        patch.setattr("xhat.priors.tried", lambda prior: None)
        return build_prior(given, "cpu")


@pytest.mark.parametrize("time", ["positional", "learned"])
def test_a_pipeline_in_memory_is_the_folder_that_it_is_saved_as(tmp_path, time):
    changes = {} if time == "positional" else {"time_embedding_type": "learned", "num_train_timesteps": 100}
    pipe = pipeline(**changes)
    pipe.save_pretrained(tmp_path)
    memory = untried(pipe)
    for folder in (tmp_path, str(tmp_path)):
        saved = untried(folder)
        assert saved.schedule == memory.schedule
        for t in (0.1, 0.77, 1.0):
            level = memory.schedule(t)
            u = torch.randn(2, 3, 11, 13, generator=torch.Generator().manual_seed(2))
            assert torch.equal(memory(u, level), saved(u, level))


def test_a_random_network_in_memory_is_refused(caplog):
    from diffusers import DDPMPipeline

    for given in (pipeline(), DDPMPipeline(unet(), scheduler("DDPMScheduler")), unet()):
        with pytest.raises(MismatchError, match="GivenNetwork does not denoise as it should"):
            restore(prior=given)
    assert "took the linear table of DDPM" in caplog.text


def test_pipelines_that_a_folder_says_better_are_refused():
    pipe = pipeline(num_class_embeds=5)
    with pytest.raises(SpecError, match=r"network with classes in memory .*prior='FOLDER:label=1'"):
        build_prior(pipe, "cpu")
    pipe = pipeline()
    pipe.vae = nn.Identity()
    with pytest.raises(SpecError, match=r"DDIMPipeline in memory is not taken: save it with save_pretrained\(FOLDER\)"):
        build_prior(pipe, "cpu")


PHOTO = build_prior("photo:dtype=float32", "cpu")
TABLE = Discrete()
ABAR = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)


class Eps(nn.Module):
    """The photo prior as a network of the noise in whole time steps of DDPM's table."""

    def __init__(self, output: str = "epsilon") -> None:
        super().__init__()
        self.conv, self.output = nn.Conv2d(3, 3, 1), output

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        assert t.dtype == torch.long
        abar = float(ABAR[int(t[0])])
        rho = ((1 - abar) / abar) ** 0.5
        x0 = PHOTO(x / abar**0.5, Level(0.5, 1.0, rho))
        eps = (x / abar**0.5 - x0) / rho
        return eps if self.output == "epsilon" else torch.cat([abar**0.5 * eps - (1 - abar) ** 0.5 * x0] * 2, 1)


def test_a_network_of_the_noise_becomes_the_denoiser_that_it_is():
    prior = xhat.Denoiser.from_eps(Eps(), ABAR)
    assert prior.schedule(1.0).ratio == pytest.approx(TABLE(1.0).ratio, rel=1e-9)
    for step in (20, 400, 900):
        level = TABLE((step + 1) / 1000)
        x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(4)) * level.norm
        # ρ is computed twice in float64 and the network runs in float32, on numbers of the size of ρ
        assert torch.allclose(prior(x, level), PHOTO(x, level), atol=1e-4 * max(1, level.ratio))
    v = xhat.Denoiser.from_eps(Eps("v_prediction"), ABAR.tolist(), prediction="v_prediction", channels=3)
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    assert torch.allclose(v(x, TABLE(0.4)), PHOTO(x, TABLE(0.4)), atol=1e-3)


@pytest.mark.slow
def test_it_is_tried_when_it_is_used_and_the_right_convention_is_named():
    r = restore(prior=xhat.Denoiser.from_eps(Eps(), ABAR))
    assert r.record["prior_sha256"]
    with pytest.raises(MismatchError, match="it denoises if prediction=v_prediction"):
        restore(prior=xhat.Denoiser.from_eps(Eps("v_prediction"), ABAR))
    cosine = torch.tensor([1 / (1 + r**2) for r in Discrete("squaredcos_cap_v2").ratios[1:]], dtype=torch.float64)
    with pytest.raises(MismatchError, match="its noise schedule is linear"):
        restore(prior=xhat.Denoiser.from_eps(Eps(), cosine))
    restore(prior=xhat.Denoiser.from_eps(Eps("v_prediction"), ABAR, trial=False))


def test_a_network_that_does_not_denoise_is_no_denoiser():
    class Zero(nn.Module):
        def forward(self, x, t):
            return 0 * x

    with pytest.raises(MismatchError, match=r"Denoiser.from_eps\(net, alphas_cumprod\)"):
        restore(prior=Zero())
    restore(prior=xhat.Denoiser(Zero(), trial=False))
    restore(prior=lambda x, s: 0 * x)  # a function may model anything


@pytest.mark.parametrize("table", [[0.5], [0.9, 0.95], [1.0, 0.5], [0.5, -0.1], [0.5, float("nan")]])
def test_a_table_that_does_not_fall_is_refused(table):
    with pytest.raises(SpecError, match="must be a table of at least 2 numbers that fall"):
        xhat.Denoiser.from_eps(Eps(), table)


def test_a_network_that_hides_its_channels_or_returns_no_image_is_refused():
    with pytest.raises(SpecError, match="give channels=3"):
        xhat.Denoiser.from_eps(lambda x, t: x, ABAR)
    with pytest.raises(MismatchError, match=r"the network returns \(1, 3, 4, 4\) for images of shape \(1, 3, 16, 16\)"):
        restore(prior=xhat.Denoiser.from_eps(lambda x, t: x[..., :4, :4], ABAR, channels=3, trial=False))
