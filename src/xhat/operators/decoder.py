"""From latents to images: a decoder is an operator like any other, and `A @ decoder` is a problem about latents."""

from abc import abstractmethod

from torch import nn

from ..types import Data, Image, Latents
from .base import Operator


class Autoencoder(nn.Module):
    """Images x in [−1, 1] and their latents z, on the scale of the prior over z: D(E(x)) ≈ x. Nothing is random."""

    @abstractmethod
    def encode(self, x: Image) -> Latents:
        """E(x), (b, *latent), for `x` (b, *image)."""

    @abstractmethod
    def decode(self, z: Latents) -> Image:
        """D(z), (b, *image), for `z` (b, *latent)."""

    @abstractmethod
    def latent_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one latent of images of `shape`, both without the batch. Raises MismatchError if they have
        none.
        """


class Identity(Autoencoder):
    """Images as their own latents."""

    def encode(self, x: Image) -> Latents:
        return x

    def decode(self, z: Latents) -> Image:
        return z

    def latent_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape


class Decoder(Operator):
    """x = D(z) for images of `shape`; the operator's own `shape` is that of their latents."""

    def __init__(self, autoencoder: Autoencoder, shape: tuple[int, ...]) -> None:
        super().__init__(autoencoder.latent_shape(tuple(shape)))
        self.autoencoder = autoencoder
        self.data_shape = tuple(shape)

    def forward(self, x: Image) -> Data:
        return self.autoencoder.decode(x)
