"""Random streams per image: image i draws the same numbers in any batch, on any device."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Generator, Tensor

from .checks import seed, shown
from .errors import ShapeError, SpecError


class Rng:
    """One `torch.Generator` per image of the batch, seeded with the image's own seed.

    The generators live on the CPU, so a seed gives the same noise on every device.

    Example:

        rng = xhat.Rng([7, 8])
        noise = rng.randn_like(torch.empty(2, 3, 64, 64))  # image 0 has what Rng([7]) alone would give it
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


class FrameRng(Rng):
    """Streams for videos and volumes (b, c, t, h, w): one for each of the t frames of each, or one that they share.

    Frame f of a video with seed s has the stream of seed (s + f · `STRIDE`) mod 2⁶³, whatever frames are beside it, so
    the first one draws what a picture with that seed draws. If `shared`, all frames are given the same numbers. What is
    no such tensor is drawn from the stream of the first frame. `first` is the number of the first frame in its video.
    """

    STRIDE = 0x1E3779B97F4A7C15  # odd, and far from small multiples of itself, so that no two seeds of a run meet

    def __init__(self, seeds: Sequence[int], frames: int, shared: bool = False, first: int = 0) -> None:
        count, start = (1, 0) if shared else (frames, first)
        super().__init__([self.stream(s, start) for s in seeds] if start else seeds)
        self.frames, self.shared = frames, shared
        more = [[self.stream(s, f) for f in range(start + 1, start + count)] for s in seeds]
        self.each_frame = [[g, *Rng(own).generators] for g, own in zip(self.generators, more, strict=True)]

    @classmethod
    def stream(cls, seed: int, frame: int) -> int:
        """The seed of the stream of a frame."""
        return (int(seed) + frame * cls.STRIDE) % 2**63

    def each(self, draw: Callable[[Tensor, Generator], object], x: Tensor) -> Tensor:
        if x.ndim != 5 or x.shape[2] != self.frames:
            return super().each(draw, x)
        if len(x) != len(self.generators):
            raise ShapeError(f"{len(self.generators)} random streams for {len(x)} videos")
        out = torch.empty(x.shape, dtype=x.dtype)
        for video, generators in zip(out, self.each_frame, strict=True):
            for f, generator in enumerate(generators):
                frame = torch.empty_like(video[:, f], memory_format=torch.contiguous_format)
                draw(frame, generator)
                video[:, f : self.frames if self.shared else f + 1] = frame[:, None]
        return out.to(x.device)

    def state_dict(self) -> list[Tensor]:
        return [torch.cat([g.get_state() for g in own]) for own in self.each_frame]

    def load_state_dict(self, state: list[Tensor]) -> None:
        for own, s in zip(self.each_frame, state, strict=True):
            for g, part in zip(own, s.chunk(len(own)), strict=True):
                g.set_state(part.clone())
