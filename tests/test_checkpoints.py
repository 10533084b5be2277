"""Checkpoints in the layouts people have: original outputs, real shapes, and files that lie, break or bite."""

import io
import json
import math
import os
import pickle
import re
import sys
import types
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import xhat
from conftest import COMMITTED, untried
from drawn import drawn
from xhat.cli.arguments import main
from xhat.errors import DataError, MismatchError, SpecError
from xhat.numerics.autodiff import vjp
from xhat.priors import PRIORS, GaussianPrior
from xhat.priors.checkpoints.adm import adm_plan
from xhat.priors.checkpoints.adm_config import RELEASES
from xhat.priors.checkpoints.adm_config import config_of as adm_config_of
from xhat.priors.checkpoints.adm_net import ADMConfig, ADMUNet
from xhat.priors.checkpoints.edm import edm_plan
from xhat.priors.checkpoints.files import Checkpoint
from xhat.priors.checkpoints.karras_config import config_of as karras_config_of
from xhat.priors.checkpoints.karras_net import Conv, KarrasConfig, KarrasUNet
from xhat.priors.checkpoints.recognise import kind_of_tensors
from xhat.priors.checkpoints.unpickle import read_pickle
from xhat.schedule import EDM, VP, Discrete, Level
from xhat.spec import parameters

HEADS = "num_head_channels=16"
ADM_TINY = f"{HEADS},noise_schedule=linear,image_size=32"


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def level(ratio: float, alpha: float = 1.0) -> Level:
    return Level(0.5, alpha, alpha * ratio)


def assert_golden(found: Tensor, wanted: Tensor) -> None:
    """1e-5 of the largest value: float32 in another order of summation gives 2e-6."""
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


# Original outputs


@pytest.mark.parametrize("name", ["adm_ffhq_tiny", "adm_imagenet_tiny"])
def test_adm_as_the_original_code(shared, golden, name):
    prior = untried(f"adm:path={shared / 'golden' / name}.pt,{ADM_TINY}", "cpu")
    io = golden(f"{name}_io")
    assert_golden(prior.net(io["x"], io["t"]), io["output"])
    for i, t in enumerate(io["t"].tolist()):
        at = prior.schedule((t + 1) / 1000)
        assert at.alpha**2 == pytest.approx(float(io["alpha_bar"][i]), rel=1e-7)
        assert_golden(prior(io["x"][i : i + 1], at), io["x0"][i : i + 1])


@pytest.mark.parametrize("name", ["adm_ffhq_tiny", "adm_imagenet_tiny", "cm_imagenet64_tiny", "cm_lsun256_tiny"])
def test_drawn_networks_as_the_original_code(name, tmp_path):
    """The original code on weights that are drawn here again; `tests/golden` has every seventh number of its output."""
    told = json.loads((COMMITTED / f"{name}_drawn.json").read_text())
    torch.save(drawn(told["shapes"], told["seed"]), tmp_path / "net.pt")
    label = ",label=1" if told["labels"] else ""
    usual = HEADS + ",image_size=32" + label if name.startswith("cm") else ADM_TINY
    prior = untried(f"adm:path={tmp_path / 'net.pt'},{usual}", "cpu")
    x = np.random.RandomState(told["seed"] + 100).standard_normal((2, 3, 32, 32)).astype(np.float32)
    labels = [torch.tensor(told["labels"])] if told["labels"] else []
    out = prior.net(torch.from_numpy(x), torch.tensor(told["time"]), *labels)
    assert_golden(out.flatten()[::7], torch.tensor(told["output_every_7"]))


@pytest.mark.parametrize("name", ["cm_imagenet64_tiny", "cm_lsun256_tiny"])
def test_consistency_models_and_their_teachers_as_the_original_code(shared, golden, name):
    io, file = golden(f"{name}_io"), shared / "golden" / f"{name}.pt"
    label = ",label=1" if "class_label" in io else ""
    teacher = untried(f"adm:path={file},{HEADS},image_size=32{label}", "cpu")
    student = untried(f"openai_consistency:path={file},{HEADS},image_size=32{label}", "cpu")
    for i, sigma in enumerate(io["sigma"].double().tolist()):
        x, told = io["x"][i : i + 1], None
        if label:
            told = io["class_label"][i : i + 1]
            teacher.label, student.network.label = told, told
        assert_golden(teacher(x, level(sigma)), io["denoised"][i : i + 1])
        assert_golden(student.jump(x, level(sigma)), io["consistency"][i : i + 1])
        raw = teacher.net(x / math.hypot(sigma, 0.5), torch.tensor([250 * math.log(sigma)]), told)
        assert_golden(raw, io["network"][i : i + 1])


@pytest.mark.parametrize(("name", "convention"), [("edm_dhariwal_tiny", "edm"), ("vp_songunet_tiny", "vp")])
def test_inversebench_as_the_original_code(shared, golden, name, convention):
    prior = untried(f"edm:path={shared / 'golden' / name}.pt,convention={convention}", "cpu")
    io = golden(f"{name}_io")
    for sigma in (0.02, 0.5, 5.0, 80.0):
        x = io["x"] * max(1.0, sigma)
        for alpha in (1.0, 1 / math.hypot(1, sigma)):
            assert_golden(prior(alpha * x, level(sigma, alpha)), io[f"D_sigma_{sigma}"])


# Real shapes: networks of every release, built without memory


@pytest.mark.parametrize("name", ["keys_edm_dhariwal_128x1", "keys_edm_dhariwal_320x2", "keys_vp_songunet_64x1"])
def test_inversebench_real_shapes(golden, name):
    tensors = {k.removeprefix("model."): torch.empty(s, device="meta") for k, s in golden(name).items()}
    found = Checkpoint(Path(name), tensors)
    assert kind_of_tensors(found) == "edm"
    plan = edm_plan(found)
    assert plan.network().state_dict().keys() == tensors.keys()
    assert not plan.needs
    assert type(plan.schedule) is (VP if "vp" in name else EDM)
    assert plan.shape == ((int(name[-1]), 320, 320) if "320" in name else (1, *[int(name.split("_")[3][:-2])] * 2))


# Millions of parameters: Dhariwal & Nichol, tables 4 and 11 to 13; FFHQ as measured on the file.
ADM_SIZES = {256: (0, 552.8), 512: (1000, 559), 128: (1000, 422), 64: (1000, 296)}


@pytest.mark.parametrize("release", RELEASES, ids=lambda r: f"{r.image_size}-{r.model_channels}")
def test_adm_real_shapes(release):
    classes, millions = ADM_SIZES[release.image_size] if release.model_channels > 128 else (0, 93.56)
    c = ADMConfig(
        3, 6, release.model_channels, release.channel_mult, release.num_res_blocks, release.attention_levels,
        classes, release.heads, release.head_channels, scale_shift=True, resblock_updown=True,
    )  # fmt: skip
    with torch.device("meta"):
        net = ADMUNet(c)
    if release.model_channels == 128:
        assert len(net.state_dict()) == 362
    found = Checkpoint(Path("x.pt"), net.state_dict())
    assert kind_of_tensors(found) == "adm"
    plan = adm_plan(found)
    assert not plan.needs
    assert plan.shape == (3, release.image_size, release.image_size)
    assert plan.classes == classes
    assert sum(p.numel() for p in plan.network().parameters()) / 1e6 == pytest.approx(millions, rel=2e-3)
    cosine = release.image_size == 64
    assert plan.schedule == Discrete("squaredcos_cap_v2" if cosine else "linear")


def test_the_attention_of_imagenet_64_is_packed_and_of_the_others_is_not():
    """Rows of qkv of a head of the first order become q, k, v blocks; the new order stays."""
    c = ADMConfig(3, 6, 32, (1, 2), 1, (1,), 0, None, 16, True, True)
    torch.manual_seed(0)
    found = Checkpoint(Path("x.pt"), ADMUNet(c).state_dict())
    name = "middle_block.1.qkv.weight"
    old = adm_plan(found, num_head_channels=16, noise_schedule="linear").tensors[name]
    new = adm_plan(found, num_head_channels=16, noise_schedule="linear", use_new_attention_order=True).tensors[name]
    assert torch.equal(new, found.tensors[name])
    assert torch.equal(old[64 : 64 + 16], found.tensors[name][16:32])  # k of head 0


SONG = KarrasConfig(True, 16, 3, 3, 32, (1, 2), 2, (8,), 128, 32)
NCSN = replace(SONG, noise_channels=64, fourier=True, encoder="residual", taps=4)
KARRAS = {
    "ddpm++": SONG,
    "ncsn++": NCSN,
    "ncsn++ skip": replace(NCSN, encoder="skip", decoder="skip", label_dim=10),
    "adm": replace(SONG, song=False, label_dim=7, channel_mult=(1, 4), out_channels=6),
}


@pytest.mark.parametrize("config", KARRAS.values(), ids=KARRAS)
def test_edm_configurations_are_read_off_the_tensors(config):
    """Also: the network runs, and each image is its own."""
    torch.manual_seed(0)
    net = KarrasUNet(config)
    for v in net.state_dict().values():
        nn.init.normal_(v, std=0.05)
    found = karras_config_of(net.state_dict(), Path("x"))
    assert found == config
    x, noise = randn(2, 3, 16, 16), torch.tensor([0.1, 0.7])
    label = torch.eye(max(1, config.label_dim))[:2] if config.label_dim else None
    both = net(x, noise, label)
    assert both.shape == (2, config.out_channels, 16, 16)
    alone = net(x[1:], noise[1:], None if label is None else label[1:])
    assert torch.allclose(both[1:], alone, atol=1e-5 * float(both.detach().abs().max()))


@pytest.mark.parametrize("updown", [True, False])
@pytest.mark.parametrize("scale_shift", [True, False])
def test_adm_configurations_are_read_off_the_tensors(updown, scale_shift):
    c = ADMConfig(3, 3, 32, (0.5, 1, 2), 2, (2,), 5, None, None, scale_shift, updown)
    c = replace(c, model_channels=64, channel_mult=(0.5, 1.0, 2.0))
    net = ADMUNet(replace(c, head_channels=32))
    assert adm_config_of(net.state_dict(), Path("x")) == c
    assert net(randn(1, 3, 8, 8), torch.tensor([3.0]), torch.tensor([4])).shape == (1, 3, 8, 8)


def test_resampling_filters():
    """[1, 1] averages 2x2 blocks and repeats pixels; [1, 3, 3, 1] keeps a ramp a ramp, away from the border."""
    x = randn(1, 2, 8, 8)
    for taps, kernel in ((2, [1.0, 1.0]), (4, [1.0, 3.0, 3.0, 1.0])):
        f = torch.outer(torch.tensor(kernel), torch.tensor(kernel)) / sum(kernel) ** 2
        down, up = (Conv(2, 2, 0, change, taps) for change in ("down", "up"))
        for conv in (down, up):
            conv.resample_filter = f[None, None]
        if taps == 2:
            assert torch.allclose(down(x), nn.functional.avg_pool2d(x, 2), atol=1e-6)
            assert torch.allclose(up(x), nn.functional.interpolate(x, scale_factor=2), atol=1e-6)
        ramp = torch.arange(16.0).expand(1, 2, 16, 16)
        inside = slice(2, -2)
        assert torch.allclose(down(ramp)[..., inside, inside], (ramp[..., ::2, ::2] + 0.5)[..., inside, inside])
        if taps == 4:
            smooth = (torch.arange(32.0).expand(1, 2, 32, 32) - 0.5) / 2
            assert torch.allclose(up(ramp)[..., inside, inside], smooth[..., inside, inside], atol=1e-5)


def test_a_filter_after_the_convolution():
    """NCSN++'s residual pyramid: convolved at the full resolution, then filtered, zeros around the image."""
    conv = Conv(2, 3, 3, "down", 4, filter_last=True)
    conv.weight, conv.bias = nn.Parameter(randn(3, 2, 3, 3)), nn.Parameter(randn(3))
    conv.resample_filter = (torch.outer(k := torch.tensor([1.0, 3.0, 3.0, 1.0]), k) / 64)[None, None]
    x = randn(1, 2, 8, 8)
    full = nn.functional.conv2d(nn.functional.pad(x, (2, 2, 2, 2)), conv.weight)
    blocks = full.unfold(2, 4, 2).unfold(3, 4, 2)  # (1, 3, 4, 4, 4, 4)
    expected = (blocks * conv.resample_filter[0, 0]).sum((-1, -2)) + conv.bias[:, None, None]
    assert torch.allclose(conv(x), expected, atol=1e-5)


# Pickles: read, never run


class Persistent:
    """Pickles as NVIDIA's persistent objects do: class name, source code and state; its source would leave a mark."""

    def __init__(self, name: str, state: dict):
        self.name, self.state = name, state

    def __reduce__(self):
        from torch_utils import persistence

        source = "open('ran', 'w').close()"
        meta = {"type": "class", "version": 6, "module_src": source, "class_name": self.name, "state": self.state}
        return persistence._reconstruct_persistent_obj, (meta,)


def frozen(module: nn.Module, names: dict[type, str]):
    """A module as the EDM code would have pickled it: containers as they are, the rest as persistent objects."""
    state = {k: v for k, v in module.__dict__.items() if k in ("training", "_parameters", "_buffers")}
    state["_modules"] = {k: frozen(v, names) for k, v in module._modules.items()}
    state["skip_scale"] = np.float64(0.5) ** 0.5
    if isinstance(module, nn.ModuleDict):
        container = nn.ModuleDict()
        container.__dict__.update(state)
        return container
    return Persistent(names.get(type(module), type(module).__name__), state)


@pytest.fixture
def edm_pickle(monkeypatch, tmp_path):
    """`edm_pickle(net, wrapper, **facts)` writes a file in the layout of the released EDM pickles."""
    for name in ("torch_utils", "torch_utils.persistence"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    persistence = sys.modules["torch_utils.persistence"]

    def _reconstruct_persistent_obj(meta):  # noqa: ARG001
        raise AssertionError("must never be called")

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    persistence._reconstruct_persistent_obj = _reconstruct_persistent_obj
    sys.modules["torch_utils"].persistence = persistence
    monkeypatch.chdir(tmp_path)

    def write(net: KarrasUNet, wrapper: str, **facts: object) -> Path:
        inner = frozen(net, {KarrasUNet: "SongUNet" if net.song else "DhariwalUNet"})
        buffers = {"u": torch.zeros(1001)} if wrapper == "iDDPMPrecond" else {}
        state = {"_parameters": {}, "_buffers": buffers, "_modules": {"model": inner}, "_init_args": (), **facts}
        content = {"ema": Persistent(wrapper, state), "loss_fn": Persistent("EDMLoss", {"P_mean": -1.2})}
        (file := tmp_path / "net.pkl").write_bytes(pickle.dumps(content, protocol=4))
        return file

    yield write
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("name", "wrapper"), [("edm_dhariwal_tiny", "EDMPrecond"), ("vp_songunet_tiny", "VPPrecond")])
def test_edm_pickles_give_the_original_outputs(shared, golden, edm_pickle, name, wrapper):
    kind = {"EDMPrecond": "edm", "VPPrecond": "vp"}[wrapper]
    source = untried(f"edm:path={shared / 'golden' / name}.pt,convention={kind}", "cpu")
    facts = {"sigma_data": np.float64(0.5)} if kind == "edm" else {"beta_d": 19.9, "beta_min": 0.1, "M": 1000}
    file = edm_pickle(source.net, wrapper, **facts)
    prior = untried(str(file), "cpu")
    assert_golden(prior(golden(f"{name}_io")["x"] * 5, level(5.0)), golden(f"{name}_io")["D_sigma_5.0"])
    assert prior.schedule == source.schedule


@pytest.mark.parametrize(
    ("config", "wrapper", "facts", "schedule"),
    [
        ("ncsn++", "VEPrecond", {"sigma_min": 0.02, "sigma_max": 100}, EDM(0.02, 100.0)),
        ("adm", "iDDPMPrecond", {"M": 1000}, Discrete("squaredcos_cap_v2")),
        ("ddpm++", "EDMPrecond", {"sigma_data": np.float64(0.25)}, EDM()),
    ],
)
def test_conventions_of_edm_pickles(edm_pickle, config, wrapper, facts, schedule):
    torch.manual_seed(0)
    net = KarrasUNet(KARRAS[config]).eval()
    for v in net.state_dict().values():
        nn.init.normal_(v, std=0.05)
    net.map_augment = nn.Linear(9, 32, bias=False)  # as the released ones have; inference does without
    file = edm_pickle(net, wrapper, **facts)
    label = ",label=3" if config == "adm" else ""
    prior = untried(f"edm:path={file}{label}", "cpu")
    assert prior.schedule == schedule
    x, sigma = randn(2, 3, 16, 16), 0.7
    told = {
        "VEPrecond": math.log(sigma / 2),
        "iDDPMPrecond": Discrete("squaredcos_cap_v2").index(sigma),
        "EDMPrecond": math.log(sigma) / 4,
    }[wrapper]
    norm = math.hypot(0.25, sigma)
    into, skip, out = {
        "VEPrecond": (1, 1, sigma),
        "iDDPMPrecond": (1 / math.hypot(1, sigma), 1, -sigma),
        "EDMPrecond": (1 / norm, (0.25 / norm) ** 2, 0.25 * sigma / norm),
    }[wrapper]
    one_hot = nn.functional.one_hot(torch.tensor([3, 3]), 7).float() if label else None
    raw = net(into * x, torch.full((2,), told), one_hot)[:, :3]
    assert torch.allclose(prior(x, level(sigma)), skip * x + out * raw, rtol=1e-4, atol=1e-4)


class Bomb:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch ran",)


def bombs() -> dict[str, object]:
    return {
        "plain": Bomb(),
        "inside": {"ema": [1, Bomb()]},
        "tensor": {"ema": torch.zeros(3), "more": Bomb()},
        "eval": {"x": types.SimpleNamespace()},
    }


@pytest.mark.parametrize("which", bombs())
@pytest.mark.parametrize("saved", ["pickle", "torch", "old torch"])
def test_malicious_files_are_refused_and_nothing_is_run(tmp_path, monkeypatch, which, saved):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "evil.pt"
    if saved == "pickle":
        file.write_bytes(pickle.dumps(bombs()[which]))
    else:
        torch.save(bombs()[which], file, _use_new_zipfile_serialization=saved == "torch")
    with pytest.raises(DataError, match=r"asks for .*refused, nothing of it was run"):
        untried(str(file), "cpu")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cos\nsystem\n(S'touch ran'\ntR.",  # protocol 0
        b"\x80\x02(S'touch ran'\nios\nsystem\n.",  # INST
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x01" + b"1\x85R.",
        b"\x80\x02ctorch_utils.persistence\n_reconstruct_persistent_obj\n}S'a'\ncbuiltins\nexec\nsb.",
    ],
)
def test_pickle_opcodes_that_call(tmp_path, monkeypatch, code):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pkl").write_bytes(code + b" " * 20)
    with pytest.raises(DataError, match=r"(os.system|builtins\.\w+) and was refused"):
        read_pickle(tmp_path / "evil.pkl")
    assert not (tmp_path / "ran").exists()


# Files that are broken, foreign, or of another network


@pytest.fixture(scope="session")
def tiny_adm(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    net = ADMUNet(ADMConfig(3, 6, 32, (1, 2), 1, (1,), 0, None, 16, True, True))
    torch.save(net.state_dict(), file := tmp_path_factory.mktemp("adm") / "tiny.pt")
    return file


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["torch", "old torch", "safetensors", "pickle", "torchscript", "onnx"])
def test_cut_off_files(tmp_path, tiny_adm, edm_pickle, kind, share):
    weights = torch.load(tiny_adm)
    file = tmp_path / {"safetensors": "x.safetensors", "onnx": "x.onnx"}.get(kind, "x.pt")
    if kind == "pickle":
        file = edm_pickle(KarrasUNet(SONG), "EDMPrecond")
    elif kind == "safetensors":
        save_file(weights, file)
    elif kind == "torchscript":
        script(Shrink(), file)
    elif kind == "onnx":
        onnx_file(file)
    else:
        torch.save(weights, file, _use_new_zipfile_serialization=kind == "torch")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=file.name):
        untried(str(file), "cpu")


@pytest.mark.parametrize("kind", ["torch", "torchscript"])
def test_one_flipped_bit(tmp_path, tiny_adm, kind):
    file = tmp_path / "x.pt"
    torch.save(torch.load(tiny_adm), file) if kind == "torch" else script(nn.Conv2d(3, 3, 3), file)
    whole = bytearray(file.read_bytes())
    name = whole.index(b"data/0") if kind == "torch" else whole.index(b"code/")
    whole[name + 200] ^= 1
    file.write_bytes(whole)
    with pytest.raises(DataError, match=r"x.pt is (cut off or )?damaged"):
        untried(f"{file}:trust=true,sigma_max=1", "cpu")


def test_rounding_the_weights_leaves_filters_and_frequencies(edm_pickle):
    torch.manual_seed(0)
    net = KarrasUNet(NCSN)
    for v in net.state_dict().values():
        nn.init.normal_(v, std=0.05)
    file = edm_pickle(net, "VEPrecond")
    prior = untried(f"edm:path={file},dtype=bfloat16", "cpu")
    assert torch.equal(prior.net.map_noise.freqs, net.map_noise.freqs)
    assert prior.net.map_layer0.weight.dtype == torch.bfloat16
    x = randn(1, 3, 16, 16)
    exact = untried(f"edm:path={file}", "cpu")(x, level(0.7))
    assert torch.allclose(prior(x, level(0.7)), exact, atol=0.05)


def test_a_pickle_whose_tensors_lie(edm_pickle):
    """A size that reaches beyond the numbers in the file."""
    file = edm_pickle(KarrasUNet(SONG), "EDMPrecond")
    whole = file.read_bytes()
    at = whole.index(b"_rebuild_tensor_v2")
    shape = whole.index(b"K\x80K ", at)  # (128, 32), the first weight
    file.write_bytes(whole[:shape] + b"K\xffK " + whole[shape + 4 :])
    with pytest.raises(DataError, match=r"net.pkl .*cannot be read"):
        untried(str(file), "cpu")


def zipped(name: str) -> bytes:
    with zipfile.ZipFile(data := io.BytesIO(), "w") as archive:
        archive.writestr(name, "x" * 99)
    return data.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<!DOCTYPE html><html><body>quota exceeded</body></html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "an HDF5 file"),
        (b"just some words, not at all a network", "no checkpoint of a known kind"),
        (b"", "is empty"),
        (zipped("y.npy"), "a NumPy archive"),
        (zipped("readme.txt"), "a zip archive without tensors"),
        (pickle.dumps({"ema": {"a": 1}}) + b" " * 20, "without a network of EDM"),
        (b"\x80\x04garbage, garbage, garbage", "cannot be read as a pickle"),
    ],
)
def test_foreign_files(tmp_path, content, says):
    (tmp_path / "net.pt").write_bytes(content)
    with pytest.raises(DataError, match=f"net.pt.*{says}"):
        untried(str(tmp_path / "net.pt"), "cpu")


def test_missing_files_and_layouts(tmp_path):
    with pytest.raises(DataError, match=r"ffhq_10m.pt: no such file"):
        untried("ffhq_10m.pt:label=3")
    with pytest.raises(DataError, match="is a folder, not a file"):
        untried(f"adm:path={tmp_path}")
    for tensors, says in [
        ({"a.weight": torch.zeros(2)}, "begins with a.weight. Known: OpenAI"),
        ({"model.diffusion_model.a.transformer_blocks.x": torch.zeros(2)}, "latent diffusion"),
        ({"down_blocks.0.x": torch.zeros(2)}, "give the folder around it"),
        ({"step": 3, "note": "x"}, "holds step, note"),
        ([torch.zeros(2)], "holds a list"),
    ]:
        torch.save(tensors, tmp_path / "x.pt")
        with pytest.raises(DataError, match=says):
            untried(str(tmp_path / "x.pt"))


def test_the_first_tensors_that_do_not_fit_are_named(tmp_path, tiny_adm):
    weights = torch.load(tiny_adm)
    options = f"{HEADS},noise_schedule=linear"

    def refused(changed, says):
        torch.save(changed, tmp_path / "x.pt")
        with pytest.raises(DataError, match=says):
            untried(f"adm:path={tmp_path / 'x.pt'},{options}", "cpu")

    wide = weights | {"middle_block.0.out_layers.3.weight": torch.zeros(64, 32, 3, 3)}
    refused(wide, r"1 of another shape: middle_block.0.out_layers.3.weight is \(64, 32, 3, 3\), not \(64, 64, 3, 3\)")
    refused({k: v for k, v in weights.items() if k != "time_embed.2.bias"}, "1 missing: time_embed.2.bias")
    refused(weights | {"ears.weight": torch.zeros(1)}, "1 left over: ears.weight")
    refused(weights | {"out.0.bias": torch.full((32,), torch.nan)}, "out.0.bias holds NaN")
    refused(weights | {"input_blocks.0.0.weight": torch.zeros(32, 6, 3, 3), "out.2.weight": torch.zeros(3, 32, 3, 3)},
            "takes 6 channels and gives 3")  # fmt: skip
    refused({k: v for k, v in weights.items() if not k.startswith("output_blocks")}, "half a U-Net")
    refused({k: v for k, v in weights.items() if not k.startswith("out.")}, "lacks the tensor out.2.weight")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("", "num_heads or num_head_channels.*noise_schedule"),
        (f":{HEADS}", "does not say noise_schedule"),
        (":noise_schedule=linear,num_head_channels=24", "does not split into 24"),
        (":noise_schedule=quadratic", "noise_schedule must be"),
        (f":{HEADS},noise_schedule=linear,label=3", "not class-conditional; label is 3"),
        (f":{HEADS},noise_schedule=linear,dtype=int8", "float32, bfloat16, float16"),
        (f":{HEADS},noise_schedule=linear,prediction=noise", "known: epsilon, v_prediction, sample"),
        (":heads=4", "adm has no option heads; it has path, image_size"),
    ],
)
def test_what_the_options_must_say(tiny_adm, options, says):
    with pytest.raises(SpecError, match=says):
        untried(f"{tiny_adm}{options}", "cpu")


def test_other_numbers_of_steps(tiny_adm):
    """As guided-diffusion: the linear β shrink with the number of steps; times run to it, or to 1000 if rescaled."""
    prior = untried(f"{tiny_adm}:{HEADS},noise_schedule=linear,steps=4000,rescale_timesteps=true", "cpu")
    assert prior.schedule == Discrete("linear", 2.5e-5, 0.005, 4000)
    assert prior.precondition(prior.schedule(1.0).ratio).noise == pytest.approx(3999 / 4)
    prior = untried(f"{tiny_adm}:{HEADS},noise_schedule=cosine,steps=4000,rescale_timesteps=false", "cpu")
    assert prior.schedule == Discrete("squaredcos_cap_v2", 2.5e-5, 0.005, 4000)
    assert prior.precondition(prior.schedule(1.0).ratio).noise == 3999
    with pytest.raises(SpecError, match=r"rescale_timesteps \(true if times run to 1000 over its 4000 steps"):
        untried(f"{tiny_adm}:{HEADS},noise_schedule=cosine,steps=4000", "cpu")


def test_a_table_beside_the_network_is_its_noise_schedule(tmp_path, tiny_adm):
    weights, betas = torch.load(tiny_adm), torch.linspace(0.01, 0.02, 1000)
    content = {f"model.diffusion_model.{k}": v for k, v in weights.items()} | {"betas": betas}
    torch.save({"state_dict": content}, tmp_path / "x.ckpt")
    prior = untried(f"{tmp_path / 'x.ckpt'}:{HEADS}", "cpu")
    assert prior.schedule == Discrete(betas=tuple(betas.double().tolist()))
    assert untried(f"{tmp_path / 'x.ckpt'}:{HEADS},noise_schedule=cosine", "cpu").schedule.kind == "squaredcos_cap_v2"


def test_shapes_labels_and_names(tmp_path, tiny_adm):
    prior = untried(f"{tiny_adm}:{HEADS},noise_schedule=cosine", "cpu")
    for good in ((3, 8, 8), (3, 16, 32)):
        prior.check(good)
    for bad in ((1, 8, 8), (3, 8, 9), (3, 8)):
        with pytest.raises(MismatchError, match=r"\(3, any, any\) in multiples of 2"):
            prior.check(bad)
    with pytest.raises(MismatchError, match=r"\(3, 16, 16\), the problem has"):
        untried(f"{tiny_adm}:{HEADS},noise_schedule=cosine,image_size=16", "cpu").check((3, 8, 8))
    conv = {k: v[..., None] if v.ndim == 3 else v for k, v in torch.load(tiny_adm).items()}  # 2-d, as theirs
    conv |= {"label_emb.weight": randn(1000, 128), "out.2.weight": randn(3, 32, 3, 3), "out.2.bias": randn(3)}
    torch.save(conv, tmp_path / "mine.pt")
    weights = (tmp_path / "mine.pt").read_bytes()
    for name, kind in (("edm_imagenet64_ema.pt", "ADM"), ("cd_imagenet64_lpips.pt", "ConsistencyCheckpoint")):
        (tmp_path / name).write_bytes(weights)
        prior = untried(f"{tmp_path / name}:{HEADS},image_size=16,label=0", "cpu")
        assert type(prior).__name__ == kind
        with pytest.raises(SpecError, match="has classes 0 to 999; label is not given"):
            untried(f"{tmp_path / name}:{HEADS},image_size=16", "cpu")
    teacher = f"adm:path={tmp_path / 'edm_imagenet64_ema.pt'},{HEADS},image_size=16,label=3,trial=false"
    student = f"{tmp_path / 'cd_imagenet64_lpips.pt'}:{HEADS},image_size=16,label=3"
    x, t = randn(1, 3, 16, 16), level(2.0)
    pair = untried(f"{student},denoiser='{teacher}'", "cpu")
    assert torch.equal(pair(x, t), untried(teacher, "cpu")(x, t))
    with pytest.raises(MismatchError, match="comes without a denoiser"):
        untried(student, "cpu")(x, t)
    with pytest.raises(SpecError, match=r"Say --prior adm:path=.* or --prior openai_consistency:path="):
        untried(str(tmp_path / "mine.pt"))
    with pytest.raises(MismatchError, match="no consistency model of OpenAI"):
        untried(f"openai_consistency:path={tiny_adm}")
    for wrong in ("edm", "denoiser"):
        with pytest.raises((SpecError, DataError), match=r"give .* path alone"):
            untried(f"{wrong}:path={tiny_adm}")


def test_wrappers_prefixes_and_formats_around_the_same_weights(tmp_path, tiny_adm):
    weights = torch.load(tiny_adm)
    wrong = {k: torch.zeros_like(v) for k, v in weights.items()}
    x, options = randn(1, 3, 8, 8), f"{HEADS},noise_schedule=linear"
    expected = untried(f"{tiny_adm}:{options}", "cpu")(x, level(0.5))
    for content in (
        {"net": wrong, "ema": {f"model.{k}": v for k, v in weights.items()}, "optimizer": {"lr": 1.0}},
        {"state_dict": {f"module.{k}": v for k, v in weights.items()}},
        {"step": 3, "model": weights},
    ):
        torch.save(content, tmp_path / "x.pt")
        assert torch.equal(untried(f"{tmp_path / 'x.pt'}:{options}", "cpu")(x, level(0.5)), expected)
    torch.save(weights, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file(weights, tmp_path / "x.safetensors")
    for name in ("old.pt", "x.safetensors"):  # another alignment in memory, another order of summation
        found = untried(f"{tmp_path / name}:{options}", "cpu")(x, level(0.5))
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)
    halves = {k: v.half() for k, v in weights.items()}
    torch.save(halves, tmp_path / "half.pt")
    rounded = untried(f"{tmp_path / 'half.pt'}:{options}", "cpu")(x.double(), level(0.5))
    assert rounded.dtype == torch.float64
    assert torch.allclose(rounded.float(), expected, atol=1e-2)
    slow = untried(f"{tiny_adm}:{options},dtype=bfloat16", "cpu")
    assert torch.allclose(slow(x, level(0.5)), expected, atol=0.1)


# Denoisers in a file


class Shrink(nn.Module):
    """E[x₀|x] for x₀ ~ N(0.2, 0.5²), x in [−1, 1]."""

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        s = sigma.reshape(-1, 1, 1, 1)
        return 0.2 + (x - 0.2) * 0.25 / (0.25 + s**2)


class Unit(nn.Module):
    """The same in [0, 1], its noise estimate, told by a map in one more channel."""

    def forward(self, x: Tensor) -> Tensor:
        u, s = x[:, :-1], x[:, -1:]
        return (u - 0.6) * s**2 / (0.25**2 + s**2)


class Score(nn.Module):
    """∇log p(x) of the same in [−1, 1], told by a scalar."""

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return (0.2 - x) / (0.25 + sigma**2)


class Noise(nn.Module):
    """(x − D)/σ of the same, told by a column."""

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return (x - 0.2) * sigma / (0.25 + sigma**2)


class Blind(nn.Module):
    """The residual x − D for x₀ ~ N(0, 0.5²), the level judged by the mean square of each image."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x * 0.25 / x.square().mean((1, 2, 3), keepdim=True)


def script(net: nn.Module, file: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.jit, of a kind that hangs on torch's version
        torch.jit.script(net).save(str(file))
    return file


def onnx_file(file: Path, batch: object = "b", column: bool = False) -> Path:
    """y = x / (1 + sigma²), as a graph."""
    onnx = pytest.importorskip("onnx")
    real, info = onnx.TensorProto.FLOAT, onnx.helper.make_tensor_value_info
    told = [batch, 1, 1, 1] if column else []
    node = onnx.helper.make_node
    nodes = [node("Mul", ["s", "s"], ["q"]), node("Add", ["q", "one"], ["d"]), node("Div", ["x", "d"], ["y"])]
    ends = [info("x", real, [batch, 3, "h", "w"]), info("s", real, told)], [info("y", real, [batch, 3, "h", "w"])]
    one = onnx.helper.make_tensor("one", real, [], [1.0])
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "g", *ends, [one]), opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    file.write_bytes(model.SerializeToString())
    return file


EXACT = GaussianPrior((3, 4, 4), 0.25 * torch.eye(48), 0.2)


@pytest.mark.parametrize(
    ("net", "options"),
    [
        (Shrink(), ""),
        (Unit(), ",sigma=channel,low=0,output=residual"),
        (Score(), ",sigma=scalar,output=score"),
        (Noise(), ",sigma=column,output=noise"),
        (Noise(), ",sigma=map,output=noise"),
    ],
)
def test_denoisers_and_scores_by_tweedie_are_the_exact_prior(tmp_path, net, options):
    prior = untried(f"{script(net, tmp_path / 'd.pt')}:trust=true{options}", "cpu")
    for t in (level(0.05), level(0.7, alpha=0.5), level(20.0)):
        x = t.alpha * (1 + t.ratio) * randn(2, 3, 4, 4)
        found, back = vjp(lambda x, t=t: prior(x, t), x)
        exact, exact_back = vjp(lambda x, t=t: EXACT(x, t), x)
        assert torch.allclose(found, exact, rtol=1e-4, atol=1e-5)
        assert torch.allclose(back(x), exact_back(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0])
def test_blind_denoisers_by_tweedie(tmp_path, sigma):
    """Where the images have the power the level implies, a blind denoiser judges it exactly, and is the exact prior."""
    file = script(Blind(), tmp_path / "blind.pt")
    prior = untried(f"{file}:trust=true,output=residual,sigma_max=3", "cpu")
    x = randn(2, 3, 4, 4)
    x = x / x.square().mean((1, 2, 3), keepdim=True).sqrt() * math.hypot(0.5, sigma)
    exact = GaussianPrior((3, 4, 4), 0.25 * torch.eye(48))
    for alpha in (1.0, 0.3):
        assert torch.allclose(prior(alpha * x, level(sigma, alpha)), exact(x, level(sigma)), rtol=1e-4, atol=1e-6)
    assert prior.schedule == EDM(0.002, 3.0)
    with pytest.raises(SpecError, match="give sigma_max"):
        untried(f"{file}:trust=true", "cpu")
    with pytest.raises(SpecError, match="takes 1 inputs, and sigma=vector means 2"):
        untried(f"denoiser:path={file},trust=true,sigma=vector", "cpu")


@pytest.mark.parametrize("batch", ["b", 1])
@pytest.mark.parametrize("column", [True, False])
def test_onnx(tmp_path, batch, column):
    pytest.importorskip("onnxruntime")
    prior = untried(str(onnx_file(tmp_path / "d.onnx", batch, column)), "cpu")
    x, t = randn(3, 3, 4, 6), level(0.7, alpha=0.5)
    assert torch.allclose(prior(x, t), 2 * x / 1.49, atol=1e-6)
    assert prior(x.double(), t).dtype == torch.float64
    with pytest.raises(MismatchError, match="takes images of shape"):
        prior(x[:, :1], t)
    _, back = vjp(lambda x: prior(x, t), x)
    with pytest.raises(MismatchError, match="no derivative"):
        back(x)


def test_programs_that_lie(tmp_path):
    file = script(nn.Upsample(scale_factor=2), tmp_path / "up.pt")
    prior = untried(f"{file}:trust=true,sigma_max=1", "cpu")
    with pytest.raises(MismatchError, match=r"returns shape \(1, 3, 8, 8\)"):
        prior(randn(1, 3, 4, 4), level(0.5))
    with pytest.raises(SpecError, match="low = 1 must be below high = 1"):
        untried(f"{file}:trust=true,low=1,sigma_max=1", "cpu")


# The command line


def test_inspect(tmp_path, capsys, monkeypatch, tiny_adm, shared):
    def table(*arguments):
        assert main(["prior", "inspect", *map(str, arguments)]) == 0
        return capsys.readouterr().out

    out = table(tiny_adm)
    assert "needs            num_heads or num_head_channels of its attention; noise_schedule (linear or cosine)" in out
    (tmp_path / "c.json").write_text(json.dumps({"num_head_channels": 16, "noise_schedule": "linear"}))
    (tmp_path / "c.toml").write_text("num_head_channels = 16\nnoise_schedule = 'linear'\n")
    tables = [table(tiny_adm, "--prior-config", c) for c in (f"{HEADS},noise_schedule=linear", *tmp_path.glob("c.*"))]
    assert len(set(tables)) == 1
    n = sum(v.numel() for v in torch.load(tiny_adm).values())
    for words in (
        "guided-diffusion state dict", "32 channels x (1, 2)", f"{n:,}, float32", "(3, any, any) in multiples of 2",
        "epsilon; Tabulated", "discrete:kind=linear", "from 0.01 to 157.4", f"adm:path={tiny_adm},num_head",
    ):  # fmt: skip
        assert words in tables[0]
    assert "needs" not in tables[0]
    out = table(shared / "golden" / "vp_songunet_tiny.pt", "--prior-config", "convention=vp")
    assert all(words in out for words in ("DDPM++ (SongUNet)", "(1, 32, 32)", "vp:beta_min=0.1", "to 152.2"))
    out = table(shared / "golden" / "cm_imagenet64_tiny.pt")
    assert all(words in out for words in ("1000: give label=0 to 999", "the tensors do not tell"))
    assert "TorchScript, a function of 2 inputs" in table(script(Shrink(), tmp_path / "d.pt"))

    class Exact(GaussianPrior):
        """Known in full."""

        def __init__(self):
            super().__init__((3, 4, 4), torch.eye(48))

    monkeypatch.setitem(PRIORS.own, "exact", Exact)
    out = table("exact")
    assert all(words in out for words in ("Exact: Known in full.", "(3, 4, 4)", "from 0.002 to 80"))


def test_inspect_refuses(tmp_path, capsys, tiny_adm):
    (tmp_path / "bad.toml").write_text("a = [")
    (tmp_path / "deep.json").write_text('{"model": {"a": 1}}')
    for arguments, says in [
        (["nothing.pt"], "nothing.pt: no such file"),
        ([str(tiny_adm), "--prior-config", "heads=3"], "adm has no option heads"),
        ([str(tiny_adm), "--prior-config", str(tmp_path / "bad.toml")], "cannot be read as TOML"),
        ([str(tiny_adm), "--prior-config", str(tmp_path / "deep.json")], "does not hold plain options"),
    ]:
        assert main(["prior", "inspect", *arguments]) == 2
        assert says in capsys.readouterr().err


def test_restore_with_a_checkpoint(tmp_path, monkeypatch, shared):
    untried_tiny = f"{ADM_TINY},trial=false"
    monkeypatch.chdir(tmp_path)
    xhat.save_image("y.png", randn(3, 32, 32).clamp(-1, 1))
    physics = ["--operator", "denoise", "--noise", "gaussian:sigma=0.1", "--solver", "dps:steps=2", "-q"]
    file = str(shared / "golden" / "adm_ffhq_tiny.pt")
    assert main(["restore", "y.png", *physics, "--prior", file, "--prior-config", untried_tiny, "-o", "a"]) == 0
    assert main(["restore", "y.png", *physics, "--prior", f"{file}:{untried_tiny}", "-o", "b"]) == 0
    assert torch.equal(xhat.load_image("a/restored.png"), xhat.load_image("b/restored.png"))
    assert json.loads(Path("a/record.json").read_text())["prior"] == f"adm:path={file},{untried_tiny}"
    assert main(["restore", "y.png", *physics, "--prior", file, "-o", "c"]) == 2


def test_the_options_in_the_docs_are_the_priors():
    """Each file of the table in docs/checkpoints.md with its options, each layout with the options it may need."""
    lines = (Path(__file__).parents[1] / "docs/checkpoints.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    named = {PRIORS[row[1].strip("`")]: row[2] for row in rows if len(row) == 3 and row[1].strip("`") in PRIORS}
    assert len(named) == 6
    for cls, cell in named.items():
        known = parameters(cls)
        words = [w for w in re.findall(r"`(\w+)`", cell) if w not in known]
        assert not words, (cls, words)
    every = {name for cls in named for name in parameters(cls)}
    typed = [row[1] for row in rows if len(row) == 2 and "--prior" in row[1]]
    assert len(typed) == 15
    for cell in typed:
        for option in re.findall(r"[ :,](\w+)=", cell):
            assert option in every, cell
