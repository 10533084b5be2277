"""Scores of velocities."""

from ...metrics.base import Metric
from ...metrics.pixels import relative_l2
from ...types import Image, PerImage
from .modality import VELOCITY


def velocity_l2(x: Image, reference: Image) -> PerImage:
    """‖v − v*‖/‖v*‖ of velocities v = 3 + 1.5 x in km/s, as operator fwi has them by default; lower is better."""
    return relative_l2(VELOCITY.units(x), VELOCITY.units(reference))


METRICS = (Metric("velocity_l2", velocity_l2, higher=False),)
