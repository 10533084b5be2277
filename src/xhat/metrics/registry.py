"""The metrics by name: one row each. A new metric is a function and a row here, or in the plug-in of a science."""

from collections.abc import Iterable, Sequence

from torch import Tensor

from ..errors import ShapeError, SpecError
from ..operators.modality import Modality
from ..registry import Registry
from ..spec import SMALL, names_code, own
from .base import Metric, Number, by_name
from .perceptual import lpips, lpips_alex, stlpips
from .pixels import psnr, relative_l2, ssim
from .sets import SETS

METRICS: Registry[Metric] = Registry(
    "metrics",
    None,
    by_name(
        Metric("psnr", psnr, higher=True, unit="dB", digits=2, label=""),
        Metric("ssim", ssim, higher=True, label="SSIM"),
        Metric("relative_l2", relative_l2, higher=False),
        Metric("lpips", lpips, higher=False, label="LPIPS"),
        Metric("lpips_alex", lpips_alex, higher=False),
        Metric("stlpips", stlpips, higher=False),
    ),
)
# Numbers that are not a function of an image and its truth, such as the χ² of a noise model.
NUMBERS: Registry[Number] = Registry("numbers", None, {})
NAMED: dict[str, Metric] = {}  # rows that the command line or Python named as package.module:ROW in this process


def metric(name: str, more: Iterable[str] = ()) -> Metric:
    """The metric called `name`, or the row that `package.module:ROW` names.

    Raises SpecError for a row that cannot be imported and for a name that is not registered; the message lists the
    registered names, followed by `more`.
    """
    if name in METRICS:
        return METRICS[name]
    if names_code(name) != name:  # only what a file is refused for is imported
        known = ", ".join([*sorted(METRICS), *more])
        hint = f"; {SMALL}" if ":" in name else ""
        raise SpecError(f"unknown metric {name!r}; choose from {known}, or name your own, package.module:ROW{hint}")
    row = own(name, "a metric of your own is written package.module:ROW")
    if not isinstance(row, Metric):
        raise SpecError(f"{name} is not a metric, a row of the class Metric, but {type(row).__name__}")
    NAMED[name] = row
    return row


def row_of(name: str) -> Number | None:
    """The row of a metric, of a metric of sets or of another number; None if no row has this name.

    A name may come from a record, which is a file, so nothing is imported for it: a row `package.module:ROW` is known
    only where this process was asked for it.
    """
    return SETS.get(name) or NUMBERS.get(name) or METRICS.get(name) or NAMED.get(name)


def choose(names: Sequence[str] | None, reference: Tensor, modality: Modality) -> list[str]:
    """The names of the metrics for images like `reference` (*image): `names`, or by default those of its modality.

    Each is tried once, so that a metric that does not take such images fails before a long run and not after it
    (ShapeError). Metrics of the modality that do not take them, such as SSIM for 8 x 8 pixels, are left out. Raises
    SpecError for an unknown name.
    """
    chosen = []
    for name in modality.metrics if names is None else names:
        row = metric(name)
        try:
            row(reference[None], reference[None])
        except ShapeError:
            if names is not None:
                raise
            continue
        chosen.append(name)
    return chosen
