"""A part of a picture, and its size: what is cut out before anything else is done."""

import re
from dataclasses import dataclass

from torch import Tensor

from ..checks import whole
from ..errors import DataError, SpecError
from .pictures import centre_crop, is_picture, resize
from .room import fits

GEOMETRY = re.compile(r"(\d+)x(\d+)(?:\+(\d+)\+(\d+))?")
SIDE = 2**16  # of a picture
BLOCK = 16  # pixels of a JPEG that are coded together, at most


@dataclass(frozen=True)
class Window:
    """`height` x `width` pixels of a picture from row `top` and column `left` on, in a picture of `of` pixels."""

    top: int
    left: int
    height: int
    width: int
    of: tuple[int, int]

    def __call__(self, x: Tensor, scale: int = 1) -> Tensor:
        """This part of `x` (..., h, w), a picture of the same scene that is `scale` times as large."""
        top, left, h, w = (scale * n for n in (self.top, self.left, self.height, self.width))
        return x[..., top : top + h, left : left + w]

    def scale(self, x: Tensor) -> int | None:
        """How many times larger than the whole picture `x` is; None if it is another picture."""
        k = x.shape[-1] // self.of[1]
        return k if k > 0 and tuple(x.shape[-2:]) == (k * self.of[0], k * self.of[1]) else None

    def within_blocks(self) -> "Window":
        """The largest part of it whose edges lie between the blocks of a JPEG or on the border of the picture."""
        top, left = (-(-n // BLOCK) * BLOCK for n in (self.top, self.left))
        ends = []
        for start, length, side in ((self.top, self.height, self.of[0]), (self.left, self.width, self.of[1])):
            end = start + length
            ends.append(end if end == side else end // BLOCK * BLOCK)
        if ends[0] <= top or ends[1] <= left:
            raise DataError(f"a part of {self.height}x{self.width} pixels holds no whole block of the JPEG; take more")
        return Window(top, left, ends[0] - top, ends[1] - left, self.of)


@dataclass(frozen=True)
class Cut:
    """What to cut out of a picture: first `crop`, then the central square if there is a `size`, which is resized to it,
    then to sides that are multiples of `multiple`.

    `crop` is `WIDTHxHEIGHT`, the middle of the picture, or `WIDTHxHEIGHT+X+Y`, from column X and row Y on.
    """

    crop: str | None = None
    size: int | None = None
    multiple: int | None = None

    def __post_init__(self) -> None:
        if self.crop is not None and not GEOMETRY.fullmatch(self.crop):
            raise SpecError(f"--crop: expected WIDTHxHEIGHT, such as 256x256, or 256x256+X+Y, not {self.crop!r}")
        for name, value in (("--size", self.size), ("--crop-multiple", self.multiple)):
            if value is not None:
                whole(name, value, 1, SIDE)

    def __bool__(self) -> bool:
        return any(v is not None for v in (self.crop, self.size, self.multiple))

    def window(self, h: int, w: int, origin: object) -> Window:
        """The part of a picture of h x w pixels that is taken before it is resized.

        Raises DataError if the picture is smaller than that.
        """
        top, left, tall, wide = 0, 0, h, w
        if self.crop is not None:
            found = GEOMETRY.fullmatch(self.crop)
            assert found is not None
            wide, tall = int(found[1]), int(found[2])
            top, left = (int(found[4]), int(found[3])) if found[3] else ((h - tall) // 2, (w - wide) // 2)
            if min(tall, wide) < 1 or min(top, left) < 0 or top + tall > h or left + wide > w:
                raise DataError(f"{origin}: has {w}x{h} pixels (width x height), in which {self.crop} does not fit")
        if self.size is not None:
            side = min(tall, wide)
            top, left, tall, wide = top + (tall - side) // 2, left + (wide - side) // 2, side, side
        return Window(top, left, tall, wide, (h, w))

    def resized(self, x: Tensor) -> Tensor:
        """A part (c, h, w) at the `size`, if there is one."""
        if self.size is None:
            return x
        fits(16.0 * len(x) * self.size**2, f"--size {self.size}")
        return resize(x, self.size, self.size)

    def __call__(self, x: Tensor, origin: object) -> Tensor:
        """The part of a picture (c, h, w) at its size. Raises DataError if `x` is no picture or is too small."""
        if not is_picture(tuple(x.shape)):
            raise DataError(f"{origin}: only pictures can be cropped or resized, not shape {tuple(x.shape)}")
        part = self.resized(self.window(x.shape[1], x.shape[2], origin)(x))
        if k := self.multiple:
            h, w = part.shape[1:]
            if min(h, w) < k:
                raise DataError(f"{origin}: an image of {h}x{w} has no side of {k}")
            part = centre_crop(part, h // k * k, w // k * k)
        return part
