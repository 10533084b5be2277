"""Priors. This import list is the registry: one line per prior."""

from pathlib import Path

import torch

from ..spec import build, text_of
from .base import Denoiser, FixedShape, Prior
from .consistency import ConsistencyFolder, ConsistencyModel, ConsistencyPrior, FlowPrior
from .diffusers_folder import is_consistency
from .gaussian import GaussianPrior
from .mixture import MixturePrior
from .photo import Photo
from .unet import DiffusersPrior

__all__ = [
    "PRIORS",
    "ConsistencyFolder",
    "ConsistencyModel",
    "ConsistencyPrior",
    "Denoiser",
    "DiffusersPrior",
    "FixedShape",
    "FlowPrior",
    "GaussianPrior",
    "MixturePrior",
    "Photo",
    "Prior",
    "build_prior",
    "folder_spec",
]

# What a spec string can build; the others take tensors or functions.
PRIORS: dict[str, type[Prior]] = {"photo": Photo, "diffusers": DiffusersPrior, "consistency": ConsistencyFolder}


def build_prior(spec: str | Prior, device: str | torch.device = "auto") -> Prior:
    """The prior behind a spec string such as `photo:dtype=bfloat16`, or behind the path of a diffusers folder.

    `device` auto is the first there is of cuda, mps, cpu. A `Prior` is only moved there.
    """
    if isinstance(spec, str):
        folder = spec not in PRIORS and Path(spec).expanduser().is_dir()
        prior: Prior = build(folder_spec(spec) if folder else spec, PRIORS)
    else:
        prior = spec
    return prior.to(best_device() if device == "auto" else device)


def folder_spec(path: str) -> str:
    """The spec that a folder in the layout of diffusers stands for."""
    return f"{'consistency' if is_consistency(path) else 'diffusers'}:path={text_of(path)}"


def best_device() -> str:
    """cuda, mps or cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
