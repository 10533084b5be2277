"""Attenuations as images: their scale, colours and axes."""

from ...figures.fields import Chart, Quantity
from .geometry import Geometry


def attenuations(white: float, per: str, pixel: float, shape: tuple[int, ...], geometry: Geometry) -> Quantity:
    """Attenuations from 0, black, to `white` per `per`, white, of an image of `shape` with pixels of `pixel` mm."""
    h, w = (n * pixel / 2 for n in shape[-2:])
    s, theta = geometry.cells(), geometry.angles
    return Quantity(
        name="attenuation",
        chart=Chart(f"attenuation (1/{per})", ("x (mm)", "y (mm)"), (-w, w, -h, h), "gray"),
        data=Chart(
            "line integral",
            ("detector (mm)", "angle (degrees)"),
            (float(s[0]), float(s[-1]), theta[-1], theta[0]),
            "gray",
        ),
        offset=white / 2,
        scale=white / 2,
    )
