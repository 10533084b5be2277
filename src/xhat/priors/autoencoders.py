"""Autoencoders from folders in the layout of the diffusers library: AutoencoderKL, VQModel, AutoencoderTiny."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import MismatchError, SpecError
from ..operators.decoder import Autoencoder
from ..types import Image, Latents
from . import diffusers_folder as folder

KINDS = ("AutoencoderKL", "VQModel", "AutoencoderTiny")


class DiffusersAutoencoder(Autoencoder):
    """z = s (E(x) − m) and x = D(z/s + m), where s is the config's `scaling_factor` and m its `shift_factor`.

    E is the mean of q(z|x) for an AutoencoderKL. For a VQModel it is the code before quantisation; the quantisation
    belongs to D, and its derivative is replaced by the identity. Rombach et al. (2022), section 3.1, arXiv:2112.10752.
    The network in the folder `path` runs in `dtype`. Raises DataError if there is no such folder or it is damaged, and
    SpecError if it holds another kind of network.
    """

    source: ClassVar[str] = "any AutoencoderKL, VQModel or AutoencoderTiny of Hugging Face diffusers"

    def __init__(self, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.net = folder.load_network(folder.existing(path), KINDS, dtype)
        config: Any = self.net.config
        self.kind = type(self.net).__name__
        self.channels, self.latent_channels = int(config.in_channels), int(config.latent_channels)
        if self.kind == "VQModel" and config.vq_embed_dim is not None:
            self.latent_channels = int(config.vq_embed_dim)
        blocks = config.encoder_block_out_channels if self.kind == "AutoencoderTiny" else config.block_out_channels
        self.factor = 2 ** (len(blocks) - 1)
        self.scale, self.shift = float(config.scaling_factor), float(config.get("shift_factor") or 0.0)

    def latent_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        f = self.factor
        if len(shape) != 3 or shape[0] != self.channels or shape[1] % f or shape[2] % f or 0 in shape:
            raise MismatchError(
                f"this autoencoder knows images of shape ({self.channels}, height, width) with sides that are "
                f"multiples of {f}, the problem has {tuple(shape)}"
            )
        return (self.latent_channels, shape[1] // f, shape[2] // f)

    def encode(self, x: Image) -> Latents:
        out = self.net.encode(self._own(x))
        z: Tensor = out.latent_dist.mode() if self.kind == "AutoencoderKL" else out.latents
        return self.scale * (z.to(x.dtype) - self.shift)

    def decode(self, z: Latents) -> Image:
        x: Tensor = self.net.decode(self._own(z / self.scale + self.shift)).sample
        return x.to(z.dtype)

    def _own(self, x: Tensor) -> Tensor:
        return x.to(next(self.net.parameters()).dtype)


def autoencoder_of(root: Path, replacement: str | None, dtype: torch.dtype) -> DiffusersAutoencoder:
    """The autoencoder of the latent diffusion folder `root`, or the one in the folder `replacement` if that is given.

    The network runs in `dtype`. Raises SpecError if `root` holds no autoencoder.
    """
    if replacement is not None:
        return DiffusersAutoencoder(replacement, dtype)
    place = folder.autoencoder_folder(root)
    if place is None:
        raise SpecError(f"{root} holds no autoencoder, which would be in one of {', '.join(folder.AUTOENCODERS)}")
    return DiffusersAutoencoder(place, dtype)
