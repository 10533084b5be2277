"""Priors, known through their denoiser x̂₀ = E[x₀ | x_t]."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from ..errors import MismatchError
from ..likelihoods import Likelihood
from ..numerics.calls import tally
from ..schedule import EDM, Level, Schedule
from ..types import Image


class Prior(nn.Module):
    """E[x₀ | x_t]; depends on (x_t, α, σ) only through (x_t / α, σ / α)."""

    source: ClassVar[str] = ""  # the data or paper behind it, for `xhat list`

    schedule: Schedule  # the levels it is best run on; a solver may be given others

    @abstractmethod
    def forward(self, x: Image, t: Level) -> Image: ...

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises MismatchError if images of `shape` are not the prior's."""

    def denoises(self) -> None:
        """Raises MismatchError if the prior cannot say E[x₀|x_t], as a consistency model alone cannot."""

    def problem(self, like: Likelihood) -> Likelihood:
        """`like`, a problem about images, as a problem about what this prior knows: itself, but for latent priors."""
        return like

    def image(self, x: Tensor) -> Tensor:
        """The images behind what this prior knows, (b, *image): `x` itself, but for latent priors."""
        return x

    def fits(self, like: Likelihood) -> None:
        """Raises MismatchError if `like` is no problem about what this prior knows."""
        self.check(like.A.shape)

    def mse(self, t: Level) -> float | None:
        """E‖x₀ − E[x₀|x_t]‖²/n = tr E Cov[x₀|x_t]/n in squared image units, n numbers an image; None if unknown."""
        return None

    def __call__(self, x: Image, t: Level) -> Image:
        x0: Image = super().__call__(x, t)
        return counted(x0)


def counted(x0: Tensor) -> Tensor:
    """`x0`, what a network made of each image: counted as a pass forward now and as one back when there is one."""
    tally("forwards", len(x0))
    if x0.requires_grad:
        x0.register_hook(lambda g: tally("backwards", len(g)))  # type: ignore[no-untyped-call]
    return x0


class FixedShape(Prior):
    """A prior for images of one shape."""

    shape: tuple[int, ...]

    def check(self, shape: tuple[int, ...]) -> None:
        if tuple(shape) != tuple(self.shape):
            raise MismatchError(f"this prior knows images of shape {tuple(self.shape)}, the problem has {tuple(shape)}")


class Denoiser(Prior):
    """Your own denoiser as a prior: `Denoiser(lambda x, sigma: ...)`, x = x₀ + σ n of shape (b, *image), σ a number."""

    def __init__(self, denoise: Callable[[Tensor, float], Tensor], schedule: Schedule | None = None) -> None:
        super().__init__()
        self.denoise = denoise
        self.schedule = schedule or EDM()

    def forward(self, x: Image, t: Level) -> Image:
        return self.denoise(x / t.alpha, t.ratio)
