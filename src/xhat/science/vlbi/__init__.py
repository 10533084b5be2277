"""Very long baseline interferometry: observations, closure quantities, images of the sky."""

from pathlib import Path

from ...metrics.base import by_name
from ...registry import Plugin
from . import reader, skies
from .generator import generate
from .metrics import METRICS, NUMBERS
from .noise import VLBI
from .operator import BlackHole
from .prior import BlackHolePictures
from .rml import RML
from .simulated import black_hole_array

PLUGIN = Plugin(
    "vlbi",
    operators={"black_hole": BlackHole, "black_hole_array": black_hole_array},
    noises={"vlbi": VLBI},
    baselines={"rml": RML},
    priors={"blackhole": BlackHolePictures},
    readers=dict.fromkeys((".uvfits", ".uvf", *reader.TABLES), reader.read),
    generators={"blackhole": generate, "skies": skies.generate},
    metrics=by_name(*METRICS),
    numbers=by_name(*NUMBERS),
    suites={"science-blackhole": Path(__file__).with_name("suite.toml")},
)
