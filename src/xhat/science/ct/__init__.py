"""Computed tomography: line integrals through a slice, filtered back-projection, SIRT and CGLS, readers of scans."""

from pathlib import Path

from ...files.readers.slices import OfSlices
from ...registry import Plugin
from . import described, dxchange
from .algebraic import CGLS, SIRT
from .fbp import FBP
from .noise import Transmission
from .operator import ct
from .volume import HelicalCT

PLUGIN = Plugin(
    "ct",
    operators={"ct": ct, "helical_ct": HelicalCT},
    noises={"transmission": Transmission},
    baselines={"fbp": FBP, "sirt": SIRT, "cgls": CGLS},
    readers={
        **dict.fromkeys((".h5", ".hdf5"), OfSlices(dxchange.read, dxchange.count)),
        ".toml": described.read,
        ".npy": described.read,
    },
    suites={"science-ct": Path(__file__).with_name("suite.toml")},
)
