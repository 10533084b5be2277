"""The latents of images as a data set, in place of the images themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..priors.autoencoders import DiffusersAutoencoder
from ..rng import Rng
from .dataset import Dataset, scaled


@dataclass(frozen=True)
class Encoded(Dataset):
    """The data set `images` seen through `codec`: a batch is E(x), and `shape` is that of a latent."""

    images: Dataset
    codec: DiffusersAutoencoder

    @torch.no_grad()
    def batch(self, indices: Sequence[int], rng: Rng) -> Tensor:
        return self.codec.encode(self.images.batch(indices, rng))

    @torch.no_grad()
    def validation(self, most: int) -> Tensor:
        return self.codec.encode(self.images.validation(most))

    @torch.no_grad()
    def pictures(self, x: Tensor) -> Tensor:
        return self.codec.decode(x.to(next(self.codec.parameters()).device))

    @torch.no_grad()
    def std(self) -> float:
        few = self.train[:: max(1, len(self.train) // 256)]
        return float(torch.stack([self.codec.encode(scaled(x)[None]) for x in few]).std())


def encoded(images: Dataset, path: str | Path) -> Encoded:
    """`images` through the autoencoder in the folder `path`. Raises MismatchError if it cannot encode their shape."""
    codec = DiffusersAutoencoder(path)
    c, h, w = codec.latent_shape(images.shape)
    return Encoded(images.train, images.held, (c, h, w), images.options, images, codec)
