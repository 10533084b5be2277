"""Navier-Stokes: the vorticity of a flow at its start, from the flow seen later."""

from pathlib import Path

from ...registry import Plugin
from .generator import generate
from .operator import NavierStokes
from .prior import Vorticities

PLUGIN = Plugin(
    "navier_stokes",
    operators={"navier_stokes": NavierStokes},
    priors={"vorticity": Vorticities},
    generators={"vorticity": generate},
    suites={"science-navier-stokes": Path(__file__).with_name("suite.toml")},
)
