"""Many pictures on one sheet, each before and after."""

from collections.abc import Sequence
from math import ceil, sqrt

from PIL import Image
from torch import Tensor

from ..files.pictures import resize
from .panel import Tile, panel

CELL = 200  # pixels of the longer side of a picture on the sheet
MOST = 60  # pictures on one sheet

Pair = tuple[str, Tensor | None, Tensor | None]  # caption, before, after


def thumbnail(x: Tensor) -> Tensor:
    """A picture (1 or 3, h, w) in [−1, 1], not larger than a cell of the sheet."""
    h, w = x.shape[-2:]
    k = min(1.0, CELL / max(h, w))
    return x if k == 1 else resize(x, max(1, round(k * h)), max(1, round(k * w)))


def contact(pairs: Sequence[Pair]) -> Image.Image:
    """The pictures before and after, beside each other, in about as many columns as rows."""
    pairs = pairs[:MOST]
    across = max(1, round(sqrt(len(pairs) / 2)))
    tiles = [[(f"{name}\nbefore", before), ("\nafter", after)] for name, before, after in pairs]
    rows: list[list[Tile]] = [
        [tile for pair in tiles[i * across : (i + 1) * across] for tile in pair]
        for i in range(ceil(len(tiles) / across))
    ]
    return panel(rows, CELL)
