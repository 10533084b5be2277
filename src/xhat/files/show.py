"""A restoration or a measurement in a notebook: a line, and pictures in HTML that ask nothing of any other place."""

from base64 import b64encode
from collections.abc import Iterable
from html import escape
from io import BytesIO

from PIL import Image
from torch import Tensor

from .pictures import to_pixels

SIDE = 512  # pixels of the longer side of an embedded picture


def line(shape: tuple[int, ...], *facts: str) -> str:
    """`3 x 64 x 64, denoise, …`: the shape of an image and what else is known."""
    return ", ".join((" x ".join(map(str, shape)), *filter(None, facts)))


def html(pictures: Iterable[tuple[str, Tensor]], caption: str) -> str:
    """Pictures (1 or 3, h, w) in [−1, 1], each under its title, side by side."""
    cells = "".join(
        f'<figure style="margin:0"><figcaption style="font-size:small">{escape(title)}</figcaption>'
        f'<img alt="{escape(title)}" style="max-width:256px" src="{embedded(x)}"></figure>'
        for title, x in pictures
    )
    small = f'<div style="font-size:small">{escape(caption)}</div>'
    return f'<div style="display:flex;flex-wrap:wrap;gap:12px">{cells}</div>{small}'


def embedded(x: Tensor) -> str:
    """A picture (1 or 3, h, w) in [−1, 1] as a `data:` address, made smaller if it is large."""
    picture, content = Image.fromarray(to_pixels(x)), BytesIO()
    picture.thumbnail((SIDE, SIDE))
    picture.save(content, "PNG")
    return f"data:image/png;base64,{b64encode(content.getvalue()).decode()}"
