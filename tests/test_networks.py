"""The networks that are trained here: the folder they come in, the formats they run in, tiles of large pictures."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from conftest import untried
from xhat.errors import DataError, SpecError
from xhat.numerics import convolution, precision
from xhat.priors import PowerLaw, Prior, tiles
from xhat.priors.pixel import PixelPrior
from xhat.priors.residual_unet import ResidualUNet
from xhat.schedule import Level
from xhat.spec import build_as
from xhat.task.account import provenance

FAST = precision.fast_dtype
OPTIONS = {"channels": 3, "widths": [8, 16], "blocks": [1, 1], "embedding": 8, "frequencies": 4}
SIGMA = Level(0.3, 1.0, 0.3)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with a small network whose weights are all at random."""
    torch.manual_seed(0)
    net = ResidualUNet(**OPTIONS)
    save_file(
        {k: torch.randn(v.shape) / v[0].numel() ** 0.5 for k, v in net.state_dict().items()},
        tmp_path / "model.safetensors",
    )
    write(tmp_path)
    return tmp_path


def write(folder: Path, **changes: object) -> None:
    config = {
        "network": "residual_unet",
        "options": OPTIONS,
        "sigma_data": 0.5,
        "schedule": "edm",
        "trained": [0.002, 40],
    }
    config["grey"] = True
    (folder / "config.json").write_text(json.dumps(config | changes))


def picture(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def sizes(prior, monkeypatch) -> list[tuple[int, ...]]:
    """The shapes of what the network is given from now on."""
    seen, network = [], prior.network
    monkeypatch.setattr(prior, "network", lambda x, time: seen.append(tuple(x.shape)) or network(x, time))
    return seen


def test_a_folder_is_recognised_and_keeps_its_shape(folder):
    prior = untried(str(folder), "cpu")
    assert type(prior).__name__ == "NetworkFolder"
    for shape in ((2, 3, 16, 16), (1, 3, 13, 7), (1, 1, 9, 30)):
        assert prior(picture(*shape), SIGMA).shape == shape


def test_an_input_that_is_no_picture_with_noise_has_a_bounded_answer(folder):
    """Without normalisation it would grow with the input; a picture with noise is not touched, and one of a batch
    neither.
    """
    prior = untried(f"network:path={folder},dtype=float32")
    x = picture(1, 3, 16, 16)
    u = torch.cat([x.clamp(-1, 1) + 0.3 * x.flip(-1), 1e4 * x])
    out = prior.denoise(u, 0.3)
    assert torch.equal(prior.denoise(u[:1], 0.3), PixelPrior.denoise(prior, u[:1], 0.3))
    torch.testing.assert_close(out[:1], prior.denoise(u[:1], 0.3), rtol=1e-4, atol=1e-5)
    assert out[1].abs().max() <= 1 < PixelPrior.denoise(prior, u[1:], 0.3).abs().max()
    torch.testing.assert_close(prior.denoise(10 * u[1:], 0.3), out[1:], rtol=1e-4, atol=1e-5)
    black = torch.zeros(1, 3, 16, 16, requires_grad=True)
    prior.denoise(black, 0.3).sum().backward()
    assert black.grad.isfinite().all()


def test_one_level_for_all_is_the_same_as_each_its_own(folder):
    """The convolution that scales and adds by itself, against the formula of the block."""
    net = untried(str(folder), "cpu").net
    x, time = picture(2, 3, 16, 16), torch.tensor([-0.4])
    torch.testing.assert_close(net(x, time), net(x, time.expand(2)), rtol=1e-5, atol=1e-5)


def test_autocast_runs_the_network_in_bfloat16(folder):
    """As training looks at it: float32 weights under autocast, without derivatives."""
    prior = untried(f"network:path={folder},dtype=float32")
    x = picture(1, 3, 16, 16)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        cast = prior(x, SIGMA)
    assert float((cast - prior(x, SIGMA)).norm() / cast.norm()) < 0.02


def test_a_grey_picture_stays_grey(folder):
    """By shape: one channel in, one out. The network itself is asked with R = G = B."""
    prior = untried(str(folder), "cpu")
    x = picture(1, 1, 16, 16)
    wanted = prior(x.expand(-1, 3, -1, -1), SIGMA).mean(1, keepdim=True)
    torch.testing.assert_close(prior(x, SIGMA), wanted)


def test_a_new_network_changes_nothing():
    """Its branches start at zero, so D(u) = c_skip u."""
    net = ResidualUNet(**OPTIONS)
    assert not net(picture(1, 3, 16, 16), torch.tensor([0.1])).any()


@pytest.mark.parametrize(
    ("what", "says"),
    [("missing", "missing"), ("unknown", "left over"), ("shape", "of another shape"), ("nan", "NaN")],
)
def test_wrong_weights_are_refused_with_their_names(what, says, folder):
    file = folder / "model.safetensors"
    w = load_file(file)
    name = "down.0.0.first.weight"
    if what == "missing":
        del w[name]
    elif what == "unknown":
        name = "surplus"
        w[name] = torch.zeros(1)
    else:
        w[name] = torch.zeros(1) if what == "shape" else w[name] * torch.nan
    save_file(w, file)
    with pytest.raises(DataError, match=name) as e:
        untried(str(folder), "cpu")
    assert says in str(e.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "unknown"},
        {"surplus": 1},
        {"options": {"widths": [8], "blocks": []}},
        {"options": {"depth": 3}},
        {"schedule": "os.path:join"},
    ],
)
def test_a_wrong_config_is_refused(changes, folder):
    write(folder, **changes)
    with pytest.raises(SpecError, match=r"config\.json"):
        untried(str(folder), "cpu")


def test_auto_is_float32_where_nothing_else_is_fast(folder, monkeypatch):
    for fast in (torch.float32, torch.bfloat16):
        monkeypatch.setattr(precision, "fast_dtype", lambda fast=fast: fast)
        assert next(untried(str(folder), "cpu").parameters()).dtype == fast
    assert precision.dtype_of("auto", safe=False) == torch.float32
    with pytest.raises(SpecError, match="auto, float32"):
        precision.dtype_of("half")
    assert FAST() in (torch.float32, torch.bfloat16)


@pytest.mark.parametrize(
    ("found", "gains"),
    [
        ({"cpu_name": "Intel Xeon", "amx_bf16": True, "avx512_bf16": True}, True),
        ({"cpu_name": "AMD EPYC", "amx_bf16": False, "avx512_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "amx_bf16": False, "avx512_bf16": True}, False),
        ({"cpu_name": "Intel Xeon", "amx_bf16": False, "avx512_bf16": False}, False),
        ({}, False),
    ],
)
def test_bfloat16_is_taken_only_where_it_was_measured_to_gain(found, gains, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert precision.processor_has_bfloat16() == gains


def test_bfloat16_is_close_to_float32(folder):
    """Within the rounding of some ten layers, 2⁻⁸ each; the derivative within more, as some relus switch."""
    x = picture(2, 3, 24, 24)
    results = []
    for dtype in ("float32", "bfloat16"):
        prior = untried(f"network:path={folder},dtype={dtype}", "cpu")
        u = x.clone().requires_grad_()
        out = prior(u, SIGMA)
        out.square().sum().backward()
        with torch.no_grad():
            joined = prior(x, SIGMA)
        assert float((out.detach() - joined).norm() / joined.norm()) < 0.02
        results.append((out.detach(), u.grad))
    for (a, b), bound in zip(zip(*results, strict=True), (0.02, 0.1), strict=True):
        assert a.dtype == b.dtype == torch.float32
        assert float((a - b).norm() / a.norm()) < bound


@pytest.mark.skipif(convolution.POINTWISE is None, reason="this torch has no joined convolutions")
def test_joined_convolutions_compute_the_formula():
    x, onto = (picture(2, 8, 9, 9).bfloat16().contiguous(memory_format=torch.channels_last) for _ in range(2))
    w, b = picture(8, 8, 3, 3).bfloat16() / 8, picture(8).bfloat16()
    plain = torch.nn.functional.conv2d(x.float(), w.float(), b.float(), padding=1)
    near = {"rtol": 0.02, "atol": 0.02}  # bfloat16 rounds to 1 in 256
    torch.testing.assert_close(convolution.conv_relu(x, w, b).float(), plain.relu(), **near)
    torch.testing.assert_close(convolution.conv_add(x, w, b, onto).float(), plain + onto.float(), **near)


def test_tiles_are_the_whole(folder, monkeypatch):
    """Within a quarter of a grey level, in value and in derivative, also at the seams."""
    prior = untried(str(folder), "cpu")
    x, other = 0.3 * picture(2, 3, 150, 137), picture(2, 3, 150, 137)

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        u = x.clone().requires_grad_()
        out = prior(u, SIGMA)
        (out * other).sum().backward()
        return out.detach(), u.grad

    whole = run()
    monkeypatch.setattr(tiles, "SIDE", 96)
    monkeypatch.setattr(tiles, "MARGIN", 24)
    monkeypatch.setattr(tiles, "RAMP", 8)
    monkeypatch.setattr(tiles, "WHOLE", 64 * 64)
    seen = sizes(prior, monkeypatch)
    for a, b in zip(whole, run(), strict=True):
        assert float((a - b).abs().max()) < 0.25 / 127.5
    assert {size[0] for size in seen} == {1}
    assert max(max(size[2:]) for size in seen) <= 96


def test_a_batch_is_split_into_images(folder, monkeypatch):
    prior = build_as(Prior, str(folder))
    x = picture(5, 3, 16, 16)
    whole = prior(x, SIGMA)
    monkeypatch.setattr(tiles, "WHOLE", 2 * 16 * 16)
    seen = sizes(prior, monkeypatch)
    torch.testing.assert_close(prior(x, SIGMA), whole, rtol=1e-5, atol=1e-5)
    assert [size[0] for size in seen] == [2, 2, 1]


def test_a_record_says_in_which_format_the_network_ran(folder, monkeypatch):
    for fast, name in ((torch.bfloat16, "bfloat16"), (torch.float32, "float32")):
        monkeypatch.setattr(precision, "fast_dtype", lambda fast=fast: fast)
        assert provenance(prior=untried(str(folder), "cpu"))["dtype"] == name
    assert provenance(prior=PowerLaw())["dtype"] is None
