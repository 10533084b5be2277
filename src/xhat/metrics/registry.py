"""The metrics by name: one row each. A new metric is a function and a row here, or in the plug-in of a science."""

from collections.abc import Iterable, Sequence

from torch import Tensor

from ..errors import ShapeError, SpecError
from ..operators.modality import Modality
from ..registry import Registry
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
# numbers that are no function of an image and its truth, such as the χ² that a noise model tells
NUMBERS: Registry[Number] = Registry("numbers", None, {})


def row_of(name: str) -> Number | None:
    """The row of a metric, of a metric of sets or of another number; None if no row has this name."""
    return METRICS.get(name) or SETS.get(name) or NUMBERS.get(name)


def known(names: Iterable[str], more: Iterable[str] = ()) -> None:
    """Raises SpecError for a name that is no metric of single images; it lists these and what `more` there is."""
    for name in names:
        if name not in METRICS:
            raise SpecError(f"unknown metric {name!r}; choose from {', '.join([*sorted(METRICS), *more])}")


def choose(names: Sequence[str] | None, reference: Tensor, modality: Modality) -> list[str]:
    """The metrics for images like `reference`, (*image): those asked for, or by default those of its modality.

    Each is tried once, so that one which does not take such images fails before a long run (ShapeError), not after
    it. Metrics of the modality that do not take them, SSIM of 8 x 8 pixels for instance, are left out.
    """
    if names is not None:
        known(names)
        for name in names:
            METRICS[name](reference[None], reference[None])
        return list(names)
    chosen = []
    for name in modality.metrics:
        try:
            METRICS[name](reference[None], reference[None])
        except ShapeError:
            continue
        chosen.append(name)
    return chosen
