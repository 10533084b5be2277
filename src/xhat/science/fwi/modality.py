"""Velocities as images: their scale, colours and axes, and what is reported of them."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...figures.fields import Chart, Quantity

WATER = 1.5  # km/s, of water
CENTRE, CONTRAST = 3.0, 1.5  # km/s: images of [−1, 1] are velocities of 1.5 to 4.5


@dataclass(frozen=True, kw_only=True)
class Velocity(Quantity):
    """Velocities in km/s; the first `wet` columns, the least deep, are water of velocity `water` whatever x is."""

    wet: int = 0
    water: float = WATER

    def units(self, x: Tensor) -> Tensor:
        v = super().units(x)
        return torch.cat([torch.full_like(v[..., : self.wet], self.water), v[..., self.wet :]], -1) if self.wet else v


VELOCITY = Velocity(
    name="velocity",
    metrics=("psnr", "velocity_l2"),
    chart=Chart("km/s", ("x (km)", "depth (km)"), (0.0, 1.0, 1.0, 0.0), "viridis", turned=True),
    data=Chart("pressure", ("x (km)", "time (s)"), (0.0, 1.0, 1.0, 0.0), "seismic", signed=True, clip=0.99),
    offset=CENTRE,
    scale=CONTRAST,
)


def velocities(
    scale: tuple[float, float],
    limits: tuple[float | None, float | None],
    extent: tuple[float, float],
    seconds: float,
    shots: int,
    wet: int,
    water: float,
) -> Velocity:
    """Velocities centre + contrast x in km/s, `scale` being the two, cut to `limits`, of a field of `extent` (last x,
    last depth) metres, whose first `wet` columns are `water`.

    The figure shows the data of the middle one of `shots`, heard for `seconds`.
    """
    wide, deep = (n / 1000 for n in extent)
    known = scale == (CENTRE, CONTRAST)
    return replace(
        VELOCITY,
        metrics=VELOCITY.metrics if known else ("psnr",),  # velocity_l2 knows the default scale only
        chart=replace(VELOCITY.chart, extent=(0.0, wide, deep, 0.0)),
        data=replace(VELOCITY.data, extent=(0.0, wide, seconds, 0.0)),
        part=(shots // 2,),
        offset=scale[0],
        scale=scale[1],
        limits=limits,
        wet=wet,
        water=water,
    )
