"""Consistency models as priors: against diffusers, against closed forms, and what they refuse."""

import copy
import json
from pathlib import Path

import pytest
import torch

from conftest import untried
from oracles import problem, rbf_prior
from xhat.cli.arguments import main
from xhat.errors import MismatchError, SpecError
from xhat.files.pictures import save_image
from xhat.loop import solve
from xhat.numerics.autodiff import vjp
from xhat.numerics.calls import counting
from xhat.numerics.linalg import dot
from xhat.priors import ConsistencyModel, ConsistencyPrior, FlowPrior, MixturePrior
from xhat.rng import Rng
from xhat.schedule import Level
from xhat.solvers import SOLVERS


def level(ratio: float, alpha: float = 1.0) -> Level:
    return Level(0.5, alpha, alpha * ratio)


def unet(**changes: object):
    """A tiny random UNet2DModel."""
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    size = {"sample_size": 16, "block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
    return UNet2DModel(in_channels=3, out_channels=3, **blocks, **size, **changes).eval()


def pipeline(**changes: object):
    from diffusers import CMStochasticIterativeScheduler, ConsistencyModelPipeline

    return ConsistencyModelPipeline(unet(**changes), CMStochasticIterativeScheduler(clip_denoised=False))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cm")
    pipeline().save_pretrained(root)
    return root


@pytest.fixture
def gaussian(request: pytest.FixtureRequest) -> FlowPrior:
    request.getfixturevalue("float64")
    return FlowPrior(rbf_prior((1, 4, 4)))


def test_one_jump_is_the_pipelines_one_step(folder):
    pipe = pipeline()
    pipe.set_progress_bar_config(disable=True)
    theirs = pipe(batch_size=2, generator=torch.Generator().manual_seed(1), output_type="pt").images * 2 - 1
    noise = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    ours = untried(str(folder), "cpu").jump(80.0 * noise, level(80.0))
    torch.testing.assert_close(ours.clamp(-1, 1), theirs, rtol=1e-4, atol=1e-4)
    assert ours.std() > 0.05  # not all clipped


@pytest.mark.parametrize("sigma", [0.0021, 0.05, 1.3, 40.0])
def test_jump_is_the_schedulers_formula_at_any_level(folder, sigma):
    """c_skip and c_out as the scheduler itself computes them, its network called by hand."""
    pipe, u = pipeline(), torch.randn(1, 3, 16, 16)
    skip, out = pipe.scheduler.get_scalings_for_boundary_condition(torch.tensor(sigma))
    when = torch.tensor([1000 * 0.25 * torch.log(torch.tensor(sigma) + 1e-44)])
    with torch.no_grad():
        raw = pipe.unet(u / (sigma**2 + 0.25) ** 0.5, when, return_dict=False)[0]
    ours = untried(str(folder), "cpu").jump(0.3 * u, level(sigma, alpha=0.3))
    torch.testing.assert_close(ours, skip * u + out * raw, rtol=1e-4, atol=1e-5)


def test_at_and_below_its_smallest_level_it_is_the_identity_and_free(folder):
    prior, u = untried(str(folder), "cpu"), torch.randn(1, 3, 16, 16)
    with counting() as calls:
        for sigma in (0.002, 0.001):
            assert torch.equal(prior.jump(u, level(sigma)), u)
    assert calls.forwards == 0
    torch.testing.assert_close(prior.jump(u, level(0.0020001)), u, rtol=0, atol=1e-5)
    with pytest.raises(MismatchError, match="up to 80, not 81"):
        prior.jump(u, level(81.0))


@pytest.mark.parametrize("closed", [True, False])
def test_calls_are_counted_once(closed):
    gauss = rbf_prior((1, 4, 4)).double()
    own = ConsistencyModel(lambda x, s: x.tanh(), (1, 4, 4), denoiser=gauss)
    prior, (u, v) = FlowPrior(gauss) if closed else own, torch.randn(2, 3, 1, 4, 4, dtype=torch.float64)
    with counting() as calls:
        vjp(lambda x: prior.jump(x, level(2.0)), u)[1](v)
    assert (calls.forwards, calls.backwards) == (3, 3)
    with counting() as calls:
        prior(u, level(2.0))
    assert (calls.forwards, calls.backwards) == (3, 0)


def test_an_integrated_flow_counts_its_steps():
    mixture = MixturePrior(torch.randn(2, 1, 2, 2))
    with counting() as calls:
        FlowPrior(mixture, steps=5).jump(torch.randn(3, 1, 2, 2), level(2.0))
    assert calls.forwards == 3 * 10


def test_closed_form_flow_maps_the_noisy_law_to_the_clean_one(gaussian):
    """A linear map M with M (C + σ² I) Mᵀ = C + ε² I, and f(f(u, σ → r), r) = f(u, σ)."""
    base = gaussian.denoiser
    eye = torch.eye(16, dtype=torch.float64)
    M = base.flow(eye.reshape(16, 1, 4, 4), 5.0, 0.002).reshape(16, 16).T
    C = (base.Q * base.lam) @ base.Q.T
    torch.testing.assert_close(M @ (C + 25 * eye) @ M.T, C + 4e-6 * eye, rtol=1e-9, atol=1e-12)
    u = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    via = gaussian.jump(base.flow(u, 5.0, 1.0), level(1.0))
    torch.testing.assert_close(via, gaussian.jump(u, level(5.0)), rtol=1e-9, atol=1e-12)


def test_heun_integrates_the_flow_at_second_order():
    one = MixturePrior(torch.full((1, 1, 2, 2), 0.3, dtype=torch.float64), 0.25)
    u = torch.randn(3, 1, 2, 2, dtype=torch.float64)
    exact = 0.3 + ((0.25 + 0.002**2) / (0.25 + 9)) ** 0.5 * (u - 0.3)
    off = [float((FlowPrior(one, steps=n).jump(u, level(3.0)) - exact).norm()) for n in (10, 20, 40)]
    assert off[1] < 0.3 * off[0]
    assert off[2] < 0.3 * off[1]


def test_jacobian_transpose_against_differences(folder):
    prior = untried(str(folder), "cpu").double()
    x, v, h = *torch.randn(2, 2, 3, 16, 16, dtype=torch.float64), 1e-5
    w = torch.randn_like(x)
    forward = (prior.jump(x + h * w, level(0.7)) - prior.jump(x - h * w, level(0.7))) / (2 * h)
    _, pullback = vjp(lambda x: prior.jump(x, level(0.7)), x)
    torch.testing.assert_close(dot(pullback(v), w), dot(v, forward), rtol=1e-6, atol=1e-8)


def test_a_denoiser_is_never_made_up(folder):
    prior = untried(str(folder), "cpu")
    assert isinstance(prior, ConsistencyPrior)
    with pytest.raises(MismatchError, match="without a denoiser"):
        prior(torch.randn(1, 3, 16, 16), level(1.0))
    _, like = problem(rbf_prior((1, 4, 4)).double(), [0])
    bare = ConsistencyModel(lambda u, s: u, (1, 4, 4))
    with counting() as calls, pytest.raises(MismatchError, match="pair it with its teacher"):
        solve(SOLVERS["dps"](steps=2), bare, like, Rng([0]))
    assert calls.forwards == 0


def test_paired_with_its_teacher_it_denoises_like_it(folder, tmp_path):
    x, t = torch.randn(1, 3, 16, 16), level(0.4)
    paired = untried(f"consistency:path={folder},denoiser=photo", "cpu")
    photo = untried("photo", "cpu")
    assert torch.equal(paired(x, t), photo(x, t))
    assert paired.mse(t) == photo.mse(t)
    named = tmp_path / "named"
    pipeline().save_pretrained(named)
    (named / "xhat.json").write_text(json.dumps({"denoiser": "photo"}))
    assert torch.equal(untried(str(named), "cpu")(x, t), photo(x, t))
    inner = tmp_path / "inner"
    pipeline().save_pretrained(inner)
    from diffusers import DDPMScheduler

    unet().save_pretrained(inner / "teacher" / "unet")
    DDPMScheduler().save_pretrained(inner / "teacher" / "scheduler")
    (inner / "xhat.json").write_text(json.dumps({"denoiser": "teacher"}))
    teacher = untried(str(inner / "teacher"), "cpu")
    assert torch.equal(untried(str(inner), "cpu")(x, t), teacher(x, t))


def test_class_conditional_networks_want_a_label(folder, tmp_path):
    pipeline(num_class_embeds=10).save_pretrained(tmp_path)
    u = torch.randn(1, 3, 16, 16)
    three, four = (untried(f"consistency:path={tmp_path},label={k}", "cpu").jump(u, level(1.0)) for k in (3, 4))
    assert not torch.allclose(three, four)
    for spec in (f"path={tmp_path}", f"path={tmp_path},label=10", f"path={folder},label=3"):
        with pytest.raises(SpecError, match="label is"):
            untried(f"consistency:{spec}", "cpu")


def test_folders_are_told_apart(folder, diffusers_denoiser):
    with pytest.raises(SpecError, match="folder itself"):
        untried(f"diffusers:path={folder}", "cpu")
    with pytest.raises(SpecError, match="folder itself"):
        untried(f"consistency:path={diffusers_denoiser}", "cpu")
    with pytest.raises(MismatchError, match=r"\(3, 16, 16\)"):
        untried(str(folder), "cpu").check((3, 32, 32))


def test_command_line_says_it_in_one_line(folder, tmp_path, capsys):
    save_image(tmp_path / "y.png", torch.zeros(3, 16, 16))
    run = ["restore", str(tmp_path / "y.png"), "--operator", "denoise", "--noise", "gaussian:sigma=0.1", "-q"]
    run += ["--prior", f"{folder}:trial=false", "--dtype", "bfloat16", "--device", "cpu", "-o", str(tmp_path / "out")]
    assert main([*run, "--solver", "dps:steps=2"]) == 2
    assert "without a denoiser" in capsys.readouterr().err


def test_copies_are_whole(folder):
    prior = untried(str(folder), "cpu")
    twin, u = copy.deepcopy(prior).double(), torch.randn(1, 3, 16, 16)
    assert twin.jump(u.double(), level(1.0)).dtype == torch.float64
    assert prior.jump(u, level(1.0)).dtype == torch.float32
