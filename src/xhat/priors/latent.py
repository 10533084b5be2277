"""Latent priors: a prior over latents, and the autoencoder that maps images to latents and back."""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import MismatchError
from ..likelihoods import LatentLikelihood, Likelihood, of_latents
from ..operators.decoder import Autoencoder, Decoder
from ..schedule import Level
from ..types import Image, PerImage
from .base import Prior, counted

Text = Float[Tensor, "b tokens width"]
Vector = Float[Tensor, "b width"]


class LatentPrior(Prior):
    """E[z₀|z_t] for the latents z = E(x) of images x.

    Its problems are about latents: `prior.problem(like)` turns a problem about images into one about latents, a
    LatentLikelihood, and `prior.image(z)` decodes the solution.
    """

    autoencoder: Autoencoder

    def mismatch(self, like: Likelihood) -> str | None:
        if not isinstance(like, LatentLikelihood):
            return "a latent prior knows only problems about latents: give it prior.problem(like)"
        return super().mismatch(like)

    def problem(self, like: Likelihood) -> Likelihood:
        if isinstance(like, LatentLikelihood):
            return like
        return of_latents(like, Decoder(self.autoencoder, like.A.shape))

    def image(self, x: Tensor) -> Tensor:
        return self.autoencoder.decode(x)


class Autoencoded(LatentPrior):
    """A latent prior of two parts: `denoiser`, any prior whose images are the latents, and the `autoencoder`."""

    def __init__(self, denoiser: Prior, autoencoder: Autoencoder) -> None:
        super().__init__()
        denoiser.trial = False  # it is tried on pictures, and what it models are latents
        self.denoiser, self.autoencoder, self.schedule = denoiser, autoencoder, denoiser.schedule

    def check(self, shape: tuple[int, ...]) -> None:
        self.denoiser.check(shape)

    def no_denoiser(self) -> str | None:
        return self.denoiser.no_denoiser()

    def mse(self, t: Level) -> float | None:
        return self.denoiser.mse(t)

    def log_density(self, x: Image, t: Level) -> PerImage | None:
        return self.denoiser.log_density(x, t)

    @property
    def degenerate(self) -> bool:
        return self.denoiser.degenerate

    def forward(self, x: Image, t: Level) -> Image:
        return self.denoiser(x, t)


class TextPrior(LatentPrior):
    """A latent prior that follows a text c, given as an embedding, by classifier-free guidance with weight w.

        E[z₀|z_t] ≈ D(z_t, c₋) + w (D(z_t, c) − D(z_t, c₋))     (Ho & Salimans, 2022, eq. 6, arXiv:2207.12598)

    c₋ is the embedding of the negative prompt, or of the empty text. w = 1 is the prior given c and needs only half the
    network calls.
    """

    others = ("the folder of a Stable Diffusion pipeline",)

    prompt: Tensor  # c, (1, tokens, width)
    negative: Tensor  # c₋, likewise
    guidance: float  # w

    @abstractmethod
    def denoise(self, z: Image, t: Level, c: Text) -> Image:
        """D(z_t, c) = E[z₀|z_t, c] for latents `z` (b, *latent) and one text per latent, `c` (b, tokens, width)."""

    @property
    def sees(self) -> bool:
        """Whether there is an image encoder beside the text encoder, for `image_embedding`; none unless overridden."""
        return False

    def image_embedding(self, x: Image) -> Vector:
        """The images `x` (b, 3, h, w) in the space of the text's embedding, (b, width).

        Raises MismatchError if the prior has no image encoder.
        """
        raise MismatchError(f"{type(self).__name__} has no image encoder beside its text encoder")

    def conditioned(self, z: Image, t: Level, c: Text) -> Image:
        """D(z_t, c), as `denoise`, with the network calls counted."""
        return counted(self.denoise(z, t, c))

    def guided(self, z: Image, t: Level, c: Text, negative: Text) -> tuple[Image, Image]:
        """E[z₀|z_t] by guidance for any two texts per latent, and D(z_t, c₋) alone, both from one pass of the network.

        If w = 1, both results are D(z_t, c).
        """
        if self.guidance == 1:
            x0 = self.conditioned(z, t, c)
            return x0, x0
        both = self.conditioned(torch.cat([z, z]), t, torch.cat([negative, c]))
        without, given = both.chunk(2)
        return without + self.guidance * (given - without), without

    def texts(self, n: int) -> tuple[Text, Text]:
        """The prompt and the negative prompt, repeated for `n` latents: two (n, tokens, width) tensors."""
        return self.prompt.expand(n, -1, -1), self.negative.expand(n, -1, -1)

    def forward(self, x: Image, t: Level) -> Image:
        return self.guided(x, t, *self.texts(len(x)))[0]
