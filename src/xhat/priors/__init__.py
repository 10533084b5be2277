"""Priors: what is known of images before anything is measured. One line in `PRIORS` for each that a spec can build."""

from collections.abc import Callable
from pathlib import Path

import torch

from ..errors import DataError, SpecError
from ..numerics.device import best_device
from ..registry import Registry
from ..spec import build, parse, text_of
from .base import Denoiser, FixedShape, Prior
from .checkpoints import FORMATS, FileDenoiser, file_spec
from .consistency import ConsistencyFolder, ConsistencyModel, ConsistencyPrior, FlowPrior, LayeredConsistency
from .diffusers_folder import existing, kind_of
from .gaussian import GaussianPrior
from .latent import Autoencoded, LatentPrior, TextPrior
from .latent_diffusion import LatentDiffusion
from .low_rank import LowRankMixture
from .mixture import MixturePrior
from .network_folder import NetworkFolder
from .none import NoPrior
from .powerlaw import PowerLaw
from .shipped import SHIPPED
from .stable_diffusion import StableDiffusion
from .trial import tried
from .unet import DiffusersPrior

__all__ = [
    "PRIORS",
    "Autoencoded",
    "ConsistencyFolder",
    "ConsistencyModel",
    "ConsistencyPrior",
    "Denoiser",
    "DiffusersPrior",
    "FixedShape",
    "FlowPrior",
    "GaussianPrior",
    "LatentDiffusion",
    "LatentPrior",
    "LayeredConsistency",
    "LowRankMixture",
    "MixturePrior",
    "NetworkFolder",
    "NoPrior",
    "PowerLaw",
    "Prior",
    "StableDiffusion",
    "TextPrior",
    "build_prior",
    "folder_spec",
    "path_spec",
    "trusted",
]


def path_spec(text: str) -> str:
    """Returns `text`, or the spec that it stands for if it is a path, with or without options after it.

    Raises DataError if it looks like a checkpoint file that does not exist.
    """
    if text.split(":")[0].strip() in PRIORS:
        return text
    for end in (len(text), *(i for i, c in enumerate(text) if c == ":")):
        path, rest = text[:end], text[end + 1 :]
        if (place := Path(path).expanduser()).exists():
            spec = folder_spec(path) if place.is_dir() else file_spec(path)
            return f"{spec},{rest}" if rest else spec
    if (name := text.split(":")[0]).endswith(SUFFIXES):
        raise DataError(f"{name}: no such file")
    return text


def trusted(text: str) -> str:
    """The spec that `text`, a spec or a path, stands for, with trust=true. Raises SpecError if it is no program."""
    spec = parse(path_spec(text))
    if spec.name != "denoiser":
        raise SpecError(f"--trust lets a TorchScript file run as a prior, and {text} is none")
    return str(spec.with_(trust=True))


SUFFIXES = (".pt", ".pth", ".ckpt", ".pkl", ".safetensors", ".onnx", ".bin")


def folder_spec(path: str) -> str:
    """The spec of the prior in a folder in the layout of diffusers, which itself says what kind of prior it holds."""
    return f"{kind_of(existing(path))}:path={text_of(path)}"


# What a spec string can build; the other priors take tensors or functions. Those of the sciences join through
# `xhat.catalogue`.
PRIORS: Registry[Callable[..., Prior]] = Registry(
    "priors",
    Prior,
    SHIPPED
    | {f.name: f.prior for f in FORMATS.own.values()}
    | {
        "network": NetworkFolder,
        "diffusers": DiffusersPrior,
        "consistency": ConsistencyFolder,
        "denoiser": FileDenoiser,
        "powerlaw": PowerLaw,
        "latent_diffusion": LatentDiffusion,
        "stable_diffusion": StableDiffusion,
        "none": NoPrior,
    },
    resolve=path_spec,
)


def build_prior(spec: str | Prior, device: str | torch.device = "auto") -> Prior:
    """The prior of a spec string such as `photo:dtype=bfloat16`, or of the path of a folder or checkpoint.

    A path may be followed by options, as a name may: `ffhq_10m.pt:dtype=bfloat16`, `FOLDER:prompt=a cat,guidance=7.5`.
    `device` "auto" is cuda if there is one, otherwise mps, otherwise cpu. A `Prior` object is only moved to the device.
    A network is tried once: see `trial.py`. Raises SpecError for an unknown name or option, DataError if the file
    cannot be read, and MismatchError if the network does not denoise.
    """
    prior: Prior = build(spec, PRIORS) if isinstance(spec, str) else spec
    if isinstance(spec, str):
        prior.spec = spec
    prior = prior.to(best_device() if device == "auto" else device)
    tried(prior)
    return prior
