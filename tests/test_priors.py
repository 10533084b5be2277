"""Laws of priors, their files against the diffusers library, and the exact ones against calculus."""

import json
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

import xhat
from conftest import untried
from xhat.cli.arguments import main
from xhat.errors import DataError, MismatchError, SpecError
from xhat.numerics.linalg import sq
from xhat.priors import PRIORS, DiffusersPrior, GaussianPrior, MixturePrior, NetworkFolder, Prior
from xhat.priors.calibrate import Calibration, measure, spaced
from xhat.priors.pixel import mirror, pad
from xhat.rng import Rng
from xhat.schedule import EDM, Discrete, Level
from xhat.testing import PRIOR_LAWS
from xhat.transition import renoise


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def level(ratio: float, alpha: float = 1.0) -> Level:
    return Level(0.5, alpha, alpha * ratio)


def unet(channels: int = 3, out: int | None = None, **changes: object):
    """A tiny random UNet2DModel."""
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    size = {"sample_size": 16, "block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
    return UNet2DModel(in_channels=channels, out_channels=out or channels, **blocks, **size, **changes).eval()


def save(root: Path, net, scheduler, **extra: object) -> Path:
    net.save_pretrained(root / "unet")
    scheduler.save_pretrained(root / "scheduler")
    if extra:
        (root / "xhat.json").write_text(json.dumps(extra))
    return root


def ddpm(**config: object):
    from diffusers import DDPMScheduler

    return DDPMScheduler(**{"num_train_timesteps": 100, "clip_sample": False, **config})


@pytest.fixture(scope="session")
def photo() -> Prior:
    return untried("photo", device="cpu")


@pytest.fixture(scope="session")
def vp(tmp_path_factory: pytest.TempPathFactory) -> Prior:
    folder = save(tmp_path_factory.mktemp("vp"), unet(), ddpm())
    return untried(f"diffusers:path={folder}", device="cpu")


SHAPES = {"photo": (3, 37, 50), "vp": (3, 16, 18), "gaussian": (3, 4, 5), "mixture": (2, 3, 4)}


@pytest.fixture(params=sorted(SHAPES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def prior(name: str, request: pytest.FixtureRequest) -> Prior:
    shape = SHAPES[name]
    n = math.prod(shape)
    if name == "gaussian":
        mixing = randn(n, n) / math.sqrt(n)
        return GaussianPrior(shape, mixing @ mixing.T, mean=0.2)
    if name == "mixture":
        return MixturePrior(randn(4, *shape), torch.tensor([0.1, 0.5, 1.0, 2.0]), torch.tensor([1.0, 2.0, 3.0, 4.0]))
    return request.getfixturevalue(name)


# Laws


@pytest.mark.parametrize("law", PRIOR_LAWS)
def test_law(law, prior, name):
    law(prior, SHAPES[name])


# Networks: any size, grey, dtypes


@pytest.mark.parametrize("size", [(37, 50), (8, 16), (5, 3), (1, 1), (2, 9)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size(photo, size, channels):
    x = randn(1, channels, *size)
    photo.check(x.shape[1:])
    assert photo(x, level(0.2)).shape == x.shape


def test_padding_mirrors():
    assert mirror(4, 9).tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert mirror(1, 3).tolist() == [0, 0, 0]
    x = randn(1, 2, 6, 7)
    assert torch.equal(pad(x, 4), torch.nn.functional.pad(x, (0, 1, 0, 2), mode="reflect"))
    assert pad(x[..., :4, :4], 4).shape == (1, 2, 4, 4)


@pytest.mark.parametrize("shape", [(2, 8, 8), (4, 8, 8), (8, 8), (3, 2, 8, 8)])
def test_other_channels_are_refused(photo, shape):
    with pytest.raises(MismatchError, match=r"\(3, height, width\) or \(1, height, width\)"):
        photo.check(shape)
    with pytest.raises(MismatchError):
        photo(randn(1, *shape), level(0.2))


def waves(channels: int) -> Tensor:
    """A smooth image, (1, channels, 32, 32)."""
    i = torch.arange(32.0)
    rows, columns = (i / 5).sin()[:, None], (i / 7).cos()[None]
    return (0.6 * rows * columns).expand(1, channels, 32, 32)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sigma", [0.1, 0.5])
def test_photo_denoises(photo, channels, sigma):
    clean = waves(channels)
    error = photo(clean + sigma * randn(*clean.shape), level(sigma)) - clean
    assert error.square().mean() < 0.15 * sigma**2


def test_a_grey_picture_stays_grey(photo):
    """A picture with R = G = B under grey noise: what colour it gets is below two grey levels."""
    clean = waves(1)
    noisy = (clean + 0.2 * randn(*clean.shape)).expand(-1, 3, -1, -1)
    out = photo(noisy, level(0.2))
    assert float((out - out.mean(1, keepdim=True)).square().mean().sqrt()) * 127.5 < 2


def test_grey_noise_is_made_white_for_a_network_of_colour(monkeypatch):
    """A network that was not trained on grey noise takes it for texture. With chroma noise it is given 3 rho^2 I."""
    faces = untried(str(Path(xhat.priors.__file__).parent / "faces" / "denoiser"), "cpu")
    seen = []
    monkeypatch.setattr(faces, "denoise", lambda u, rho: seen.append((u, rho)) or u)
    faces(0.5 * randn(1, 1, 64, 64, seed=5), level(0.5))
    ((u, rho),) = seen
    assert rho == pytest.approx(3**0.5 * 0.5)
    # 4096 draws: entries of the covariance are known to 1/64 of the variance, four times that is enough
    torch.testing.assert_close(u[0].flatten(1).cov(), rho**2 * torch.eye(3), rtol=0, atol=rho**2 / 16)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_close_and_stays_inside(photo, dtype):
    """Within 7 % of the noise, or a quarter of a grey level of 255: the network's input is rounded to 8 bits."""
    half = untried(f"photo:dtype={dtype}", device="cpu")
    for sigma, bound in ((0.3, 0.02), (3e-3, 0.25 / 127.5)):
        x = waves(3) + sigma * randn(1, 3, 32, 32)
        assert half(x, level(sigma)).dtype == torch.float32
        torch.testing.assert_close(half(x, level(sigma)), photo(x, level(sigma)), atol=bound, rtol=0)


def test_calibration_is_the_measured_error(photo):
    """On one image, not the ones it was measured on: the order of magnitude, and the formats."""
    table = measure(photo, waves(3), sigmas=(0.1, 1.0))
    assert table.sigma == (0.1, 1.0)
    assert 0.05 < table.mse[1] / photo.mse(level(1.0)) < 2


@pytest.mark.slow
def test_diffusers_is_imported_late_and_loads_in_silence():
    code = (
        "import sys, xhat, xhat.priors as p; assert 'diffusers' not in sys.modules; "
        "p.build_prior('photo:dtype=bfloat16', device='cpu')"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_compiled_network_is_the_network(photo, monkeypatch):
    """The compiler replaced by a stand-in that counts: only the network goes through it."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda f, **_: compiled.append(f) or f)
    prior = untried("photo:compile=true", device="cpu")
    x = randn(1, 3, 8, 8)
    torch.testing.assert_close(prior(x, level(0.3)), photo(x, level(0.3)))
    assert len(compiled) == 1


# Folders against diffusers


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("learned_variance", [False, True])
def test_vp_estimate_is_diffusers(tmp_path, schedule, prediction, learned_variance):
    net = unet(out=6 if learned_variance else 3)
    kind = {"variance_type": "learned_range" if learned_variance else "fixed_small"}
    theirs = ddpm(beta_schedule=schedule, prediction_type=prediction, **kind)
    ours = DiffusersPrior(save(tmp_path, net, theirs))
    x = randn(2, 3, 16, 16)
    for i in (0, 1, 40, 99):
        with torch.no_grad():
            expected = theirs.step(net(x, i).sample, i, x, generator=torch.Generator()).pred_original_sample
        t = ours.schedule((i + 1) / 100)
        scale = float(expected.abs().max())
        torch.testing.assert_close(ours(x, t) / scale, expected / scale, rtol=1e-4, atol=1e-4)


def test_zero_terminal_snr_is_diffusers(tmp_path):
    theirs = ddpm(prediction_type="v_prediction", rescale_betas_zero_snr=True)
    net = unet()
    ours = DiffusersPrior(save(tmp_path, net, theirs))
    x = randn(2, 3, 16, 16)
    for i in (0, 1, 40, 98):  # nothing of the image is left in entry 99
        with torch.no_grad():
            expected = theirs.step(net(x, i).sample, i, x, generator=torch.Generator()).pred_original_sample
        t = ours.schedule((i + 1) / 99)
        assert ours.precondition(t.ratio).noise == i
        torch.testing.assert_close(ours(x, t), expected, rtol=1e-3, atol=1e-3)  # their table is float32


def test_repaint_is_a_table(tmp_path):
    from diffusers import RePaintScheduler

    theirs = RePaintScheduler(num_train_timesteps=100, beta_schedule="sigmoid")
    prior = DiffusersPrior(save(tmp_path, unet(), theirs))
    found = torch.tensor([prior.schedule((i + 1) / 100).alpha ** 2 for i in range(100)])
    torch.testing.assert_close(found, theirs.alphas_cumprod, rtol=2e-5, atol=0)


def test_class_conditional_folders(tmp_path, capsys):
    """The class is given as `label`; without it, or with one that there is not, the folder is refused at once."""
    net, root, x = unet(num_class_embeds=10), str(tmp_path), randn(2, 3, 16, 16)
    save(tmp_path, net, ddpm())
    prior = untried(f"{root}:label=3", "cpu")
    t = prior.schedule(0.41)
    with torch.no_grad():
        noise = net(t.alpha * x, 40, torch.tensor([3, 3])).sample
    torch.testing.assert_close(prior(t.alpha * x, t), x - t.ratio * noise, rtol=1e-4, atol=1e-4)
    for options, says in (("", "classes 0 to 9; label is not given"), (":label=10", "classes 0 to 9; label is 10")):
        with pytest.raises(SpecError, match=says):
            untried(root + options, "cpu")
    assert main(["prior", "inspect", root]) == 0
    assert "classes          10: give label=0 to 9" in capsys.readouterr().out
    save(tmp_path, unet(), ddpm())
    with pytest.raises(SpecError, match="is not class-conditional; label is 3"):
        untried(f"{root}:label=3", "cpu")


def test_averaged_weights_in_a_folder_beside(tmp_path):
    raw, averaged = unet(), unet()
    averaged.conv_out.bias.data += 1
    save(tmp_path, raw, ddpm())
    averaged.save_pretrained(tmp_path / "unet_ema")
    prior = untried(str(tmp_path), "cpu")
    assert torch.equal(prior.net.conv_out.bias, averaged.conv_out.bias)
    assert "took the averaged weights unet_ema; unet lies beside" in prior.notes[0]
    for name in ("unet", "raw"):
        assert torch.equal(untried(f"{tmp_path}:weights={name}", "cpu").net.conv_out.bias, raw.conv_out.bias)
    with pytest.raises(SpecError, match="no weights 'swa'; it has unet, unet_ema"):
        untried(f"{tmp_path}:weights=swa", "cpu")


def test_trained_betas(tmp_path):
    betas = [0.01 + 0.001 * i for i in range(50)]
    prior = DiffusersPrior(save(tmp_path, unet(), ddpm(num_train_timesteps=50, trained_betas=betas)))
    assert prior.schedule == Discrete(betas=tuple(betas))


def test_ddim_run_is_diffusers(tmp_path):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(100, clip_sample=False, timestep_spacing="trailing")
    net = unet()
    prior = DiffusersPrior(save(tmp_path, net, scheduler))
    x = theirs = randn(2, 3, 16, 16)
    scheduler.set_timesteps(10)
    for i in scheduler.timesteps:
        with torch.no_grad():
            theirs = scheduler.step(net(theirs, i).sample, i, theirs, eta=0.0).prev_sample
    for t, s in pairwise(prior.schedule.levels(10)):
        x = renoise(x, prior(x, t), t, s, 0.0, Rng([0, 0]))
    torch.testing.assert_close(x, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"])
def test_edm_estimate_is_diffusers(tmp_path, prediction, name):
    import diffusers

    theirs = getattr(diffusers, name)(sigma_max=70.0, sigma_data=0.6, prediction_type=prediction)
    net = unet()
    prior = DiffusersPrior(save(tmp_path, net, theirs))
    assert prior.schedule == EDM(0.002, 70.0, 7.0)
    x = randn(2, 3, 16, 16)
    for sigma in (0.01, 0.5, 20.0):
        s = torch.tensor(sigma)
        with torch.no_grad():
            out = net(theirs.precondition_inputs(x, s), theirs.precondition_noise(s)).sample
            expected = theirs.precondition_outputs(x, out, s)
        torch.testing.assert_close(prior(x, level(sigma)), expected, rtol=1e-4, atol=1e-4)


def test_photo_is_the_formula_of_its_card(photo):
    x, s = randn(1, 3, 16, 16), 0.4
    n = math.sqrt(s**2 + 0.25)
    out = photo.net(x / n, torch.tensor([math.log(s) / 4]))
    torch.testing.assert_close(photo(x, level(s)), 0.25 / n**2 * x + s * 0.5 / n * out, rtol=1e-4, atol=1e-5)


def test_time_is_fractional_unless_it_is_learned(tmp_path, vp):
    between = math.sqrt(vp.schedule.ratios[20] * vp.schedule.ratios[21])
    assert vp.precondition(between).noise == pytest.approx(19.5)
    assert vp.precondition(vp.schedule(0.2).ratio).noise == 19
    learned = unet(time_embedding_type="learned", num_train_timesteps=100)
    prior = DiffusersPrior(save(tmp_path, learned, ddpm()))
    assert prior.precondition(1.001 * between).noise == 20
    assert prior(randn(1, 3, 16, 16), level(between)).isfinite().all()


def test_networks_of_other_channels(tmp_path):
    prior = DiffusersPrior(save(tmp_path, unet(channels=4), ddpm(), pixel_unshuffle=2, schedule="vp:beta_max=10.0"))
    assert prior(randn(1, 1, 9, 6), level(0.3)).shape == (1, 1, 9, 6)
    assert prior.schedule.beta_max == 10
    assert prior.mse(level(0.3)) is None
    with pytest.raises(MismatchError, match=r"of shape \(1, height, width\), "):
        prior.check((3, 8, 8))


def test_calibration_is_read_from_the_folder(tmp_path):
    Calibration((0.1, 1.0), (0.001, 0.1)).write(tmp_path / "calibration.json")
    prior = DiffusersPrior(save(tmp_path, unet(), ddpm()))
    assert prior.mse(level(math.sqrt(0.1))) == pytest.approx(0.01)
    assert prior.mse(level(0.01)) == pytest.approx(1e-5)
    assert prior.mse(level(50.0)) == 0.1
    (tmp_path / "calibration.json").write_text('{"sigma": [1, 0.5], "mse": [1, 2]}')
    with pytest.raises(DataError, match="calibration"):
        DiffusersPrior(tmp_path)


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (lambda f: (f / "unet/config.json").unlink(), DataError, "config.json is missing"),
        (lambda f: (f / "unet/diffusion_pytorch_model.safetensors").unlink(), DataError, "unet"),
        (lambda f: (f / "unet/config.json").write_text("{"), DataError, "JSON"),
        (lambda f: (f / "scheduler/scheduler_config.json").unlink(), DataError, "scheduler_config.json is missing"),
        (lambda f: edit(f / "scheduler/scheduler_config.json", _class_name="X"), SpecError, "'X'; known: EDMEuler"),
        (lambda f: edit(f / "scheduler/scheduler_config.json", prediction_type="x"), SpecError, "known: epsilon, v_"),
        (lambda f: edit(f / "scheduler/scheduler_config.json", beta_schedule="x"), SpecError, "unknown kind 'x'"),
        (lambda f: edit(f / "scheduler/scheduler_config.json", num_train_timesteps=10**11), SpecError, "steps must be"),
        (lambda f: edit(f / "scheduler/scheduler_config.json", beta_end="x"), SpecError, "beta_end must be a number"),
        (lambda f: edit(f / "scheduler/scheduler_config.json", trained_betas=[0.1, 2]), SpecError, "betas must be"),
        (lambda f: edit(f / "unet/config.json", class_embed_type="identity"), SpecError, "class_embed_type = identity"),
        (lambda f: edit(f / "unet/config.json", _class_name="UNet2DConditionModel"), SpecError, "UNet2DModel"),
        (lambda f: edit(f / "unet/config.json", block_out_channels=[8, 32]), DataError, "unet"),
    ],
)
def test_spoilt_folders_say_what_is_wrong(tmp_path, spoil, error, says):
    spoil(save(tmp_path, unet(), ddpm()))
    with pytest.raises(error, match=says):
        DiffusersPrior(tmp_path)


def test_older_layout_without_subfolders(tmp_path, vp):
    unet().save_pretrained(tmp_path)
    ddpm().save_pretrained(tmp_path)
    x = randn(1, 3, 16, 16)
    assert torch.equal(DiffusersPrior(tmp_path)(x, level(0.3)), vp(x, level(0.3)))


# build_prior


def test_build_prior(tmp_path, photo, vp):
    folder = save(tmp_path / "a,b=c", unet(), ddpm())
    assert isinstance(untried(str(folder)), DiffusersPrior)
    assert isinstance(photo, NetworkFolder)
    assert untried(vp, device="cpu") is vp
    for name, cls in PRIORS.items():
        assert cls.source, name


@pytest.mark.parametrize(
    ("spec", "says"),
    [("foto", r"did you mean photo\?"), ("photo:size=3", "dtype, compile"), ("photo:dtype=int8", "float32, bfloat16")],
)
def test_unknown_specs_list_the_known(spec, says):
    with pytest.raises(SpecError, match=says):
        untried(spec)


def test_missing_folder():
    with pytest.raises(DataError, match="no/such is not a folder"):
        untried("diffusers:path=no/such")


# Exact priors


def mixture() -> MixturePrior:
    means = randn(3, 2, 3, dtype=torch.float64)
    return MixturePrior(means, torch.tensor([0.0, 0.3, 1.5]), torch.tensor([1.0, 5.0, 2.0]))


@pytest.mark.parametrize("t", [level(0.1), level(1.0, alpha=0.4), level(30.0)])
def test_mixture_is_tweedie(t):
    """E[x₀|x_t] = (x_t + σ² ∇ log p(x_t))/α."""
    prior, x = mixture(), (t.alpha * (1 + t.ratio) * randn(5, 2, 3, dtype=torch.float64)).requires_grad_()
    score = torch.autograd.grad(prior.log_density(x, t).sum(), x)[0]
    torch.testing.assert_close(prior(x, t), (x + t.sigma**2 * score) / t.alpha, rtol=1e-9, atol=1e-9)


def test_mixture_density_is_torchs():
    from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

    prior, t = mixture(), level(0.7, alpha=0.4)
    std = (t.alpha**2 * prior.v + t.sigma**2).sqrt().reshape(-1, 1, 1).expand(3, 2, 3)
    components = Independent(Normal(t.alpha * prior.means, std), 2)
    x = randn(4, 2, 3, dtype=torch.float64)
    expected = MixtureSameFamily(Categorical(torch.tensor([1.0, 5.0, 2.0])), components).log_prob(x)
    torch.testing.assert_close(prior.log_density(x, t), expected)
    torch.testing.assert_close(prior.responsibilities(x, t).sum(1), torch.ones(4, dtype=torch.float64))


def test_mixture_far_away_is_finite():
    prior = mixture().float()
    assert prior(1e4 * randn(2, 2, 3), level(1e-3)).isfinite().all()


def test_mixture_of_one_is_the_gaussian():
    x, t = randn(3, 2, 2), level(0.6, alpha=0.5)
    gaussian = GaussianPrior((2, 2), 0.3 * torch.eye(4), mean=0.2)
    torch.testing.assert_close(MixturePrior(torch.full((1, 2, 2), 0.2), 0.3)(x, t), gaussian(x, t))


@pytest.mark.parametrize("bad", [{"variances": -1.0}, {"weights": torch.tensor([1.0, 0.0])}])
def test_mixture_refuses(bad):
    with pytest.raises(SpecError, match="mixture of 2"):
        MixturePrior(randn(2, 3), **bad)


@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
@pytest.mark.parametrize("t", [level(0.3), level(1.5, alpha=0.4)])
def test_mse_by_monte_carlo(kind, t):
    """tr Cov[x₀|x_t]/n is the error of the denoiser on the prior's own samples; four standard errors."""
    mixing = randn(6, 6)
    prior = GaussianPrior((2, 3), mixing @ mixing.T, mean=0.5) if kind == "gaussian" else mixture().float()
    rng = Rng(range(4000))
    x0 = prior.sample(rng)
    errors = sq(prior(t.alpha * x0 + t.sigma * rng.randn_like(x0), t) - x0) / 6
    assert abs(float(errors.mean()) - prior.mse(t)) < 4 * float(errors.std()) / math.sqrt(len(errors))


def test_mixture_samples_have_its_moments():
    prior = mixture().float()
    x0 = prior.sample(Rng(range(4000)))
    w = prior.log_w.exp()
    mean = (w[:, None] * prior.means.flatten(1)).sum(0)
    second = (w[:, None] * (prior.means.flatten(1) ** 2 + prior.v[:, None])).sum(0)
    torch.testing.assert_close(x0.flatten(1).mean(0), mean, atol=0.08, rtol=0)
    torch.testing.assert_close(x0.flatten(1).square().mean(0), second, atol=0.25, rtol=0)


def test_levels_of_the_calibration():
    assert (len(spaced()), spaced()[0], spaced()[-1]) == (14, 0.005, 20.0)
