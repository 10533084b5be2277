"""Full waveform inversion: seismic records of the ground, whose velocity is the image."""

from pathlib import Path

from ...metrics.base import by_name
from ...registry import Plugin
from . import classical, segy
from .generator import generate
from .metrics import METRICS
from .operator import FWI
from .prior import VelocityModels

PLUGIN = Plugin(
    "fwi",
    operators={"fwi": FWI},
    priors={"velocity": VelocityModels},
    readers={".sgy": segy.read, ".segy": segy.read},
    generators={"velocity": generate},
    metrics=by_name(*METRICS),
    suites={"science-fwi": Path(__file__).with_name("suite.toml")},
)
