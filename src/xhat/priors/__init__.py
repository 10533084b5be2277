"""Priors. This import list is the registry: one line per prior."""

from pathlib import Path

import torch

from ..errors import DataError
from ..science.fwi.prior import VelocityModels
from ..science.mri.prior import Magnitude
from ..science.navier_stokes.prior import Vorticities
from ..science.vlbi.prior import BlackHolePictures
from ..spec import build, text_of
from .base import Denoiser, FixedShape, Prior
from .brain import Brain
from .checkpoints import ADM, ConsistencyCheckpoint, EDMNetwork, FileDenoiser, file_spec
from .consistency import ConsistencyFolder, ConsistencyModel, ConsistencyPrior, FlowPrior, LayeredConsistency
from .diffusers_folder import existing, kind_of
from .faces import Faces
from .fashion import Fashion
from .gaussian import GaussianPrior
from .latent import Autoencoded, LatentPrior, TextPrior
from .latent_diffusion import LatentDiffusion
from .low_rank import LowRankMixture
from .mixture import MixturePrior
from .none import NoPrior
from .nuclei import Nuclei
from .photo import Photo
from .powerlaw import PowerLaw
from .stable_diffusion import StableDiffusion
from .unet import DiffusersPrior

__all__ = [
    "PRIORS",
    "Autoencoded",
    "BlackHolePictures",
    "Brain",
    "ConsistencyFolder",
    "ConsistencyModel",
    "ConsistencyPrior",
    "Denoiser",
    "DiffusersPrior",
    "Faces",
    "Fashion",
    "FixedShape",
    "FlowPrior",
    "GaussianPrior",
    "LatentDiffusion",
    "LatentPrior",
    "LayeredConsistency",
    "LowRankMixture",
    "Magnitude",
    "MixturePrior",
    "NoPrior",
    "Nuclei",
    "Photo",
    "PowerLaw",
    "Prior",
    "StableDiffusion",
    "TextPrior",
    "VelocityModels",
    "Vorticities",
    "build_prior",
    "folder_spec",
    "path_spec",
]

# What a spec string can build; the others take tensors or functions.
PRIORS: dict[str, type[Prior]] = {
    "photo": Photo,
    "fashion": Fashion,
    "faces": Faces,
    "nuclei": Nuclei,
    "brain": Brain,
    "diffusers": DiffusersPrior,
    "consistency": ConsistencyFolder,
    "adm": ADM,
    "edm": EDMNetwork,
    "openai_consistency": ConsistencyCheckpoint,
    "denoiser": FileDenoiser,
    "powerlaw": PowerLaw,
    "latent_diffusion": LatentDiffusion,
    "stable_diffusion": StableDiffusion,
    "magnitude": Magnitude,
    "none": NoPrior,
    "blackhole": BlackHolePictures,
    "velocity": VelocityModels,
    "vorticity": Vorticities,
}


def build_prior(spec: str | Prior, device: str | torch.device = "auto") -> Prior:
    """The prior of a spec string such as `photo:dtype=bfloat16`, or of the path of a folder or checkpoint.

    A path may be followed by options, as a name may: `ffhq_10m.pt:dtype=bfloat16`, `FOLDER:prompt=a cat,guidance=7.5`.
    `device` "auto" is cuda if there is one, otherwise mps, otherwise cpu. A `Prior` object is only moved to the device.
    Raises SpecError for an unknown name or option, and DataError if the file cannot be read.
    """
    prior: Prior = build(path_spec(spec), PRIORS) if isinstance(spec, str) else spec
    return prior.to(best_device() if device == "auto" else device)


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


SUFFIXES = (".pt", ".pth", ".ckpt", ".pkl", ".safetensors", ".onnx", ".bin")


def folder_spec(path: str) -> str:
    """The spec of the prior in a folder in the layout of diffusers, which itself says what kind of prior it holds."""
    return f"{kind_of(existing(path))}:path={text_of(path)}"


def best_device() -> str:
    """ "cuda", "mps" or "cpu": the first of these that this machine has."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
