"""Random streams per image: image i draws the same numbers in any batch, on any device."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Generator, Tensor

from .checks import seed, shown
from .errors import ShapeError, SpecError


class Rng:
    """One `torch.Generator` per image of the batch, seeded with the image's own seed.

    The generators live on the CPU, so a seed gives the same noise on every device.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        if isinstance(seeds, str) or not isinstance(seeds, Iterable):
            raise SpecError(f"random streams need a list of seeds, one for each image, not {shown(seeds)}")
        self.generators = [torch.Generator().manual_seed(seed(s)) for s in seeds]

    def each(self, draw: Callable[[Tensor, Generator], object], x: Tensor) -> Tensor:
        """A tensor of the shape and dtype of `x` (b, *); `draw(image, generator_i)` fills its image i in place.

        It is contiguous, so that the numbers do not depend on how `x` lies in memory. Raises ShapeError unless there is
        one stream for each image.
        """
        if len(x) != len(self.generators):
            raise ShapeError(f"{len(self.generators)} random streams for {len(x)} images")
        out = torch.empty(x.shape, dtype=x.dtype)
        for image, generator in zip(out, self.generators, strict=True):
            draw(image, generator)
        return out.to(x.device)

    def randn_like(self, x: Tensor) -> Tensor:
        """Standard normal noise of the shape and dtype of `x`, (b, *)."""
        return self.each(lambda image, g: image.normal_(generator=g), x)

    def rand_like(self, x: Tensor) -> Tensor:
        """Uniform noise on [0, 1) of the shape and dtype of `x`, (b, *)."""
        return self.each(lambda image, g: image.uniform_(generator=g), x)

    def state_dict(self) -> list[Tensor]:
        """The states of all generators, one byte tensor per image."""
        return [g.get_state() for g in self.generators]

    def load_state_dict(self, state: list[Tensor]) -> None:
        """Restores the states that `state_dict` returned. There must be as many as images."""
        for g, s in zip(self.generators, state, strict=True):
            g.set_state(s)
