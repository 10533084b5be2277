"""A prior of pictures as one of videos and volumes: what it knows of each frame or slice."""

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor

from ..errors import MismatchError
from ..operators.lifted import plane_shape
from ..registry import builds
from ..rng import FrameRng, Rng
from ..schedule import Level
from ..types import Image
from .base import Prior
from .latent import LatentPrior

Streams = Callable[[Sequence[int]], Rng]


class LiftedPrior(Prior):
    """p(x) = Π_f p(x_f) over the frames or slices f of images (c, t, h, w).

        E[x₀|x_t]_f = D(x_t,f)

    `noise` each gives every frame a random stream of its own, that of the video for the first frame; shared gives all
    the same noise (batch-consistent sampling, Kwon & Ye, 2024, arXiv:2409.02574). Raises MismatchError for a prior
    of latents.
    """

    def __init__(self, prior: Prior, noise: Literal["each", "shared"] = "each") -> None:
        super().__init__()
        if isinstance(prior, LatentPrior):
            raise MismatchError("a prior of latents cannot be lifted to videos and volumes; take one of pictures")
        self.prior, self.noise = prior, noise
        self.schedule, self.closed_form = prior.schedule, prior.closed_form

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 4:
            raise MismatchError(
                f"this prior knows videos and volumes (channels, frames, height, width), the problem has {tuple(shape)}"
            )
        self.prior.check(plane_shape(shape))

    def no_denoiser(self) -> str | None:
        return self.prior.no_denoiser()

    @property
    def lowest(self) -> float:
        return self.prior.lowest

    def mse(self, t: Level) -> float | None:
        return self.prior.mse(t)

    def streams(self, shape: tuple[int, ...]) -> Streams:
        """One stream for each frame, so that a frame draws the same numbers whatever frames are beside it; or one."""
        return lambda seeds: FrameRng(seeds, shape[1], shared=self.noise == "shared")

    def forward(self, x: Image, t: Level) -> Image:
        self.check(tuple(x.shape[1:]))
        each: Tensor = self.prior(x.transpose(1, 2).flatten(0, 1), t)
        return each.reshape(len(x), -1, *each.shape[1:]).transpose(1, 2)


@builds(LiftedPrior, source="a prior of pictures")
def frames(prior: Prior, noise: Literal["each", "shared"] = "each") -> LiftedPrior:
    """Any prior of pictures for the frames of a video, (c, t, h, w).

    `frames:prior=photo`; a prior with options has brackets: `frames:prior=(photo:dtype=bfloat16)`. `noise` each gives
    every frame a random stream of its own; shared gives all frames the same noise.
    """
    return LiftedPrior(prior, noise)


@builds(LiftedPrior, source="a prior of pictures")
def slices(prior: Prior, noise: Literal["each", "shared"] = "each") -> LiftedPrior:
    """Any prior of pictures for the slices of a volume, (1, slices, h, w): `slices:prior=brain`."""
    return LiftedPrior(prior, noise)
