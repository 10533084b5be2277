"""The network family of the priors trained here: a `ResidualUNet`, in the folder that `NetworkFolder` loads."""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import MismatchError, SpecError
from ..files.writing import save_safetensors
from ..priors.consistency_folder import PACE
from ..priors.network_folder import CONFIG, WEIGHTS, NetworkFolder, network, read_config
from ..priors.pixel import pad
from ..priors.residual_unet import ResidualUNet
from .edm import Network
from .family import Family, Shape, as_stored, write_json
from .recipe import Diffusion, Recipe

FORMULA = """A residual U-Net without normalisation (`model.safetensors`, `config.json`), trained by
`xhat train denoiser` for images of any size; `xhat restore --prior FOLDER` takes it.

    D(x, s) = c_skip x + c_out net(c_in x, ln(s) / 4),   x = x0 + s n in [-1, 1] units
    c_skip = d^2 / (s^2 + d^2),   c_out = s d / sqrt(s^2 + d^2),   c_in = 1 / sqrt(s^2 + d^2),   d = {sigma_data}

Held-out images, denoised at fixed noise levels s, PSNR in dB of the mean squared error:"""


JUMPS = """A residual U-Net without normalisation (`model.safetensors`, `config.json`), trained from `{teacher}` by
`xhat train consistency`; `xhat restore --prior FOLDER` takes it."""


class Residual(Family):
    """Residual U-Nets without normalisation: fast on processors, for images of any size, not loaded by diffusers."""

    formula, library, mixed = FORMULA, "xhat", True
    jumps, pace = JUMPS, PACE

    def build(self, recipe: Recipe, shape: Shape) -> ResidualUNet:
        torch.manual_seed(recipe.optimiser.seed)
        options = {k: v for k, v in recipe.network.items() if k != "family"}
        try:
            net = ResidualUNet(channels=shape[0], **options)
        except TypeError as e:
            raise SpecError(f"network: {e}") from e
        last: ResidualUNet = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return last

    def start(self, folder: Path, recipe: Recipe, shape: Shape) -> tuple[ResidualUNet, Recipe]:
        config = read_config(folder)
        net = network(folder, config).requires_grad_(True).train()
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if net.config["channels"] != shape[0]:
            raise MismatchError(f"{folder} knows images of {net.config['channels']} channels, not {shape[0]}")
        own = {"family": "residual"} | {k: v for k, v in net.config.items() if k != "channels"}
        schedule = recipe.diffusion.schedule or config["schedule"]
        diffusion = replace(recipe.diffusion, sigma_data=float(config["sigma_data"]), schedule=schedule)
        return net, replace(recipe, network=own, diffusion=diffusion)

    def caller(self, net: Any, recipe: Recipe) -> Network:
        usual = inspect.signature(ResidualUNet).parameters["widths"].default
        multiple = 2 ** len(recipe.network.get("widths", usual))

        def run(x: Tensor, when: Tensor) -> Tensor:
            h, w = x.shape[-2:]
            out: Tensor = net(pad(x, multiple), when)
            return out[..., :h, :w]

        return run

    def write(self, root: Path, net: ResidualUNet, recipe: Recipe, shape: Shape, half: bool) -> None:
        self._write(root, net, recipe, half, {})

    def retimed(self, net: ResidualUNet, levels: Diffusion) -> ResidualUNet:
        return net

    def write_consistency(
        self, root: Path, net: ResidualUNet, recipe: Recipe, shape: Shape, denoiser: str, half: bool
    ) -> None:
        self._write(root, net, recipe, half, {"shape": list(shape), "endpoint": True, "denoiser": denoiser})

    def _write(self, root: Path, net: ResidualUNet, recipe: Recipe, half: bool, more: dict[str, Any]) -> None:
        d = recipe.diffusion
        save_safetensors(root / WEIGHTS, {k: as_stored(v, half) for k, v in net.state_dict().items()}, {"format": "pt"})
        config = {
            "network": "residual_unet",
            "options": net.config,
            "sigma_data": d.sigma_data,
            "schedule": d.levels,
            "trained": [d.sigma_min, d.sigma_max],
            **more,
        }
        write_json(root / CONFIG, config)

    def load(self, root: Path, dtype: str = "auto") -> NetworkFolder:
        return NetworkFolder(root, dtype)
