"""Reconstructions of a physical quantity: arrays in its own units, and a figure with axes and colour bars."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ..files.extras import extra
from ..files.pictures import atomic

if TYPE_CHECKING:
    from ..task.restoration import Restoration

Units = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Quantity:
    """How a plane of numbers is labelled and shown."""

    name: str
    label: str  # of the colour bar, with its unit
    axes: tuple[str, str]  # across, down
    extent: tuple[float, float, float, float]  # left, right, bottom, top
    colours: str
    signed: bool = False  # colours are symmetric about 0
    clip: float = 1.0  # the part of the numbers that is not beyond the end of the colours
    turned: bool = False  # rows of the plane are what the figure shows across


def files(result: "Restoration", q: Quantity, units: Units, data: Quantity, y: Tensor) -> Mapping[str, Any]:
    """`<q.name>.npy`, (samples, h, w), and `figure.png` where matplotlib is; `units` is affine, `y` (rows, columns)."""
    planes = units(result.images)[:, 0].numpy()
    made: dict[str, Any] = {f"{q.name}.npy": lambda path: atomic(path, lambda file: np.save(file, planes))}
    if find_spec("matplotlib"):
        made["figure.png"] = partial(draw, result=result, q=q, units=units, data=data, y=y)
    return made


def draw(path: Path, result: "Restoration", q: Quantity, units: Units, data: Quantity, y: Tensor) -> None:
    """Data; truth, where known, and result in the same colours; their difference; the deviation of several samples."""
    n, truth = len(result.images), result.reference
    mean = units(result.mean)[0]
    tiles = [("data", y, data, limits(y, data))]
    fields = [("truth", units(truth)[0])] if truth is not None else []
    fields += [(f"mean of {n}" if n > 1 else "restored", mean)]
    tiles += [(name, field, q, limits(fields[0][1], q)) for name, field in fields]
    apart = [("|error|", (mean - fields[0][1]).abs())] if truth is not None else []
    if n > 1:
        apart.append(("standard deviation", (units(result.mean + result.std)[0] - mean).abs()))
    tiles += [(name, field, q, (0.0, float(field.max()))) for name, field in apart]
    figure = extra("matplotlib.figure", path.name).Figure(figsize=(3.7 * len(tiles), 3.5), dpi=90, layout="constrained")
    for i, (name, field, how, (low, high)) in enumerate(tiles):
        axes = figure.add_subplot(1, len(tiles), i + 1)
        colours = how.colours if i <= len(fields) else "magma"
        image = (field.T if how.turned else field).detach().cpu().double().numpy()
        shown = axes.imshow(image, cmap=colours, vmin=low, vmax=high, extent=how.extent, aspect="auto")
        axes.set(title=name, xlabel=how.axes[0], ylabel=how.axes[1])
        figure.colorbar(shown, ax=axes, label=how.label)
    figure.savefig(path)


def limits(field: Tensor, q: Quantity) -> tuple[float, float]:
    """The ends of the colours."""
    numbers = field.detach().cpu().double().numpy()
    if q.signed:
        end = float(np.quantile(np.abs(numbers), q.clip))
        return -end, end
    return float(np.quantile(numbers, 1 - q.clip)), float(np.quantile(numbers, q.clip))
