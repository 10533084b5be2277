"""What a reader must know about a number: which direction is better, its unit, how many decimals to show."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ..types import Image, PerImage

N = TypeVar("N", bound="Number")


@dataclass(frozen=True)
class Number:
    """How a number about restored images is read, ranked and written."""

    name: str
    higher: bool = field(kw_only=True)  # whether higher is better; it has no default, so that no row forgets it
    unit: str = field(default="", kw_only=True)
    digits: int = field(default=3, kw_only=True)  # decimals
    label: str | None = field(default=None, kw_only=True)  # what a caption writes before it; None means its name

    @property
    def arrow(self) -> str:
        """The heading of a column, such as `psnr [dB] ↑`."""
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.name}{unit} {'↑' if self.higher else '↓'}"

    def text(self, value: float) -> str:
        """A value as a caption shows it, such as `21.30 dB` or `SSIM 0.812`."""
        label = self.name if self.label is None else self.label
        parts = (label, f"{value:.{self.digits}f}", self.unit)
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Metric(Number):
    """A number that compares an image with its truth: a row of `METRICS`."""

    of: Callable[[Image, Image], PerImage]  # (x, reference), both (b, *image), to one number for each image

    def __call__(self, x: Image, reference: Image) -> PerImage:
        """The number of each image of `x`, (b,); `x` and `reference` are (b, *image).

        Raises ShapeError for images that it is not defined for.
        """
        return self.of(x, reference)

    @property
    def about(self) -> str:
        """What `xhat list metrics` shows about it: the docstring of its function."""
        return inspect.getdoc(self.of) or ""


def by_name(*rows: N) -> dict[str, N]:
    """The rows by their names."""
    return {row.name: row for row in rows}
