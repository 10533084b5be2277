"""Vorticities as images: their scale, colours and axes, and what is reported of them."""

import math
from dataclasses import replace

from ...figures.fields import Chart, Quantity

SCALE = 10.0  # images of [−1, 1] are vorticities of −10 to 10
AROUND = (0.0, 2 * math.pi, 2 * math.pi, 0.0)

VORTICITY = Quantity(
    name="vorticity",
    metrics=("relative_l2",),
    chart=Chart("vorticity at t = 0", ("y", "x"), AROUND, "RdBu_r", signed=True),
    data=Chart("vorticity at t = 1", ("y", "x"), AROUND, "RdBu_r", signed=True),
    part=(0,),
    scale=SCALE,
)


def vorticities(scale: float, time: float) -> Quantity:
    """Vorticities `scale` x at the start of a flow that is measured at `time`."""
    return replace(VORTICITY, data=replace(VORTICITY.data, label=f"vorticity at t = {time:g}"), scale=scale)
