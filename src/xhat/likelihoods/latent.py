"""Problems about images as problems about their latents."""

from dataclasses import dataclass

from ..noise import Noise
from ..operators.compose import Decoded
from ..operators.decoder import Decoder
from ..types import Data, Image, Latents, PerImage
from .base import Likelihood, LinearGaussian, Restated, likelihood, most_specific, restated


@dataclass(frozen=True)
class LatentLikelihood(Restated):
    """y = A(D(z)) + noise with z a latent of a latent prior: what a solver sees under one, D being the decoder.

    To a solver that knows nothing of latents z is the image and A ∘ D the operator. `pixel` is the same measurement
    as a problem about images.
    """

    A: Decoded
    pixel: Likelihood

    @property
    def level_of_images(self) -> bool:
        """False: σ_y is a noise level of images and not of latents."""
        return False

    def residual(self, x: Latents) -> Data:
        return self.pixel.residual(self.decode(x))

    def misfit(self, x: Latents) -> tuple[PerImage, PerImage]:
        return self.pixel.misfit(self.decode(x))

    def encode(self, x: Image) -> Latents:
        """The latents E(x) of images `x` (b, *image): (b, *latent)."""
        return self.A.inner.autoencoder.encode(x)

    def decode(self, z: Latents) -> Image:
        """The images D(z) of latents `z` (b, *latent): (b, *image)."""
        return self.A.inner.autoencoder.decode(z)


@dataclass(frozen=True)
class LatentLinear(LatentLikelihood):
    """y = A D(z) + σ n with z a latent of a latent prior, A linear, σ ≥ 0: what ways from pixels to latents need."""

    pixel: LinearGaussian


def of_latents(pixel: Likelihood, decoder: Decoder) -> LatentLikelihood:
    """`pixel`, a problem about images, as one about their latents."""
    A = Decoded(pixel.A, decoder)
    return most_specific(LatentLikelihood, pixel=pixel)(A, pixel.noise, pixel.y, pixel)


@restated.register
def _(A: Decoded, noise: Noise, y: Data) -> LatentLikelihood:
    return of_latents(likelihood(A.outer, noise, y), A.inner)
