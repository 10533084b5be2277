"""Which weights of a file are taken: the averaged ones, whatever their name and form, and what is said about it."""

import json
import logging
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import xhat
from conftest import untried
from xhat.cli.arguments import main
from xhat.errors import SpecError
from xhat.priors.checkpoints import files
from xhat.priors.checkpoints.adm_net import ADMConfig, ADMUNet
from xhat.priors.checkpoints.recognise import known_layout

read = partial(files.read, fits=known_layout)
torch.manual_seed(0)
RAW = ADMUNet(ADMConfig(3, 6, 32, (1, 2), 1, (1,), 0, None, 16, True, True)).state_dict()
EMA = {k: v + 1 for k, v in RAW.items()}
OPTIMISER = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
LIST = {"decay": 0.9999, "num_updates": 7, "shadow_params": list(EMA.values())}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + k: v for k, v in tensors.items()}


def plain(name: str) -> str:
    return name.replace(".", "")


# Both sets in one file: who writes it, and what it looks like
BOTH = {
    "InverseBench": {"net": RAW, "ema": EMA, "optimizer": OPTIMISER},
    "model, ema_model": {"model": RAW, "ema_model": EMA},
    "model, model_ema": {"model": RAW, "model_ema": EMA, "opt": OPTIMISER},
    "state_dict_ema, as timm": {"state_dict": RAW, "state_dict_ema": EMA},
    "params, params_ema, as BasicSR": {"params": RAW, "params_ema": EMA},
    "g, g_ema": {"g": RAW, "g_ema": EMA},
    "netEMA": {"net": RAW, "netEMA": EMA},
    "swa": {"model_state": RAW, "swa_model_state": EMA},
    "polyak": {"weights": RAW, "polyak_weights": EMA},
    "moving_average": {"weights": RAW, "moving_average": EMA},
    "shadow beside backup": {"backup": RAW, "shadow": EMA},
    "shadow_params, as score_sde": {"optimizer": OPTIMISER, "model": RAW, "ema": LIST, "step": 3},
    "shadow params by number": {"model": RAW, "ema": {"shadow_params": dict(enumerate(EMA.values()))}},
    "collected_params, as torch_ema": {"model": RAW, "ema": LIST | {"collected_params": list(RAW.values())}},
    "a tuple in the optimiser's state, as NeMo": {
        "state_dict": RAW, "optimizer_states": [{"opt": OPTIMISER, "ema": tuple(EMA.values()), "current_step": 3}],
    },
    "a callback, as Lightning": {"state_dict": under("net.", RAW), "callbacks": {"EMA": {"ema_state_dict": EMA}}},
    "current_model_state, as Lightning": {
        "state_dict": under("net.", EMA), "current_model_state": under("net.", RAW), "averaging_state": {"n": 3},
    },
    "ema_pytorch": {
        "initted": torch.tensor(True), "step": torch.tensor(1),
        **under("ema_model.", EMA), **under("online_model.", RAW),
    },
    "denoising-diffusion-pytorch": {
        "model": under("model.", RAW) | {"betas": torch.ones(3)},
        "ema": {"initted": torch.tensor([True]), **under("online_model.model.", RAW), **under("ema_model.model.", EMA)},
    },
    "AveragedModel": {"model": RAW, "averaged": {"n_averaged": torch.tensor(9), **under("module.", EMA)}},
    "AveragedModel of no name": {"model": RAW, "second": {"n_averaged": torch.tensor(9), **under("module.", EMA)}},
    "Lightning, net. and ema_model.": {
        "state_dict": {**under("net.", RAW), **under("ema_model.", EMA), "betas": torch.ones(3)}
    },
    "bare names and ema.": {**RAW, **under("ema.", EMA)},
    "a list, as DDIM": [under("module.", RAW), OPTIMISER, 1, 1, EMA],
    "names without dots, as CompVis": {
        "state_dict": {
            **under("model.diffusion_model.", RAW),
            **{f"model_ema.diffusion_model{plain(k)}": v for k, v in EMA.items()},
            "model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7), "betas": torch.ones(3),
        }
    },
    "model, target": {"model": RAW, "target_model": EMA},
    "ema and non_ema": {"ema": EMA, "non_ema": RAW},
    "the larger decay": {"model": RAW, "ema_0.99": RAW, "ema_0.9999": EMA},
    "compiled and wrapped": {
        "model": under("_orig_mod.module.", RAW), "ema": under("_fsdp_wrapped_module._orig_mod.", EMA)
    },
}  # fmt: skip
ONE = {
    "bare": EMA,
    "ddpm-torch": {"ema": {"shadow": EMA}},
    "AveragedModel": {"n_averaged": torch.tensor(9), **under("module.", EMA)},
    "DataParallel": {"state_dict": under("module.", EMA)},
    "guided diffusion by Lightning": {"state_dict": {**under("model.diffusion_model.", EMA), "betas": torch.ones(3)}},
    "diffusion_model.": under("diffusion_model.", EMA),
    "twice the same": {"net": EMA, "state_dict": EMA},
}


def taken(file: Path) -> str:
    found = read(file).tensors
    assert found.keys() == RAW.keys()
    return next(
        word
        for word, wanted in (("raw", RAW), ("averaged", EMA))
        if all(torch.equal(v, wanted[k]) for k, v in found.items())
    )


@pytest.mark.parametrize("name", BOTH)
def test_averaged_weights_are_taken_where_raw_ones_lie_beside_them(tmp_path, name):
    torch.save(BOTH[name], tmp_path / "x.pt")
    assert taken(tmp_path / "x.pt") == "averaged"
    (line,) = read(tmp_path / "x.pt").notes
    assert "beside" in line
    assert taken_by_name(tmp_path / "x.pt") == {"raw", "averaged"}


def taken_by_name(file: Path) -> set[str]:
    """The words `raw` and `averaged` reach both sets."""
    first = {k: read(file, weights=k).tensors["out.2.bias"] for k in ("raw", "averaged")}
    return {k for k, want in (("raw", RAW), ("averaged", EMA)) if torch.equal(first[k], want["out.2.bias"])}


@pytest.mark.parametrize("name", ONE)
def test_the_only_weights_are_found_behind_any_name(tmp_path, name):
    torch.save(ONE[name], tmp_path / "x.pt")
    assert taken(tmp_path / "x.pt") == "averaged"
    assert not [n for n in read(tmp_path / "x.pt").notes if "raw" in n]


def test_buffers_that_are_not_averaged_come_from_the_raw_weights(tmp_path):
    """As with EMA of the trained parameters: a list without some tensors, or names without them."""
    frozen = ("time_embed.0.weight", "out.2.bias")
    part = {k: v for k, v in EMA.items() if k not in frozen}
    for content in ({"model": RAW, "ema": part}, {"model": RAW, "ema": {"shadow_params": list(part.values())}}):
        torch.save(content, tmp_path / "x.pt")
        found = read(tmp_path / "x.pt")
        assert all(torch.equal(v, (RAW if k in frozen else EMA)[k]) for k, v in found.tensors.items())
        assert "2 tensors that are not averaged" in found.notes[0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"model": RAW, "second": EMA}, "nothing says which is the average: model, second. Say weights=second"),
        ({"model": RAW, "ema": {"shadow_params": list(EMA.values())[1:][::-1]}}, "ema.shadow_params looks like"),
        ({"student": RAW, "teacher": EMA}, "student, teacher"),
    ],
)
def test_what_cannot_be_told_is_refused_with_both_names(tmp_path, content, says):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(SpecError, match=says):
        read(tmp_path / "x.pt")
    name = next(iter(content))
    assert torch.equal(read(tmp_path / "x.pt", weights=name).tensors["out.2.bias"], RAW["out.2.bias"])


def test_weights_by_name(tmp_path):
    torch.save({"model": RAW, "ema": EMA}, tmp_path / "x.pt")
    assert torch.equal(read(tmp_path / "x.pt", weights="model").tensors["out.2.bias"], RAW["out.2.bias"])
    with pytest.raises(SpecError, match="no weights 'swa'; it has model, ema"):
        read(tmp_path / "x.pt", weights="swa")
    save_file(under("net.", RAW) | under("net_ema.", EMA), tmp_path / "x.safetensors")
    assert taken(tmp_path / "x.safetensors") == "averaged"


@pytest.mark.parametrize(("raw", "averaged"), [("model000050.pt", "ema_0.9999_000050.pt"), ("net.pt", "net-EMA.pt")])
def test_averaged_weights_in_a_file_beside(tmp_path, raw, averaged):
    for name in (raw, averaged, "other_ema_000060.pt"):
        torch.save(EMA if name == averaged else RAW, tmp_path / name)
    (line,) = read(tmp_path / raw).notes
    assert averaged in line
    assert "000060" not in line
    assert read(tmp_path / averaged).notes == ()


def test_it_is_said_and_recorded(tmp_path, monkeypatch, caplog, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": RAW, "ema": EMA}, "x.pt")
    options = "num_head_channels=16,noise_schedule=linear"
    with caplog.at_level(logging.WARNING, logger="xhat"):
        prior = untried(f"x.pt:{options}", "cpu")
    (line,) = prior.notes
    assert line == "x.pt: took the averaged weights ema; model lies beside (weights=NAME takes another)"
    assert [r.getMessage() for r in caplog.records] == [f"xhat: note: {line}"]
    assert torch.equal(untried(f"x.pt:{options},weights=raw", "cpu").net.out[2].bias, RAW["out.2.bias"])
    xhat.save_image("y.png", torch.zeros(3, 8, 8))
    run = ["--operator", "denoise", "--noise", "gaussian:sigma=0.1", "--solver", "dps:steps=1", "-q", "-o", "out"]
    assert main(["restore", "y.png", "--prior", f"x.pt:{options},trial=false", *run]) == 0
    assert json.loads(Path("out/record.json").read_text())["provenance"]["notes"] == [line]
    capsys.readouterr()
    assert main(["prior", "inspect", "x.pt"]) == 0
    out = capsys.readouterr().out
    assert "weights          ema\n" in out
    assert "note             took the averaged weights ema" in out
