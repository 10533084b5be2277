"""Metrics: numbers that compare restored images with the true ones, one by one or as sets.

`psnr`, `ssim` and the others take what is at hand for a picture; a row of `METRICS`, which `metric(name)` finds, takes
batches (b, *image) in [−1, 1].
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Metric
    from .given import lpips, lpips_alex, psnr, relative_l2, ssim, stlpips
    from .registry import METRICS, metric

__all__ = ["METRICS", "Metric", "lpips", "lpips_alex", "metric", "psnr", "relative_l2", "ssim", "stlpips"]

_HOME = dict.fromkeys(__all__, "given") | {"METRICS": "registry", "Metric": "base", "metric": "registry"}
"""The module of each name; it is imported when the name is first asked for."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    found = getattr(_import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
