"""Folders in the layout of the diffusers library: our loop and priors against its own pipelines and schedulers."""

import json
import shutil
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from conftest import untried
from pipelines import autoencoder, latent_diffusion, randn, scheduler, stable_diffusion, text_unet, unet
from xhat.errors import DataError, MismatchError, SpecError
from xhat.likelihoods import LatentLinear, Likelihood, likelihood
from xhat.loop import trajectory
from xhat.noise import Gaussian
from xhat.numerics.calls import counting
from xhat.operators import OPERATORS
from xhat.priors import LatentDiffusion, StableDiffusion
from xhat.priors.autoencoders import DiffusersAutoencoder
from xhat.rng import Rng
from xhat.schedule import CLEAN, VE, Flow, Level, Schedule
from xhat.solvers.base import Estimator, State
from xhat.spec import build
from xhat.transition import ddpm, mean

STEPS = 5


@dataclass(frozen=True)
class Free(Estimator):
    """Sampling without data, from a given start: DDIM with ζ = 0."""

    start: Tensor = None
    times: tuple[int, ...] = ()  # of the pipeline's scheduler, where they are not those of the schedule
    zeta: float = 0.0

    def levels(self, schedule: Schedule, like: Likelihood) -> list[Level]:
        if not self.times:
            return schedule.levels(self.steps)
        return [schedule((i + 1) / (len(schedule.ratios) - 1)) for i in self.times] + [CLEAN]

    def init(self, t, prior, like, rng):
        return State(self.start, self.start)

    def estimate(self, x, t, prior, like, rng):
        return prior(x, t)


def sample(prior, shape: tuple[int, ...], start: Tensor, **options: object) -> list[Tensor]:
    """Every state of the loop, decoded the last."""
    like = likelihood(build("inpaint", OPERATORS, shape), Gaussian(1.0), torch.zeros(len(start), *shape))
    solver = Free(steps=STEPS, start=start, **options)
    states = [step.state.x for step in trajectory(solver, prior, prior.problem(like), Rng(range(len(start))))]
    return [*states[:-1], prior.image(states[-1])]


def as_pixels(x: Tensor) -> Tensor:
    return (x / 2 + 0.5).clamp(0, 1)


def from_numpy(images) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def close(a: Tensor, b: Tensor, ratio: float = 0.0) -> None:
    """Float32 through tens of layers and a few steps; rounding in ε grows by ρ = `ratio` on its way to x̂₀."""
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 + 2e-7 * ratio)


@pytest.fixture
def given_start(monkeypatch):
    """Pipelines that draw their own noise draw `x`."""

    def give(module: str, x: Tensor) -> None:
        monkeypatch.setattr(f"{module}.randn_tensor", lambda *a, **k: x)

    return give


@pytest.fixture(scope="session")
def sd(tmp_path_factory) -> Path:
    """A text-to-image folder; copy it to change it."""
    folder = tmp_path_factory.mktemp("sd")
    stable_diffusion(folder, eyes=True)
    return folder


# Images


@pytest.mark.parametrize("spacing", ["trailing", "leading"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("betas", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_ddim_pipeline(tmp_path, given_start, spacing, prediction, betas):
    from diffusers import DDIMPipeline

    pipeline = DDIMPipeline(
        unet(), scheduler(beta_schedule=betas, prediction_type=prediction, timestep_spacing=spacing)
    )
    pipeline.save_pretrained(tmp_path)
    pipeline.set_progress_bar_config(disable=True)
    x = randn(2, 3, 8, 8)
    given_start("diffusers.pipelines.ddim.pipeline_ddim", x)
    theirs = from_numpy(pipeline(batch_size=2, num_inference_steps=STEPS, eta=0.0, output_type="np").images)
    times = () if spacing == "trailing" else tuple(pipeline.scheduler.timesteps.tolist())
    prior = untried(str(tmp_path))
    close(as_pixels(sample(prior, (3, 8, 8), x, times=times)[-1]), theirs, prior.schedule(1.0).ratio)


def test_ddpm_step_by_step(tmp_path, given_start):
    from diffusers import DDPMPipeline

    pipeline = DDPMPipeline(unet(), scheduler("DDPMScheduler"))
    pipeline.save_pretrained(tmp_path)
    prior, theirs, x = untried(str(tmp_path)), pipeline.scheduler, randn(2, 3, 8, 8)
    theirs.set_timesteps(STEPS)
    given_start("diffusers.schedulers.scheduling_ddpm", torch.zeros_like(x))
    levels = prior.schedule.levels(STEPS)
    for i, (t, s) in zip(theirs.timesteps, pairwise(levels), strict=True):
        with torch.no_grad():
            step = theirs.step(pipeline.unet(x, i).sample, i, x)
        x0 = prior(x, t)
        ours = mean(x, x0, t, s, ddpm(t, s)) if s.sigma else x0
        close(ours, step.prev_sample)
        x = ours


def test_score_sde_ve(tmp_path, given_start):
    """NCSN++ on [0, 1] with Fourier time: x̂₀ is Tweedie's formula there, and our DDPM step has the mean of theirs."""
    from diffusers import ScoreSdeVePipeline, ScoreSdeVeScheduler

    net = unet(time_embedding_type="fourier")
    pipeline = ScoreSdeVePipeline(net, ScoreSdeVeScheduler(sigma_max=50.0))
    pipeline.save_pretrained(tmp_path)
    prior, theirs, x = untried(str(tmp_path)), pipeline.scheduler, randn(2, 3, 8, 8)
    assert prior.schedule == VE(0.02, 100.0)
    theirs.set_timesteps(20)
    theirs.set_sigmas(20)
    given_start("diffusers.schedulers.scheduling_sde_ve", torch.zeros_like(x))
    for k in (19, 10, 3):
        sigma, lower = theirs.discrete_sigmas[k], theirs.discrete_sigmas[k - 1]
        v = 0.5 + sigma * x / 2
        with torch.no_grad():
            score = net(v, sigma * torch.ones(2)).sample
        t, s = (Level(0.5, 1.0, 2 * float(level)) for level in (sigma, lower))
        x0 = prior(2 * v - 1, t)
        torch.testing.assert_close(as_01(x0), v + sigma**2 * score, rtol=1e-4, atol=1e-3)
        step = theirs.step_pred(score, torch.tensor(k / 19 + 1e-6), v)
        torch.testing.assert_close(
            as_01(mean(2 * v - 1, x0, t, s, ddpm(t, s))), step.prev_sample_mean, rtol=1e-4, atol=1e-3
        )


def as_01(x: Tensor) -> Tensor:
    return (x + 1) / 2


def test_rectified_flow(tmp_path):
    net, theirs = unet(), scheduler("FlowMatchEulerDiscreteScheduler", num_train_timesteps=1000, shift=3.0)
    net.save_pretrained(tmp_path / "unet")
    theirs.save_pretrained(tmp_path / "scheduler")
    prior = untried(str(tmp_path))
    assert prior.schedule == Flow(shift=3.0)
    theirs.set_timesteps(STEPS)
    x = state = randn(2, 3, 8, 8)
    sigmas = theirs.sigmas.tolist()
    for i in theirs.timesteps:
        with torch.no_grad():
            state = theirs.step(net(state, i).sample, i, state).prev_sample
    levels = [Level(u, 1 - min(u, 1 - 1e-6), min(u, 1 - 1e-6)) for u in sigmas[:-1]] + [CLEAN]
    for t, s in pairwise(levels):
        x0 = prior(x, t)
        x = x0 if s.sigma == 0 else mean(x, x0, t, s, 0.0)
    torch.testing.assert_close(x, state, rtol=1e-3, atol=1e-3)  # σ = 1 has no ρ; 1 − 10⁻⁶ in its place


@pytest.mark.parametrize("shift", [1.0, 4.0])
def test_flow_levels(shift):
    """ρ is `shift` times that of the plain schedule at the same place, and t = 1 is σ_max."""
    plain, shifted = Flow(sigma_max=0.9, shift=1.0), Flow(sigma_max=0.9, shift=shift)
    assert shifted(1.0).sigma == pytest.approx(0.9)
    u = 0.5 * 0.9 / (shift - (shift - 1) * 0.9)
    assert shifted(0.5).ratio == pytest.approx(shift * u / (1 - u))
    assert plain(0.5).sigma == pytest.approx(0.45)


# Latents


@pytest.mark.parametrize("kind", ["AutoencoderKL", "VQModel", "AutoencoderTiny"])
def test_latent_diffusion_pipeline(tmp_path, given_start, kind):
    pipeline = latent_diffusion(tmp_path, kind)
    prior = untried(str(tmp_path))
    assert isinstance(prior, LatentDiffusion)
    z = randn(2, 4, 8, 8)
    given_start(type(pipeline).__module__, z)
    theirs = from_numpy(pipeline(batch_size=2, num_inference_steps=STEPS, output_type="np").images)
    close(as_pixels(sample(prior, (3, 16, 16), z)[-1]), theirs)


@pytest.mark.parametrize("kind", ["AutoencoderKL", "VQModel", "AutoencoderTiny"])
def test_autoencoders(tmp_path, kind):
    net = autoencoder(kind)
    net.save_pretrained(tmp_path)
    ours, x = DiffusersAutoencoder(tmp_path), randn(2, 3, 12, 10).clamp(-1, 1)
    z = ours.encode(x)
    assert tuple(z.shape[1:]) == ours.latent_shape((3, 12, 10)) == (4, 6, 5)
    scale = net.config.scaling_factor
    with torch.no_grad():
        code = net.encode(x)
        raw = code.latent_dist.mean if kind == "AutoencoderKL" else code.latents
        close(z, scale * raw)
        close(ours.decode(z), net.decode(raw).sample)
    z = z.double().requires_grad_()
    assert torch.autograd.grad(ours.decode(z).square().sum(), z)[0].abs().max() > 0  # through the codebook, too
    for shape in [(1, 12, 10), (3, 11, 10), (3, 12), (3, 0, 10)]:
        with pytest.raises(MismatchError, match=r"multiples of 2"):
            ours.latent_shape(shape)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("guidance", [1.0, 7.5])
def test_stable_diffusion_pipeline(tmp_path, prediction, guidance):
    pipeline = stable_diffusion(tmp_path, prediction_type=prediction)
    prior = untried(f"{tmp_path}:prompt=a b c: d,negative='e, f',guidance={guidance}")
    assert isinstance(prior, StableDiffusion)
    z, seen = randn(2, 4, 8, 8), []

    def watch(*step):
        seen.append(step[-1]["latents"])
        return step[-1]

    theirs = pipeline(
        ["a b c: d"] * 2,
        negative_prompt=["e, f"] * 2,
        latents=z,
        num_inference_steps=STEPS,
        guidance_scale=guidance,
        output_type="np",
        callback_on_step_end=watch,
    )
    ours = sample(prior, (3, 16, 16), z)
    for a, b in zip(ours[:-1], seen, strict=False):
        close(a, b)
    close(as_pixels(ours[-1]), from_numpy(theirs.images))


def test_a_tiny_autoencoder_in_the_decoders_place(tmp_path, sd):
    tiny = autoencoder("AutoencoderTiny")
    tiny.save_pretrained(tmp_path)
    prior = untried(f"{sd}:autoencoder={tmp_path}")
    z = randn(1, 4, 8, 8)
    with torch.no_grad():
        close(prior.image(z), tiny.decode(z).sample)


def test_guidance_costs_two_passes(sd):
    plain, guided = (untried(f"{sd}:prompt=a,guidance={w}") for w in (1.0, 2.0))
    z, t = randn(3, 4, 8, 8), plain.schedule(0.5)
    for prior, passes in ((plain, 3), (guided, 6)):
        with counting() as calls:
            prior(z, t)
        assert (calls.forwards, calls.backwards) == (passes, 0)
    c, none = guided.texts(3)
    torch.testing.assert_close(
        guided(z, t), 2 * guided.conditioned(z, t, c) - guided.conditioned(z, t, none), rtol=1e-4, atol=1e-4
    )


def test_latents_of_any_size_and_dtype(sd):
    prior = untried(f"{sd}:prompt=a,guidance=3")
    z = randn(1, 4, 7, 5, dtype=torch.float64)
    x0 = prior(z, prior.schedule(0.3))
    assert x0.shape == z.shape
    assert x0.dtype == prior.image(x0).dtype == torch.float64
    half = untried(f"{sd}:prompt=a,guidance=3,dtype=bfloat16")
    torch.testing.assert_close(half(z, prior.schedule(0.3)), x0, rtol=0.1, atol=0.1 * float(x0.abs().max()))


def test_images_as_text(tmp_path, sd):
    prior = untried(str(sd))
    assert prior.image_embedding(randn(2, 3, 20, 12).clamp(-1, 1)).shape == (2, 16)
    shutil.copytree(sd, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "image_encoder")
    with pytest.raises(MismatchError, match="no image encoder"):
        untried(str(tmp_path)).image_embedding(randn(1, 3, 16, 16))


# Problems


def test_a_problem_about_latents(tmp_path):
    latent_diffusion(tmp_path)
    prior = untried(str(tmp_path))
    like = likelihood(build("inpaint", OPERATORS, (3, 16, 16)), Gaussian(0.1), torch.zeros(2, 3, 16, 16))
    latent = prior.problem(like)
    assert isinstance(latent, LatentLinear)
    assert prior.problem(latent) is latent
    z = randn(2, 4, 8, 8)
    torch.testing.assert_close(latent.nll(z), like.nll(prior.image(z)))
    with counting() as calls:
        latent.residual(z)
    assert calls.operator == 2
    with pytest.raises(MismatchError, match="multiples of 2"):
        prior.problem(likelihood(build("inpaint", OPERATORS, (3, 9, 16)), Gaussian(0.1), torch.zeros(1, 3, 9, 16)))
    with pytest.raises(MismatchError, match=r"prior.problem\(like\)"):
        next(trajectory(Free(start=z), prior, like, Rng([0, 1])))


# Mistakes


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("spoil", "options", "error", "says"),
    [
        (lambda f: (f / "vae/config.json").unlink(), "", DataError, "config.json is missing"),
        (lambda f: edit(f / "vae/config.json", _class_name="X"), "", SpecError, "AutoencoderKL, VQModel, Auto"),
        (lambda f: (f / "tokenizer/tokenizer_config.json").unlink(), "", DataError, "tokenizer_config.json is missing"),
        (lambda f: edit(f / "text_encoder/config.json", architectures=["T5"]), "", SpecError, "T5; known here: CLIPT"),
        (lambda f: (f / "text_encoder/model.safetensors").unlink(), "", DataError, "text_encoder"),
        (lambda f: text_unet(5).save_pretrained(f / "unet"), "", MismatchError, "5 channels in"),
        (lambda f: text_unet(cross_attention_dim=8).save_pretrained(f / "unet"), "", DataError, "the UNet takes 8"),
        (lambda f: edit(f / "unet/config.json", time_cond_proj_dim=4), "", (SpecError, DataError), "unet|time_cond"),
        (lambda f: None, "prompt='a b c d e f g h i j k l m n'", SpecError, "a prompt of 16 tokens.*takes 12"),
        (lambda f: None, "promt=a", SpecError, "stable_diffusion has no option promt; it has path, prompt, neg"),
        (lambda f: None, "guidance=strong", SpecError, "guidance must be a number"),
        (lambda f: None, "autoencoder=no/where", DataError, "no/where is not a folder"),
    ],
)
def test_what_is_wrong_with_a_folder(tmp_path, sd, spoil, options, error, says):
    shutil.copytree(sd, tmp_path, dirs_exist_ok=True)
    spoil(tmp_path)
    with pytest.raises(error, match=says):
        untried(f"{tmp_path}:{options}")


def test_latents_of_other_channels(tmp_path):
    latent_diffusion(tmp_path)
    unet(3).save_pretrained(tmp_path / "unet")
    with pytest.raises(MismatchError, match="a UNet of 3 channels, latents of 4"):
        untried(str(tmp_path))


def test_folders_with_colons_and_options(tmp_path):
    folder = tmp_path / "a:b,c=d"
    latent_diffusion(folder)
    assert isinstance(untried(str(folder)), LatentDiffusion)
    assert isinstance(untried(f"{folder}:dtype=bfloat16"), LatentDiffusion)
    with pytest.raises(SpecError, match="latent_diffusion has no option prompt"):
        untried(f"{folder}:prompt=a")


def test_without_transformers(sd, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SpecError, match=r"pip install .*\[text\]"):
        untried(str(sd))
