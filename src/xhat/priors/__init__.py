"""Priors: what is known of images before anything is measured. One line in `PRIORS` for each that a spec can build."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import DataError, SpecError, named
from ..files.suffixes import PICTURES
from ..numerics.device import pick_device
from ..registry import Registry
from ..spec import build, needed, parse, text_of
from .base import FixedShape, Prior
from .checkpoints import FORMATS, FileDenoiser, Format, file_spec
from .consistency import ConsistencyModel, ConsistencyPrior, FlowPrior, LayeredConsistency
from .consistency_folder import ConsistencyFolder
from .denoiser import Denoiser
from .diffusers_folder import existing, kind_of
from .gaussian import GaussianPrior
from .given_network import GivenNetwork, in_memory
from .latent import Autoencoded, LatentPrior, TextPrior
from .latent_diffusion import LatentDiffusion
from .lifted import LiftedPrior, frames, slices
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
    "GivenNetwork",
    "LatentDiffusion",
    "LatentPrior",
    "LayeredConsistency",
    "LiftedPrior",
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

    Raises DataError if it looks like a checkpoint file that does not exist, and SpecError if it names a prior without
    what that cannot do without.
    """
    if not text.strip():
        raise SpecError("the prior is empty: give a spec (xhat list priors), a checkpoint or a folder")
    if (named := text.split(":")[0].strip()) in PRIORS:
        needed(parse(text), PRIORS[named])
        return text
    for end in (len(text), *(i for i, c in enumerate(text) if c == ":")):
        path, rest = text[:end], text[end + 1 :]
        if (place := Path(path).expanduser()).exists():
            check_model(place)
            spec = folder_spec(path) if place.is_dir() else file_spec(path)
            return f"{spec},{rest}" if rest else spec
    if (name := text.split(":")[0]).endswith(SUFFIXES):
        raise DataError(f"{name}: no such file")
    if HUB.fullmatch(name):
        raise DataError(
            f"{name}: no such folder here; if it is a model of the Hugging Face hub, download it first, with "
            f"`hf download {name} --local-dir {name.split('/')[1]}`, and give that folder"
        )
    return text


def check_model(place: Path) -> None:
    """Raises DataError for a picture, and for a folder in which no model can be."""
    known = ("config.json", "model_index.json", "*/config.json")
    if place.is_dir() and not any(True for name in known for _ in place.glob(name)):
        raise DataError(f"{place}: holds no model; the folder of one has config.json or model_index.json in it")
    if place.suffix.lower() in PICTURES:
        raise DataError(f"{place}: is a picture; a prior is a spec (xhat list priors), a checkpoint or a folder")


def trusted(text: str) -> str:
    """The spec that `text`, a spec or a path, stands for, with trust=true. Raises SpecError if it is no program."""
    spec = parse(path_spec(text))
    if spec.name != "denoiser":
        raise SpecError(f"--trust lets a TorchScript file run as a prior, and {text} is none")
    return str(spec.with_(trust=True))


HUB = re.compile(r"[\w.-]+/[\w.-]+")  # owner/name
SUFFIXES = (".pt", ".pth", ".ckpt", ".pkl", ".safetensors", ".onnx", ".bin")


def folder_spec(path: str) -> str:
    """The spec of the prior in a folder in the layout of diffusers, which itself says what kind of prior it holds."""
    return f"{kind_of(existing(path))}:path={text_of(path)}"


def _of_formats(formats: Mapping[str, Format]) -> dict[str, type[Prior]]:
    return {row.name: row.prior for row in formats.values()}


# What a spec string can build; the other priors take tensors or functions. Those of the sciences join through
# `xhat.catalogue`.
PRIORS: Registry[Callable[..., Prior]] = Registry(
    "priors",
    Prior,
    SHIPPED
    | _of_formats(FORMATS.own)
    | {
        "network": NetworkFolder,
        "diffusers": DiffusersPrior,
        "consistency": ConsistencyFolder,
        "denoiser": FileDenoiser,
        "powerlaw": PowerLaw,
        "latent_diffusion": LatentDiffusion,
        "stable_diffusion": StableDiffusion,
        "none": NoPrior,
        "frames": frames,
        "slices": slices,
    },
    resolve=path_spec,
    implied=lambda plugin: _of_formats(plugin.formats),
)


def build_prior(spec: Any, device: str | torch.device = "auto") -> Prior:
    """The prior of a spec string such as `photo:dtype=bfloat16`, of the path of a folder or checkpoint, or in memory.

    Example:

        prior = xhat.build_prior("photo:dtype=bfloat16", device="cpu")

    A path may be followed by options, as a name may: `ffhq_10m.pt:dtype=bfloat16`, `FOLDER:prompt=a cat,guidance=7.5`.
    In memory it is a pipeline of diffusers (DDPMPipeline(unet, scheduler)), a UNet2DModel, or a function or network
    (x, sigma) → x₀ that denoises x = x₀ + sigma n (`Denoiser`). A `Prior` object is only moved to the device: "auto" is
    cuda if there is one, otherwise mps, otherwise cpu. A network is tried once: see `trial.py`. Raises SpecError for an
    unknown name or option and for what cannot be a prior, DataError if the file cannot be read, and MismatchError if
    the network does not denoise.
    """
    prior = _prior(spec).to(pick_device(device))
    tried(prior)
    return prior


def _prior(given: Any) -> Prior:
    if isinstance(given, str | Path):
        made: Prior = build(str(given), PRIORS)
        made.spec = str(given)
        return made
    if isinstance(given, Prior):
        return given
    if (known := in_memory(given)) is not None:
        return known
    if callable(given) and not isinstance(given, type):
        return Denoiser(given)
    raise SpecError(
        f"a prior is a spec string (xhat list priors), the path of a folder or checkpoint, a Prior, a pipeline of "
        f"diffusers, or a function (x, sigma) -> x0 that denoises, not {named(given)}"
    )
