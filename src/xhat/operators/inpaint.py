"""Inpainting, with masks from several sources."""

from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Generator, Tensor

from ..errors import DataError, ShapeError, SpecError
from ..files.colours import is_colour
from ..files.cut import Window
from ..numerics.build_dtype import built
from ..ranges import Portion, Seeds, Side
from .checks import Number, planes, seeds_of
from .masked import Masked
from .masks import Given, painted, read_mask


class Inpaint(Masked):
    """y = m ⊙ x with a mask m of 0 and 1, the same in all channels; y is 0 where nothing was seen.

    `mask` is one of these:

        random      a fraction `keep` of the pixels stays
        box         a square of side `box` is lost, by default half the image, an eighth of it or more from the border
        a file      a picture or array, whose white or nonzero pixels stay, as with `known`
        box50       MAP-GA's: the central box of half of each side is lost
        box25       MAP-GA's: the central box of a quarter of each side is lost
        half        MAP-GA's: the right half is lost
        expand      MAP-GA's: all is lost but the central quarter of each side
        sr2x        MAP-GA's: every second row and column stays
        altlines    MAP-GA's: every second row stays

    `fill` is a picture or array in which white is to be filled, or a colour painted into the measured picture, `red`
    or `#ff0000`, and the measured picture is then `picture`; `known` is one in which white is known. They may be soft,
    transparent, saved as JPEG or resized (`masks.read_mask`). In a program each may also be an array (h, w) or a
    picture of Pillow; an array as `mask` holds 0 and one other value, and may be (images, 1, h, w). What any of them
    drops is dropped. `window` is the part of the picture that the image is, if the masks were made for all of it.

    A list of seeds draws a mask for each image. Raises ShapeError, SpecError or DataError if the mask does not fit, its
    options are out of range, or it is empty.
    """

    per_image: ClassVar[tuple[str, ...]] = ("s",)
    one_basis: ClassVar[bool] = True
    source: ClassVar[str] = "DPS, arXiv 2209.14687; DAPS, arXiv 2407.01521; MAP-GA, arXiv 2407.20784"

    s: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        mask: Given | None = None,
        keep: Annotated[Number, Portion] = 0.3,
        box: Annotated[int, Side] | None = None,
        seed: Seeds = 0,
        fill: Given | None = None,
        known: Given | None = None,
        picture: Tensor | None = None,
        window: Window | None = None,
    ) -> None:
        super().__init__(shape)
        c, h, w = planes(shape)
        drawn = from_files((h, w), fill, known, picture, window)
        if mask is None and drawn is None:
            mask = "random" if box is None else "box"
        if mask is None:
            assert drawn is not None
            self.register_buffer("s", built(drawn[None, None]))
            return
        generators = [Generator().manual_seed(s) for s in seeds_of(seed)]
        if isinstance(mask, str) and mask == "random":
            m = torch.stack([random(h, w, keep, g) for g in generators])[:, None]
        elif isinstance(mask, str) and mask == "box":
            m = torch.stack([outside_box(h, w, box, g) for g in generators])[:, None]
        elif isinstance(mask, str) and mask in FIXED:
            m = fixed(mask, h, w)[None, None]
        else:
            exact = isinstance(mask, Tensor | np.ndarray)  # nothing in it is a soft brush
            m = binary(torch.as_tensor(mask)) if exact else read_mask(named(mask), (h, w), False, window)
            m = m.reshape(-1, *[1] * max(0, 3 - m.ndim), *m.shape[-3:]) if m.ndim in (2, 3, 4) else m
        if m.ndim != 4 or m.shape[-2:] != (h, w) or m.shape[1] not in (1, c):
            raise ShapeError(f"the mask of shape {tuple(m.shape)} does not fit images of {c} channels, {h}x{w}")
        m = m if drawn is None else m.bool() & drawn
        if not m.flatten(1).any(1).all():
            raise DataError("the mask is empty: nothing of the image would be kept")
        self.register_buffer("s", built(m))


def random(h: int, w: int, keep: Number, g: Generator) -> Tensor:
    """A mask (h, w) in which round((1 − keep) h w) pixels are dropped, without replacement."""
    m = torch.ones(h * w, dtype=torch.bool)
    m[torch.randperm(h * w, generator=g)[: round((1 - keep) * h * w)]] = False
    return m.reshape(h, w)


def outside_box(h: int, w: int, box: int | None, g: Generator) -> Tensor:
    """A mask (h, w) from which one box of side `box` is dropped, at a random place."""
    size = min(h, w) // 2 if box is None else box
    if not 0 < size <= min(h - 2 * (h // 8), w - 2 * (w // 8)):
        raise SpecError(f"a box of side {size} does not fit an image of {h}x{w} with an eighth of margin on each side")
    top, left = (int(torch.randint(n // 8, max(n - n // 8 - size, n // 8 + 1), (), generator=g)) for n in (h, w))
    m = torch.ones(h, w, dtype=torch.bool)
    m[top : top + size, left : left + size] = False
    return m


FIXED = ("box50", "box25", "half", "expand", "sr2x", "altlines")


def fixed(name: str, h: int, w: int) -> Tensor:
    """MAP-GA's mask called `name`, (h, w) (Gutha et al., 2024, section 5). arXiv:2407.20784"""
    m = torch.ones(h, w, dtype=torch.bool)
    if name == "half":
        m[:, w // 2 :] = False
    elif name == "sr2x":
        m[1::2] = m[:, 1::2] = False
    elif name == "altlines":
        m[1::2] = False
    else:
        share = 2 if name == "box50" else 4
        (top, tall), (left, wide) = (((n - max(1, n // share)) // 2, max(1, n // share)) for n in (h, w))
        m[top : top + tall, left : left + wide] = False
    return ~m if name == "expand" else m


def named(mask: Given) -> Given:
    """A mask, the file of which is there. Raises DataError that lists the other masks if it is not."""
    if not isinstance(mask, str | Path):
        return mask
    if not Path(mask).exists():
        raise DataError(f"mask must be random, box, {', '.join(FIXED)} or a file, and there is no file {mask}")
    return Path(mask)


def from_files(
    size: tuple[int, int],
    fill: Given | None,
    known: Given | None,
    picture: Tensor | None,
    window: Window | None,
) -> Tensor | None:
    """Which pixels stay, (h, w), by the options `fill` and `known`; None without them."""
    found = None if known is None else read_mask(named(known), size, False, window)
    if fill is None:
        return found
    if isinstance(fill, str | Path) and is_colour(fill):
        if picture is None:
            raise SpecError(f"inpaint:fill={fill} needs the picture that the colour was painted into")
        rest = painted(picture, str(fill))
    else:
        rest = read_mask(named(fill), size, True, window)
    return rest if found is None else rest & found


def binary(m: Tensor) -> Tensor:
    """The mask `m`, of any shape, as booleans, true where it is not 0.

    Raises DataError if it holds more than 0 and one other positive value.
    """
    grey = torch.unique(m)
    if len(grey[grey != 0]) > 1 or bool((m < 0).any()) or not bool(torch.isfinite(m.float()).all()):
        some = ", ".join(f"{v:g}" for v in grey[:6].tolist())
        raise DataError(
            f"a mask holds two values, 0 and white, not {len(grey)} ({some}, …); threshold it, save it as PNG"
        )
    return m != 0
