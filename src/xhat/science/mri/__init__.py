"""Magnetic resonance imaging: k-space of one or several coils, recorded or simulated."""

from pathlib import Path

from ...files.readers.slices import OfSlices
from ...metrics.base import by_name
from ...registry import Plugin
from . import bart, hdf5
from .metrics import METRICS
from .operator import SingleCoilMRI, mri
from .prior import Magnitude
from .slices import count
from .volume import VolumeMRI

PLUGIN = Plugin(
    "mri",
    operators={"mri": mri, "mri_single": SingleCoilMRI, "mri_volume": VolumeMRI},
    priors={"magnitude": Magnitude},
    readers=dict.fromkeys((".h5", ".hdf5"), OfSlices(hdf5.read, count)) | dict.fromkeys((".cfl", ".hdr"), bart.read),
    metrics=by_name(*METRICS),
    suites={"science-mri": Path(__file__).with_name("suite.toml")},
)
