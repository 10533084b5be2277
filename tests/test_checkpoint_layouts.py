"""Further layouts of checkpoints: their networks against independent implementations of the same."""

import json
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conftest import COMMITTED, untried
from drawn import drawn as fixed
from xhat.errors import DataError, SpecError
from xhat.priors.checkpoints.ddpm import RELEASES, config_of, ddpm_plan
from xhat.priors.checkpoints.ddpm_net import DDPMConfig, DDPMUNet
from xhat.priors.checkpoints.files import Checkpoint
from xhat.priors.checkpoints.recognise import kind_of_tensors
from xhat.schedule import Discrete


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def drawn(net: nn.Module, std: float = 0.1) -> nn.Module:
    """The network with all weights drawn, so that no branch is silent."""
    torch.manual_seed(0)
    for name, v in net.state_dict().items():
        nn.init.normal_(v, mean=1.0 if "norm" in name and name.endswith("weight") else 0.0, std=std)
    return net.eval()


def as_ddpm(name: str, levels: int) -> str:
    """The name of a tensor of diffusers' UNet2DModel in the layout of the code of DDIM."""
    for pattern, to in (
        (r"time_embedding.linear_(\d)", lambda m: f"temb.dense.{int(m[1]) - 1}"),
        (r"down_blocks.(\d).resnets.(\d)", r"down.\1.block.\2"),
        (r"down_blocks.(\d).attentions.(\d)", r"down.\1.attn.\2"),
        (r"down_blocks.(\d).downsamplers.0", r"down.\1.downsample"),
        (r"up_blocks.(\d).resnets.(\d)", lambda m: f"up.{levels - 1 - int(m[1])}.block.{m[2]}"),
        (r"up_blocks.(\d).attentions.(\d)", lambda m: f"up.{levels - 1 - int(m[1])}.attn.{m[2]}"),
        (r"up_blocks.(\d).upsamplers.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample"),
        (r"mid_block.resnets.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}"),
        ("mid_block.attentions.0", "mid.attn_1"),
        ("time_emb_proj", "temb_proj"), ("conv_norm_out", "norm_out"),
        (r"(conv_shortcut)", "nin_shortcut"), ("group_norm", "norm"),
        (r"to_([qkv])", r"\1"), (r"to_out.0", "proj_out"),
    ):  # fmt: skip
        name = re.sub(pattern, to, name)
    return name


def test_ddpm_is_the_network_of_diffusers(tmp_path):
    """diffusers holds Google's DDPM networks as UNet2DModel with these settings."""
    from diffusers import UNet2DModel

    theirs = drawn(
        UNet2DModel(
            sample_size=16, block_out_channels=(32, 64), layers_per_block=2, norm_eps=1e-6, downsample_padding=0,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            flip_sin_to_cos=False, freq_shift=1, attention_head_dim=None,
        )
    )  # fmt: skip
    tensors = {as_ddpm(k, 2): v for k, v in theirs.state_dict().items()}
    tensors = {k: v[..., None, None] if ".attn" in k and v.ndim == 2 else v for k, v in tensors.items()}
    torch.save({f"module.{k}": v for k, v in tensors.items()}, tmp_path / "x.ckpt")
    prior = untried(f"{tmp_path / 'x.ckpt'}:noise_schedule=linear", "cpu")
    x, t = randn(2, 3, 16, 16), torch.tensor([3.0, 700.5])
    with torch.no_grad():
        expected = theirs(x, t).sample
        found = prior.net(x, t)
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
        at = prior.schedule(0.3)
        noise = theirs(at.alpha * x, 299.0).sample
    torch.testing.assert_close(prior(at.alpha * x, at), x - at.ratio * noise, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"resample_conv": False}, {"shortcut_conv": True}])
def test_ddpm_configurations_are_read_off_the_tensors(changes, tmp_path):
    c = DDPMConfig(1, 2, 32, (1, 2, 2), 1, (1, 2), **changes)
    net = drawn(DDPMUNet(c))
    assert config_of(net.state_dict(), tmp_path) == c
    assert net(randn(1, 1, 8, 8), torch.tensor([3.0])).shape == (1, 2, 8, 8)


# Millions of parameters: Ho et al., section 4 and appendix B; DDIM's CelebA as counted on its configuration.
@pytest.mark.parametrize(("release", "millions"), list(zip(RELEASES, (113.67, 78.7, 35.7), strict=True)))
def test_ddpm_real_shapes(release, millions, tmp_path):
    with torch.device("meta"):
        net = DDPMUNet(DDPMConfig(3, 3, *release))
    found = Checkpoint(tmp_path / "x.ckpt", net.state_dict())
    assert kind_of_tensors(found) == "ddpm"
    plan = ddpm_plan(found)
    assert not plan.needs
    assert plan.schedule == Discrete()
    assert plan.shape[1] == RELEASES[release][1]
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, rel=2e-3)


# --- denoising-diffusion-pytorch ---

LUCID = json.loads((COMMITTED / "lucid_drawn.json").read_text())


def gaussian_diffusion(objective, clipped=False, steps=50):
    """The tables that lie beside the network in its files: β of the cosine kind, and the weights of the loss."""
    t = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    kept = torch.cos((t + 0.008) / 1.008 * torch.pi / 2) ** 2
    betas = (1 - kept[1:] / kept[:-1]).clamp(0, 0.999)
    kept = (1 - betas).cumprod(0)
    snr = kept / (1 - kept)
    s = snr.clamp(max=5) if clipped else snr
    weight = {"epsilon": s / snr, "v_prediction": s / (snr + 1), "sample": s}[objective]
    return {"betas": betas.float(), "alphas_cumprod": kept.float(), "loss_weight": weight.float()}


@pytest.mark.parametrize("name", LUCID)
def test_the_unet_of_lucidrains_as_the_original_code(name, tmp_path):
    """Plain; heads of its own, full attention above, its own last estimate; learned waves and variances. The golden
    file holds every seventh number of what version 2.3.4 of the package gave.
    """
    told = LUCID[name]
    tensors = fixed(told["shapes"], told["seed"])
    torch.save(tensors, tmp_path / "net.pt")
    prior = untried(f"{tmp_path / 'net.pt'}:noise_schedule=cosine,prediction=v_prediction", "cpu")
    x = np.random.RandomState(100).standard_normal((2, told["channels"], 16, 16)).astype(np.float32)
    out = prior.net(torch.from_numpy(x), torch.tensor(told["time"])).flatten()[::7]
    expected = torch.tensor(told["output_every_7"])
    assert (out - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("objective", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("clipped", [False, True])
def test_a_file_of_lucidrains_trainer_tells_all(objective, clipped, tmp_path):
    """Averaged weights, noise levels and what is predicted: x̂₀ by the formulas of its paper."""
    told = LUCID["lucid_plain"]
    raw, averaged = (fixed(told["shapes"], seed) for seed in (1, 0))
    tables = gaussian_diffusion(objective, clipped)
    model = {**tables, **{f"model.{k}": v for k, v in raw.items()}}
    ema = {"initted": torch.tensor(True), "step": torch.tensor(7)}
    for part, weights in (("online_model", raw), ("ema_model", averaged)):
        ema |= {f"{part}.{k}": v for k, v in {**tables, **{f"model.{k}": v for k, v in weights.items()}}.items()}
    content = {"step": 7, "model": model, "ema": ema, "opt": {}, "scaler": None, "version": "2.3.4"}
    torch.save(content, tmp_path / "m.pt")
    prior = untried(str(tmp_path / "m.pt"), "cpu")
    x, i = randn(2, 3, 16, 16), 20
    kept = float(tables["alphas_cumprod"][i])
    out = prior.net(x, torch.tensor([float(i)] * 2))
    expected = {
        "epsilon": (x - (1 - kept) ** 0.5 * out) / kept**0.5,
        "v_prediction": kept**0.5 * x - (1 - kept) ** 0.5 * out,
        "sample": out,
    }[objective]
    at = prior.schedule((i + 1) / 50)
    assert at.alpha**2 == pytest.approx(kept, rel=1e-5)
    torch.testing.assert_close(prior(x, at), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(prior.net.init_conv.weight, averaged["init_conv.weight"])


def test_what_a_file_of_lucidrains_must_say(tmp_path):
    tensors = fixed(LUCID["lucid_plain"]["shapes"], 0)
    torch.save(tensors, tmp_path / "x.pt")
    with pytest.raises(SpecError, match=r"does not say noise_schedule.*; prediction \(epsilon"):
        untried(str(tmp_path / "x.pt"), "cpu")
    old = {k: v for k, v in tensors.items() if "mem_kv" not in k}
    torch.save(old, tmp_path / "x.pt")
    with pytest.raises(DataError, match="is of an old version of denoising-diffusion-pytorch"):
        untried(f"{tmp_path / 'x.pt'}:noise_schedule=cosine,prediction=epsilon", "cpu")


def test_a_network_of_score_sde_is_refused_with_a_way_out(tmp_path):
    tensors = {"module.sigmas": torch.ones(9), "module.all_modules.0.W": torch.zeros(4)}
    tensors |= {f"module.all_modules.{i}.GroupNorm_0.weight": torch.ones(4) for i in range(1, 5)}
    ema = {"decay": 0.999, "num_updates": 3, "shadow_params": [v for k, v in tensors.items() if "all" in k]}
    for content in ({"model": tensors, "ema": ema, "optimizer": {}, "step": 3}, tensors):
        torch.save(content, tmp_path / "checkpoint_8.pth")
        with pytest.raises(DataError, match=r"is of score_sde .* Take the diffusers folder") as said:
            untried(str(tmp_path / "checkpoint_8.pth"), "cpu")
        assert "\n" not in str(said.value)


def test_what_a_ddpm_file_must_say(tmp_path):
    tensors = drawn(DDPMUNet(DDPMConfig(3, 3, 32, (1, 2), 1, ()))).state_dict()
    torch.save(tensors, tmp_path / "x.pt")
    with pytest.raises(SpecError, match=r"DDPM U-Net, 32 channels.*does not say noise_schedule"):
        untried(str(tmp_path / "x.pt"), "cpu")
    torch.save(tensors | {"down.0.block.0.conv2.weight": torch.zeros(48, 32, 3, 3)}, tmp_path / "x.pt")
    with pytest.raises(DataError, match="are no multiples of 32"):
        untried(f"{tmp_path / 'x.pt'}:noise_schedule=linear", "cpu")
