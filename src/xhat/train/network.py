"""The network of a recipe as a diffusers UNet2DModel, and the folders in the layout of diffusers that are written from
it.
"""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..errors import MismatchError, SpecError
from ..files.writing import save_safetensors, write_text
from ..priors.diffusers_folder import existing, load_unet, read_json
from ..priors.pixel import in_blocks
from .edm import Network
from .family import Shape, as_stored, write_json
from .recipe import DERIVED, Diffusion, Recipe


def build_network(recipe: Recipe, shape: Shape) -> Any:
    """A new UNet2DModel for images of `shape` (c, h, w); its weights are drawn with the recipe's seed.

    Raises SpecError if the recipe's options or the sides of the images do not fit.
    """
    import diffusers

    make: Any = diffusers.UNet2DModel
    block, options = (
        block_of(recipe),
        {k: v for k, v in recipe.network.items() if k not in ("family", "pixel_unshuffle")},
    )
    size, channels = (shape[1] // block, shape[2] // block), shape[0] * block**2
    check_sides(shape, block * 2 ** (len(options.get("block_out_channels", (0,) * 4)) - 1))
    torch.manual_seed(recipe.optimiser.seed)
    try:
        net: Any = make(
            sample_size=size[0] if size[0] == size[1] else size,
            in_channels=channels,
            out_channels=channels,
            **{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()},
        )
    except (ValueError, TypeError, ZeroDivisionError) as e:
        raise SpecError(f"network: {e}") from e
    return net.to(memory_format=torch.channels_last)


def continue_from(folder: str | Path, recipe: Recipe, shape: Shape) -> tuple[Any, Recipe]:
    """The network of a trained folder as a start, and the recipe with the folder's pixel arrangement, σ_data and
    levels.

    Raises MismatchError for another number of channels and SpecError for a scheduler other than EDMEulerScheduler.
    """
    root = existing(folder)
    extra = read_json(root / "xhat.json") if (root / "xhat.json").exists() else {}
    net = load_unet(root, torch.float32).requires_grad_(True).train()
    block = int(extra.get("pixel_unshuffle", 1))
    if net.config.in_channels != shape[0] * block**2:
        raise MismatchError(f"{root} knows images of {net.config.in_channels // block**2} channels, not {shape[0]}")
    check_sides(shape, block * 2 ** (len(net.config.block_out_channels) - 1))
    config = read_json(root / "scheduler" / "scheduler_config.json")
    if config.get("_class_name") != "EDMEulerScheduler":
        raise SpecError(f"{root}: training goes on from an EDMEulerScheduler only, not {config.get('_class_name')}")
    known = {k: v for k, v in net.config.items() if k[0] != "_" and k not in DERIVED and v is not None}
    sigma_data, schedule = float(config.get("sigma_data", 0.5)), recipe.diffusion.schedule or extra.get("schedule", "")
    diffusion = replace(recipe.diffusion, sigma_data=sigma_data, schedule=schedule)
    return net, replace(recipe, network={"family": "unet", **known, "pixel_unshuffle": block}, diffusion=diffusion)


def retimed(net: Any, levels: Diffusion) -> Any:
    """Changes `net` so that it is the same function of a time that is 1000 times as large: c = ln(σ)/4 becomes 250 ln
    σ.

    diffusers gives a consistency model 1000 c. On the range of `levels`, the sines and cosines of 1000 c at low
    frequencies span those of c up to a small error. So the first layer of the time embedding is refitted to them by
    least squares, and the fast ones start with weight 0. Raises SpecError if the network has another kind of time
    embedding.
    """
    if net.config.time_embedding_type != "positional":
        raise SpecError(f"a network with time embedding {net.config.time_embedding_type!r} cannot be told another time")
    c = torch.linspace(math.log(levels.sigma_min) / 4, math.log(levels.sigma_max) / 4, 2000, dtype=torch.float64)
    old, new = embedded(net, c), embedded(net, 1000 * c)
    slow = 1000 * frequencies(net) < 8.0  # radians per unit of c, which runs over less than 3
    basis = torch.cat([new[:, slow], torch.ones_like(c)[:, None]], 1)
    layer = net.time_embedding.linear_1
    weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
    wanted = old @ weight.T + bias
    scale = 1e-6 * len(c) ** 0.5  # a little ridge keeps the weights as small as they were
    rows = torch.cat([basis, scale * torch.eye(basis.shape[1], dtype=torch.float64)])
    found = torch.linalg.lstsq(
        rows, torch.cat([wanted, torch.zeros(basis.shape[1], wanted.shape[1]).double()])
    ).solution
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, slow] = found[:-1].T.to(layer.weight.dtype)
        layer.bias.copy_(found[-1])
    return net


def embedded(net: Any, time: Tensor) -> Tensor:
    """The network's sines and cosines of `time` (n,): (n, features)."""
    angle = time[:, None] * frequencies(net)[None, : net.config.block_out_channels[0] // 2]
    parts = [angle.cos(), angle.sin()] if net.config.flip_sin_to_cos else [angle.sin(), angle.cos()]
    return torch.cat(parts, 1)


def frequencies(net: Any) -> Tensor:
    """The frequency of each feature of the network's positional time embedding (Ho et al., 2020), in diffusers'
    order.
    """
    half = net.config.block_out_channels[0] // 2
    one = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float64) / (half - net.config.freq_shift))
    return torch.cat([one, one])


def on_blocks(net: nn.Module, block: int) -> Network:
    """The network as a loss calls it: (c_in u, times (b,)) ↦ F, on `block` × `block` pixels as channels."""

    def run(z: Tensor, when: Tensor) -> Tensor:
        out: Tensor = net(z, when, return_dict=False)[0]
        return out

    return lambda x, when: in_blocks(run, x, when, block, torch.float32)


def block_of(recipe: Recipe) -> int:
    """The side of the pixel blocks that become channels, 1 if there are none. Raises SpecError if the recipe's is not
    valid.
    """
    block = recipe.network.get("pixel_unshuffle", 1)
    if not isinstance(block, int) or block < 1:
        raise SpecError(f"network: pixel_unshuffle must be a whole number from 1 on, not {block!r}")
    return block


def check_sides(shape: Shape, multiple: int) -> None:
    """Raises SpecError if the sides of images of `shape` (c, h, w) are not multiples of `multiple`."""
    if shape[1] % multiple or shape[2] % multiple:
        raise SpecError(
            f"this network needs sides that are multiples of {multiple}, the images are {shape[1]}x{shape[2]}; "
            "data.pad, data.square or data.patch make them so"
        )


def parameters(net: nn.Module) -> int:
    """The number of parameters of `net`."""
    return sum(p.numel() for p in net.parameters())


def write_denoiser(root: Path, net: Any, recipe: Recipe, shape: Shape, half: bool = False) -> None:
    """Writes `unet/`, `scheduler/` (EDMEulerScheduler) and `xhat.json` to `root`: what diffusers and `--prior` need."""
    import diffusers

    d, scheduler = recipe.diffusion, cast(Any, diffusers.EDMEulerScheduler)
    write_unet(root / "unet", net, half)
    levels = {"sigma_min": d.sigma_min, "sigma_max": d.sigma_max, "sigma_data": d.sigma_data, "rho": d.rho}
    write_text(root / "scheduler" / "scheduler_config.json", scheduler(**levels).to_json_string())
    write_extra(root, recipe, shape, d)


def write_consistency(root: Path, net: Any, recipe: Recipe, denoiser: str, half: bool = False) -> None:
    """Writes a ConsistencyModelPipeline: `unet/`, `scheduler/` (CMStochasticIterativeScheduler) and `model_index.json`.

    `xhat.json` names the `denoiser`, a folder relative to `root`.
    """
    import diffusers

    d, scheduler = recipe.diffusion, cast(Any, diffusers.CMStochasticIterativeScheduler)
    write_unet(root / "unet", net, half)
    levels = {"sigma_min": d.sigma_min, "sigma_max": d.sigma_max, "sigma_data": d.sigma_data, "rho": d.rho}
    write_text(root / "scheduler" / "scheduler_config.json", scheduler(**levels).to_json_string())
    index = {
        "_class_name": "ConsistencyModelPipeline",
        "_diffusers_version": diffusers.__version__,
        "scheduler": ["diffusers", "CMStochasticIterativeScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    write_json(root / "model_index.json", index)
    block = block_of(recipe)
    write_json(root / "xhat.json", {"denoiser": denoiser} | ({"pixel_unshuffle": block} if block > 1 else {}))


def write_unet(folder: Path, net: Any, half: bool) -> None:
    """Writes the weights as safetensors, as 16-bit floats if `half`, and the config. If interrupted, the old file
    remains.
    """
    weights = {k: as_stored(v, half) for k, v in net.state_dict().items()}
    config = {**json.loads(net.to_json_string()), "_name_or_path": None}
    text = json.dumps({k: v for k, v in config.items() if k != "_name_or_path"}, indent=2, sort_keys=True)
    save_safetensors(folder / "diffusion_pytorch_model.safetensors", weights, {"format": "pt"})
    write_text(folder / "config.json", text + "\n")


def write_extra(root: Path, recipe: Recipe, shape: Shape, d: Diffusion) -> None:
    """Writes `xhat.json`.

    A network trained on patches takes images of any size, others only the size they were trained on.
    """
    block = block_of(recipe)
    extra: dict[str, Any] = {"schedule": d.levels}
    if block > 1:
        extra["pixel_unshuffle"] = block
    if not recipe.data.patch:
        extra["shape"] = list(shape)
    write_json(root / "xhat.json", extra)
