"""Latent diffusion models without text from diffusers folders."""

from pathlib import Path
from typing import Annotated

from ..errors import MismatchError
from ..numerics.precision import dtype_of
from ..ranges import Range
from . import diffusers_folder as folder
from .autoencoders import autoencoder_of
from .latent import Autoencoded
from .unet import DiffusersPrior


class LatentDiffusion(Autoencoded):
    """A latent diffusion model (Rombach et al., 2022) from a diffusers folder. arXiv:2112.10752

    The folder `path` has `unet/` and `scheduler/` like a folder over images, and in addition `vae/` or `vqvae/` with an
    AutoencoderKL, VQModel or AutoencoderTiny. `autoencoder` may name another folder to use in its place. `label`,
    `weights`, `dtype` and `compile` concern the UNet and mean the same as for `diffusers`. Raises MismatchError if UNet
    and autoencoder have different numbers of channels.
    """

    source = "LDMPipeline of Hugging Face diffusers, github.com/huggingface/diffusers"

    def __init__(
        self,
        path: str | Path,
        autoencoder: str | None = None,
        label: Annotated[int, Range(0, 1_000_000)] | None = None,
        weights: str | None = None,
        dtype: str = "float32",
        compile: bool = False,
    ) -> None:
        codec = autoencoder_of(folder.existing(path), autoencoder, dtype_of(dtype))
        denoiser = DiffusersPrior(path, label, weights, dtype, compile)
        if denoiser.channels != codec.latent_channels:
            raise MismatchError(f"{path}: a UNet of {denoiser.channels} channels, latents of {codec.latent_channels}")
        super().__init__(denoiser, codec)
