"""A prior of pictures as one of videos and volumes: what it knows of each frame or slice."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import torch
from torch import Tensor

from ..errors import MismatchError
from ..likelihoods import Likelihood, LinearGaussian
from ..likelihoods.coupled import CoupledLikelihood, couple
from ..operators.coupled import Chain, MovingChain, StillChain
from ..operators.flow import moving_chain, paced_chain
from ..operators.lifted import plane_shape
from ..operators.temporal import mixing
from ..ranges import Positive
from ..registry import builds
from ..rng import FrameRng, Rng
from ..schedule import Level
from ..types import Image
from .base import Prior
from .latent import LatentPrior

Streams = Callable[[Sequence[int]], Rng]
Sharing = Literal["each", "shared"]  # what LiftedPrior and its two builders take
Coupling = Annotated[float, Positive] | None
Penalty = Literal["gauss", "tv"]
Motion = Literal["none", "dis"]
Planes = Literal["one", "all"]


HIDDEN = 0.05  # the portion of an image that a measurement may not show before its motion is looked for with care
LOOKS = (2.0, 1.0, 0.5, 0.25, 0.12, 0.06)  # noise levels of that look
TRUST = 0.25  # of the prior in its data steps, DPIR's λ (Zhang et al., 2021, arXiv:2008.13751)


class LiftedPrior(Prior):
    """p(x) = Π_f p(x_f) over the frames or slices f of images (c, t, h, w).

        E[x₀|x_t]_f = D(x_t,f),     with `planes` all the mean of this over the three directions of a volume

    `noise` each gives every frame a random stream of its own, that of the video for the first frame; shared gives all
    the same noise (batch-consistent sampling, Kwon & Ye, 2024, arXiv:2409.02574). With `couple` σ_c, neighbours are
    known to differ by about that much, in units of the image: the data step of a linear measurement with Gaussian noise
    or none then has, beside its ‖y − A x‖²/(2σ_y²), the `penalty` gauss, ‖D x‖²/(2σ_c²), or tv, √2 |D x|₁/σ_c, with
    D x = x_{f+1} − x_f. With `motion` dis the differences are taken along the optical flow, which OpenCV finds in a
    first estimate, and count for less where frames do not follow it (`operators.flow`). Raises MismatchError for a
    prior of latents.
    """

    def __init__(
        self,
        prior: Prior,
        noise: Sharing = "each",
        couple: Coupling = None,
        penalty: Penalty = "gauss",
        motion: Motion = "none",
        planes: Planes = "one",
    ) -> None:
        super().__init__()
        if isinstance(prior, LatentPrior):
            raise MismatchError("a prior of latents cannot be lifted to videos and volumes; take one of pictures")
        self.prior, self.noise, self.couple, self.penalty, self.motion = prior, noise, couple, penalty, motion
        self.planes = planes
        self.schedule, self.closed_form = prior.schedule, prior.closed_form

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 4:
            raise MismatchError(
                f"this prior knows videos and volumes (channels, frames, height, width), the problem has {tuple(shape)}"
            )
        self.prior.check(plane_shape(shape))

    def problem(self, like: Likelihood) -> Likelihood:
        """`like` with its frames coupled, if they are to be: pass this to a solver, and `like` to what scores."""
        if self.couple is None or len(like.A.shape) != 4 or like.A.shape[1] == 1:
            return like
        chain: Chain = StillChain(like.A.shape)
        if self.motion == "dis" and isinstance(like, LinearGaussian):
            chain = self.moving(like, self.couple)
        return couple(like, chain, self.couple, self.penalty == "tv")

    @torch.no_grad()
    def moving(self, like: LinearGaussian, sigma: float) -> MovingChain:
        """The chain along the motion in a first estimate of the videos; or in pictures that are means of a few frames
        each, or single ones of them, which show the motion that such an estimate has not.
        """
        R = mixing(like.A)
        if R is None or not 1 < len(R) < R.shape[1] or (R < 0).any() or not (R.sum(1) > 0).all():
            return moving_chain(self.glimpse(like), sigma)
        light = R.sum(1)
        times = (R @ torch.arange(R.shape[1]).to(R)) / light
        if not (times.diff() > 0).all():
            return moving_chain(self.glimpse(like), sigma)
        pictures = like.y / light[:, None, None]
        level = float((like.noise.scale(like.y) / light.min()).max())
        seen = self.forward(pictures, Level(0.5, 1.0, max(level, self.lowest, 0.05)))
        return paced_chain(seen, times, R.shape[1], sigma)

    @torch.no_grad()
    def glimpse(self, like: LinearGaussian) -> Image:
        """A first estimate of the videos, in which motion can be seen, (b, *image): frame by frame.

        It is what the prior makes of the regularised least-squares images, one network call for each frame. Where A
        hides more than `HIDDEN` of an image, as masks do, that would have holes, whose places are taken for motion:
        there half-quadratic steps from the levels `LOOKS` on come first.
        """
        each = [like.take(torch.tensor([i])) for i in range(len(like.y))]
        return torch.cat([self._glimpse(one) for one in each])

    def _glimpse(self, like: LinearGaussian) -> Image:
        sigma = float(like.noise.scale(like.y))
        rho = sigma**2 + 1e-2
        x = like.prox(torch.zeros_like(like.A.adjoint(like.y)), rho)
        if hidden(like, rho) > HIDDEN:
            for level in (max(v, self.lowest) for v in LOOKS):
                x = self.forward(like.prox(x, TRUST * max(sigma**2, 1e-4) / level**2), Level(0.5, 1.0, level))
            return x
        return self.forward(x, Level(0.5, 1.0, max(sigma, self.lowest, 0.05)))

    def mismatch(self, like: Likelihood) -> str | None:
        why = super().mismatch(like)
        if why is None and self.couple and like.A.shape[1] > 1 and not isinstance(like, CoupledLikelihood):
            return "this prior couples frames: give the solver prior.problem(likelihood) in place of the likelihood"
        return why

    def no_denoiser(self) -> str | None:
        return self.prior.no_denoiser()

    @property
    def lowest(self) -> float:
        return self.prior.lowest

    def mse(self, t: Level) -> float | None:
        return self.prior.mse(t)

    def streams(self, shape: tuple[int, ...]) -> Streams:
        """One stream for each frame, so that a frame draws the same numbers whatever frames are beside it; or one."""
        return self.streams_from(shape, 0)

    def streams_from(self, shape: tuple[int, ...], first: int) -> Streams:
        """The streams of a part of a video, of `shape`, that begins with frame `first`."""
        return lambda seeds: FrameRng(seeds, shape[1], self.noise == "shared", first)

    def forward(self, x: Image, t: Level) -> Image:
        self.check(tuple(x.shape[1:]))
        axes = (2, 3, 4) if self.planes == "all" else (2,)
        return torch.stack([self.across(x.transpose(2, axis), t).transpose(2, axis) for axis in axes]).mean(0)

    def across(self, x: Image, t: Level) -> Image:
        """What the prior makes of the planes that lie behind each other along the third axis of `x` (b, c, ·, ·, ·)."""
        each: Tensor = self.prior(x.transpose(1, 2).flatten(0, 1), t)
        return each.reshape(len(x), -1, *each.shape[1:]).transpose(1, 2)


def hidden(like: LinearGaussian, rho: float) -> float:
    """The portion of white noise that ‖y − A x‖² leaves where it is, beside `rho` ‖x − noise‖², of one video."""
    like = replace(like, y=torch.zeros_like(like.y))
    v = FrameRng([0], like.A.shape[1]).randn_like(like.A.adjoint(like.y))
    return float(like.prox(v, rho).square().mean())


@builds(LiftedPrior, source="a prior of pictures")
def frames(
    prior: Prior,
    noise: Sharing = "each",
    couple: Coupling = None,
    penalty: Penalty = "gauss",
    motion: Motion = "none",
) -> LiftedPrior:
    """Any prior of pictures for the frames of a video, (c, t, h, w).

    `frames:prior=photo`; a prior with options has brackets: `frames:prior=(photo:dtype=bfloat16)`. `noise` each gives
    every frame a random stream of its own; shared gives all frames the same noise. `couple` is how much neighbouring
    frames differ, in units of the image, which lies in [−1, 1]: as a normal distribution (`penalty` gauss) or a Laplace
    one (tv). `motion` dis takes the differences along the motion, which needs OpenCV (the extra `video`).
    """
    return LiftedPrior(prior, noise, couple, penalty, motion)


@builds(LiftedPrior, source="a prior of pictures")
def slices(
    prior: Prior,
    noise: Sharing = "each",
    couple: Coupling = None,
    penalty: Penalty = "gauss",
    motion: Motion = "none",
    planes: Planes = "one",
) -> LiftedPrior:
    """Any prior of pictures for the slices of a volume, (1, slices, h, w): `slices:prior=brain`.

    `noise`, `couple`, `penalty` and `motion` are those of `frames`. `planes` all asks the
    prior in all three directions and takes the mean of what it says, three calls in place of one: its score is that of
    the geometric mean of the three densities.
    """
    return LiftedPrior(prior, noise, couple, penalty, motion, planes)
