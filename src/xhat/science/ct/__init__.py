"""Computed tomography: line integrals through a slice, filtered back-projection."""

from pathlib import Path

from ...registry import Plugin
from .fbp import FBP
from .operator import ct

PLUGIN = Plugin(
    "ct",
    operators={"ct": ct},
    baselines={"fbp": FBP},
    suites={"science-ct": Path(__file__).with_name("suite.toml")},
)
