"""A prior is known through its denoiser, x̂₀ = E[x₀ | x_t].

This file holds the base class `Prior` and its variant for images of one shape.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from ..errors import MismatchError, SpecError
from ..likelihoods import Likelihood
from ..notes import note
from ..numerics.calls import counting, tally
from ..registry import Recorded
from ..rng import Rng
from ..schedule import Level, Schedule
from ..types import Image, PerImage

SIDE = 64  # pixels of a picture on which a network is tried: a fraction of a second for the largest


class Prior(Recorded, nn.Module):
    """E[x₀ | x_t]; depends on (x_t, α, σ) only through (x_t / α, σ / α).

    Images are (b, *image) tensors; pictures lie in [−1, 1]. `schedule` holds the noise levels on which the prior is
    best run.
    """

    source: ClassVar[str] = ""  # the data or paper behind it, for `xhat list`
    others: ClassVar[tuple[str, ...]] = ()  # how a prior of this kind is had without a name of the registry

    closed_form: bool = False  # whether E[x₀|x_t] is exact: computed from a formula and not learned

    schedule: Schedule  # the levels it is best run on; a solver may be given others

    trial: bool = True  # whether it is tried when it is loaded, see `trial.py`
    tried: bool = False

    spec: str = ""  # the text that it was built from, if any; a record names it

    notes: tuple[str, ...] = ()  # what was chosen or guessed when it was loaded; a record states it

    @abstractmethod
    def forward(self, x: Image, t: Level) -> Image:
        """E[x₀ | x_t] for x_t = `x`, a (b, *image) tensor at noise level `t`; the result has the shape and dtype of
        `x`.
        """

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises MismatchError if the prior cannot handle images of `shape`, which is (*image) without the batch."""

    def specimen(self, shape: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
        """The shape, (channels, height, width), of the pictures on which this prior is tried when it is loaded.

        `shape` is that of the images of a problem, if one is known. None means that there is nothing to try: a prior in
        closed form cannot be misread, and what models no pictures need not denoise one.
        """
        return None

    def judged(self, u: Tensor, rho: float) -> Tensor:
        """What the prior makes of u = x₀ + ρ ε when it is tried, a picture of any size of its `specimen`."""
        out: Tensor = self.forward(u, Level(0.5, 1.0, rho))
        return out

    def say(self, *lines: str) -> None:
        """Says what was chosen or guessed, as a warning of the logger `xhat`, and keeps it in `notes`."""
        for line in lines:
            note("%s", line)
        self.notes = (*self.notes, *lines)

    def no_denoiser(self) -> str | None:
        """Why the prior cannot give E[x₀|x_t], in a sentence; None if it can. A consistency model alone cannot."""
        return None

    def problem(self, like: Likelihood) -> Likelihood:
        """The problem `like` about images as a problem about the variable that this prior models.

        It is `like` itself, except for a latent prior, which models latents.
        """
        return like

    def image(self, x: Tensor) -> Tensor:
        """The images, (b, *image), that belong to `x`, a batch of what this prior models.

        It is `x` itself, except for a latent prior, which decodes it.
        """
        return x

    def streams(self, shape: tuple[int, ...]) -> Callable[[Sequence[int]], Rng]:
        """What makes the random streams of a run on images of `shape` from their seeds: `Rng` unless overridden."""
        return Rng

    def mismatch(self, like: Likelihood) -> str | None:
        """Why `like` is not a problem about what this prior models, in a sentence; None if it is."""
        try:
            self.check(like.A.shape)
        except MismatchError as e:
            return str(e)
        return None

    @property
    def lowest(self) -> float:
        """The lowest noise level ρ that the prior knows: the last of its schedule, unless it knows a lower one."""
        return self.schedule.levels(1000)[-2].ratio

    def mse(self, t: Level) -> float | None:
        """The prior's mean squared error at level `t`, in squared image units per number of the image; None if it is
        unknown.

            E‖x₀ − E[x₀|x_t]‖²/n = tr E Cov[x₀|x_t]/n,   n = the count of numbers in one image
        """
        return None

    def log_density(self, x: Image, t: Level) -> PerImage | None:
        """log p(x_t) per image in nats, (b,), normalised, of x_t = `x` at level `t`; None if it has no closed form."""
        return None

    @property
    def degenerate(self) -> bool:
        """Whether the images lie on a lower dimension, so that there is no density without noise."""
        return False

    def __call__(self, x: Image, t: Level) -> Image:
        """E[x₀ | x_t], counted as one pass of each image, unless the passes that it is made of counted themselves.

        A prior that holds another one, or a network that is run twice for guidance, thus costs what is run inside.
        """
        with counting() as inside:
            x0: Image = super().__call__(x.contiguous(), t)  # rounding may depend on the layout in memory
        return x0 if inside.forwards else counted(x0)


def counted(x0: Tensor) -> Tensor:
    """Returns `x0`, the output of a network for a batch, and counts the calls that made it.

    Each image counts as one forward pass now, and as one backward pass if a derivative is taken later. A prior that is
    called as a function counts by itself; this is for networks that are run in other ways, a consistency model's jump.
    """
    tally("forwards", len(x0))
    if x0.requires_grad:
        x0.register_hook(lambda g: tally("backwards", len(g)))  # type: ignore[no-untyped-call]
    return x0


def class_of(label: int | None, classes: int, path: Path) -> int | None:
    """The class `label` of a network with so many `classes`, None for a network without.

    Raises SpecError if there is no such class, or if a class is given to a network without, or the reverse.
    """
    if (label is None) != (classes == 0) or not 0 <= (label or 0) < max(1, classes):
        has = f"has classes 0 to {classes - 1}" if classes else "is not class-conditional"
        raise SpecError(f"{path}: the network {has}; label is {'not given' if label is None else label}")
    return label


class FixedShape(Prior):
    """A prior for images of one `shape`, which is (*image) without the batch."""

    shape: tuple[int, ...]

    def check(self, shape: tuple[int, ...]) -> None:
        if tuple(shape) != tuple(self.shape):
            raise MismatchError(f"this prior knows images of shape {tuple(self.shape)}, the problem has {tuple(shape)}")
