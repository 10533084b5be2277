"""Computed tomography: line integrals through a slice, filtered back-projection, SIRT and CGLS."""

from pathlib import Path

from ...registry import Plugin
from .algebraic import CGLS, SIRT
from .fbp import FBP
from .operator import ct
from .volume import HelicalCT

PLUGIN = Plugin(
    "ct",
    operators={"ct": ct, "helical_ct": HelicalCT},
    baselines={"fbp": FBP, "sirt": SIRT, "cgls": CGLS},
    suites={"science-ct": Path(__file__).with_name("suite.toml")},
)
