"""Colours that people paint with, by name or number."""

import re
from pathlib import Path

from ..errors import SpecError

COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def is_colour(fill: object) -> bool:
    """Whether `fill` is a colour, #rrggbb or the name that CSS has for one. A file of that name comes first.

    Raises SpecError for text that begins like a number of a colour and is none.
    """
    if not isinstance(fill, str):
        return False
    if not fill.startswith("#"):
        from PIL import ImageColor  # not before it is needed: `xhat fix` says its first word without it

        return fill.lower() in ImageColor.colormap and not Path(fill).is_file()
    if not COLOUR.fullmatch(fill):
        raise SpecError(f"inpaint: a colour is written #rrggbb, such as #ff0000, or by its name, red, not {fill!r}")
    return True
