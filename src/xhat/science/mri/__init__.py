"""Magnetic resonance imaging: k-space of one or several coils, recorded or simulated."""

from pathlib import Path

from ...registry import Plugin
from . import bart, hdf5
from .operator import SingleCoilMRI, mri
from .prior import Magnitude

PLUGIN = Plugin(
    "mri",
    operators={"mri": mri, "mri_single": SingleCoilMRI},
    priors={"magnitude": Magnitude},
    readers={".h5": hdf5.read, ".hdf5": hdf5.read, ".cfl": bart.read, ".hdr": bart.read},
    suites={"science-mri": Path(__file__).with_name("suite.toml")},
)
