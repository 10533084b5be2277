"""Priors trained here: a folder with the weights as safetensors and a config that says what they are."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError, SpecError
from ..numerics.precision import dtype_of
from ..schedule import SCHEDULES
from ..spec import build, without_code
from .checkpoints.fit import fit
from .diffusers_folder import existing, read_json
from .pixel import PixelPrior, calibration_of
from .precondition import DIRECT, Karras, Precondition
from .residual_unet import ResidualUNet

CONFIG, WEIGHTS = "config.json", "model.safetensors"
NETWORKS: dict[str, type[ResidualUNet]] = {"residual_unet": ResidualUNet}
KEYS = ("network", "options", "sigma_data", "schedule", "trained", "grey", "shape", "endpoint", "denoiser")
BEYOND = 1.25
"""How many times the RMS of a white picture with noise an input may have."""


class NetworkFolder(PixelPrior):
    """A denoiser from a folder that `xhat train` wrote, in EDM's preconditioning. arXiv:2206.00364

    `config.json` in the folder `path` has the kind of `network` (residual_unet) and its `options`, `sigma_data`, the
    standard deviation of the training images, the `schedule` it is best run on, the lowest and highest noise level that
    it was `trained` on, beyond which it is told these, and, where they apply, `grey` (true if
    it was trained on grey pictures with grey noise, too) and `shape`, the only (channels, height, width) it takes (with
    `endpoint` and `denoiser` it is a consistency model's, which ConsistencyFolder loads);
    `model.safetensors` has its weights, and `calibration.json`, which may be missing, its errors. The network runs in
    `dtype` (auto, float32, bfloat16, float16), everything around it in the dtype of the image. `compile` passes the
    network through torch.compile: the first call is slow, later ones are faster. Unless `trial` is false, it is tried
    when it is loaded. Raises DataError if a file is missing or damaged or a tensor is missing, too many or of another
    shape, and SpecError for a wrong config.
    """

    source = "a residual U-Net without normalisation, trained by xhat"

    def __init__(self, path: str | Path, dtype: str = "auto", compile: bool = False, trial: bool = True) -> None:
        super().__init__()
        self.trial = trial
        root = existing(path)
        config = read_config(root)
        self.net = network(root, config)
        self.schedule = build(without_code(config["schedule"], root / CONFIG), SCHEDULES)
        self.precondition = self.convention(config, root)
        own = dtype_of(dtype, safe=self.precondition.prediction not in DIRECT)
        self.net.to(own).to(memory_format=torch.channels_last)
        self.known = tuple(float(s) for s in config["trained"])
        self.times = tuple(math.log(float(s)) / 4 for s in config["trained"])
        self.channels, self.multiple = self.net.config["channels"], self.net.multiple
        self.grey = bool(config.get("grey", False))
        self.size = tuple(config["shape"][1:]) if "shape" in config else None
        self.calibration = calibration_of(root)
        if compile:
            self.net.compile()

    def convention(self, config: Mapping[str, Any], root: Path) -> Precondition:
        """The convention of the network with this `config`. Raises SpecError if it is none of a denoiser."""
        if config.get("endpoint"):
            raise SpecError(f"{root} holds a consistency model; the folder itself, without network:, will do")
        return Karras("epsilon", float(config["sigma_data"]))

    def denoise(self, u: Tensor, ratio: float) -> Tensor:
        """x̂₀ from u = x₀ + ρ ε; an input that no picture with noise can be is scaled down, its answer clipped.

        Without normalisation a network goes on linearly beyond what it was trained on. A solver that trusts its data
        too far would run away with it, each answer larger than the one before.
        """
        size = u.square().mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12).sqrt()
        part = BEYOND * math.hypot(1, ratio) / size
        out = super().denoise(u * part.clamp_max(1), ratio)
        return torch.where(part < 1, out.clamp(-1, 1), out)

    @property
    def lowest(self) -> float:
        return min(self.known[0], super().lowest)

    def network(self, x: Tensor, time: float) -> Tensor:
        own = next(self.net.parameters()).dtype
        known = min(max(time, self.times[0]), self.times[1])
        out: Tensor = self.net(x.to(own), torch.full((1,), known, device=x.device))
        return out.to(x.dtype)


def read_config(root: Path) -> dict[str, Any]:
    """The config in the folder `root`. Raises DataError if it lacks something, SpecError for what is unknown."""
    config = read_json(root / CONFIG)
    if missing := [k for k in KEYS[:5] if k not in config]:
        raise DataError(f"{root / CONFIG} lacks {', '.join(missing)}")
    if unknown := [k for k in config if k not in KEYS]:
        raise SpecError(f"{root / CONFIG}: unknown {', '.join(unknown)}; known: {', '.join(KEYS)}")
    if config["network"] not in NETWORKS:
        raise SpecError(f"{root / CONFIG}: unknown network {config['network']!r}; known: {', '.join(NETWORKS)}")
    return config


def network(root: Path, config: Mapping[str, Any]) -> ResidualUNet:
    """The network of `config` with the weights in the folder `root`, in float32."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = root / WEIGHTS
    try:
        floats = {k: v.float() for k, v in load_file(file).items()}
    except FileNotFoundError:
        raise DataError(f"{file} is missing") from None
    except (OSError, SafetensorError) as e:
        raise DataError(f"{file} is not readable as safetensors: {e}") from e
    try:
        return fit(lambda: NETWORKS[config["network"]](**config["options"]), floats, file)
    except (TypeError, SpecError) as e:
        raise SpecError(f"{root / CONFIG}: options: {e}") from e
