"""Velocities as images: their scale, colours and axes, and what is reported of them."""

from dataclasses import replace

from ...figures.fields import Chart, Quantity

CENTRE, CONTRAST = 3.0, 1.5  # km/s: images of [−1, 1] are velocities of 1.5 to 4.5

VELOCITY = Quantity(
    name="velocity",
    metrics=("psnr", "velocity_l2"),
    chart=Chart("km/s", ("x (km)", "depth (km)"), (0.0, 1.0, 1.0, 0.0), "viridis", turned=True),
    data=Chart("pressure", ("x (km)", "time (s)"), (0.0, 1.0, 1.0, 0.0), "seismic", signed=True, clip=0.99),
    offset=CENTRE,
    scale=CONTRAST,
)


def velocities(
    centre: float,
    contrast: float,
    limits: tuple[float | None, float | None],
    extent: tuple[float, float],
    seconds: float,
    shots: int,
) -> Quantity:
    """Velocities `centre` + `contrast` x in km/s, cut to `limits`, of a field of `extent` (last x, last depth) metres.

    The figure shows the data of the middle one of `shots`, heard for `seconds`.
    """
    wide, deep = (n / 1000 for n in extent)
    known = (centre, contrast) == (CENTRE, CONTRAST)
    return replace(
        VELOCITY,
        metrics=VELOCITY.metrics if known else ("psnr",),  # velocity_l2 knows the default scale only
        chart=replace(VELOCITY.chart, extent=(0.0, wide, deep, 0.0)),
        data=replace(VELOCITY.data, extent=(0.0, wide, seconds, 0.0)),
        part=(shots // 2,),
        offset=centre,
        scale=contrast,
        limits=limits,
    )
