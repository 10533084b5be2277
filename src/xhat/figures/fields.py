"""Images of a physical quantity: arrays in its own units, and a figure with axes and colour bars."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from torch import Tensor

from ..files.extras import extra
from ..files.pictures import save_array
from ..operators.answer import Answer
from ..operators.modality import Put, Raster


@dataclass(frozen=True)
class Chart:
    """How a plane of numbers is labelled and coloured."""

    label: str  # the label of the colour bar, with the unit
    axes: tuple[str, str]  # the labels of the axes: across, down
    extent: tuple[float, float, float, float]  # left, right, bottom, top
    colours: str  # matplotlib's name of the colour map
    signed: bool = False  # colours are symmetric about 0
    clip: float = 1.0  # quantile of the numbers (of their absolute values if `signed`) where the colour scale ends
    turned: bool = False  # transposes the plane before it is drawn


@dataclass(frozen=True, kw_only=True)
class Quantity(Raster):
    """A quantity q = `offset` + `scale` x on a grid, cut to `limits`; x is (1, h, w) and lies in [−1, 1]."""

    chart: Chart
    data: Chart  # of the plane `part` of a measurement
    part: tuple[int, ...] = (0,)
    offset: float = 0.0
    scale: float = 1.0
    limits: tuple[float | None, float | None] = (None, None)
    channels: int = 1

    def units(self, x: Tensor) -> Tensor:
        """The quantity in its own units."""
        q = self.offset + self.scale * x
        return q if self.limits == (None, None) else q.clamp(*self.limits)

    def image(self, q: Tensor) -> Tensor:
        """The image x of a quantity in its own units."""
        return (q - self.offset) / self.scale

    def files(self, answer: Answer) -> Mapping[str, Put]:
        """`<name>.npy`, (samples, h, w) in units of the quantity, and `figure.png` if matplotlib is installed."""
        made: dict[str, Put] = {f"{self.name}.npy": partial(save_array, x=self.units(answer.images)[:, 0])}
        if find_spec("matplotlib"):
            made["figure.png"] = partial(draw, answer=answer, q=self)
        return made


def draw(path: Path, answer: Answer, q: Quantity) -> None:
    """Draws data, truth and result, their difference, and the standard deviation, in one row.

    Truth and result have the same colours. The truth is left out if it is unknown, and the deviation if the
    images do not tell it.
    """
    n, truth, y = len(answer.images), answer.reference, answer.y[q.part]
    mean = q.units(answer.mean)[0]
    tiles = [("data", y, q.data, limits(y, q.data))]
    fields = [("truth", q.units(truth)[0])] if truth is not None else []
    fields += [(f"mean of {n}" if n > 1 else "restored", mean)]
    tiles += [(name, field, q.chart, limits(fields[0][1], q.chart)) for name, field in fields]
    apart = [("|error|", (mean - fields[0][1]).abs())] if truth is not None else []
    if (std := answer.posterior_std) is not None:
        apart.append(("standard deviation", (q.units(answer.mean + std)[0] - mean).abs()))
    tiles += [(name, field, q.chart, (0.0, float(field.max()))) for name, field in apart]
    figure = extra("matplotlib.figure", path.name).Figure(figsize=(3.7 * len(tiles), 3.5), dpi=90, layout="constrained")
    for i, (name, field, how, (low, high)) in enumerate(tiles):
        axes = figure.add_subplot(1, len(tiles), i + 1)
        colours = how.colours if i <= len(fields) else "magma"
        image = (field.T if how.turned else field).detach().cpu().double().numpy()
        shown = axes.imshow(image, cmap=colours, vmin=low, vmax=high, extent=how.extent, aspect="auto")
        axes.set(title=name, xlabel=how.axes[0], ylabel=how.axes[1])
        figure.colorbar(shown, ax=axes, label=how.label)
    figure.savefig(path)


def limits(field: Tensor, chart: Chart) -> tuple[float, float]:
    """The numbers at the two ends of the colour scale of `field` (h, w)."""
    numbers = field.detach().cpu().double().numpy()
    if chart.signed:
        end = float(np.quantile(np.abs(numbers), chart.clip))
        return -end, end
    return float(np.quantile(numbers, 1 - chart.clip)), float(np.quantile(numbers, chart.clip))
