"""Inverse scattering: the permittivity of a sample from the light it scatters (first Born approximation)."""

from pathlib import Path

from ...registry import Plugin
from .operator import Scattering

PLUGIN = Plugin(
    "scattering",
    operators={"scattering": Scattering},
    suites={"science-scattering": Path(__file__).with_name("suite.toml")},
)
