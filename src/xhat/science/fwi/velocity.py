"""Velocities as images: the scale of full waveform inversion, for its operator and its metric."""

from torch import Tensor

CENTRE, CONTRAST = 3.0, 1.5  # km/s: images of [−1, 1] are velocities of 1.5 to 4.5


def velocity(x: Tensor, centre: float = CENTRE, contrast: float = CONTRAST) -> Tensor:
    """The velocity in km/s of an image `x` in [−1, 1]."""
    return centre + contrast * x
