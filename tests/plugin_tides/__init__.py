"""A small science outside the package: the height of the sea along a coast, seen by a few gauges.

It shows what a science takes: one folder, and the one line `tides = "plugin_tides:PLUGIN"` of an entry point.
"""

from pathlib import Path

import torch

import xhat
from xhat.metrics.base import Metric

from .operator import Gauges
from .prior import Sea
from .reader import read


def generate(count: int, size: int, seed: int):
    """Pictures of the sea, uint8 (count, size, size)."""
    g = torch.Generator().manual_seed(seed)
    waves = torch.linspace(0, 6.28, size)[None, None] + 6.28 * torch.rand(count, 1, 1, generator=g)
    return (127.5 * (1 + waves.sin()).expand(count, size, size)).to(torch.uint8).numpy()


def mean_height(x, reference):
    """The error of the mean height in metres, per image; lower is better."""
    return (x - reference).flatten(1).mean(1).abs()


PLUGIN = xhat.Plugin(
    "tides",
    operators={"gauges": Gauges},
    priors={"sea": Sea},
    readers={".tide": read},
    metrics={"mean_height": Metric("mean_height", mean_height, higher=False, unit="m", digits=3)},
    generators={"sea": generate},
    suites={"tides": Path(__file__).with_name("suite.toml")},
)
