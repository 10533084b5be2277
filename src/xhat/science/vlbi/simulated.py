"""The operator of radio interferometry for a planned observation."""

from pathlib import Path
from typing import Annotated

from ...operators.checks import Number
from ...ranges import Range
from ...registry import builds
from .array import EHT2017, Plan, observe, read_stations
from .operator import BlackHole


@builds(BlackHole, source="Thompson, Moran & Swenson, 2017, chapters 4 and 6; eht-imaging's conventions")
def black_hole_array(
    shape: tuple[int, ...],
    stations: str | Path = "eht2017",
    ra: Annotated[Number, Range(-360, 360)] = 187.70593,
    dec: Annotated[Number, Range(-90, 90)] = 12.39112,
    mjd: Annotated[int, Range(0, 1_000_000)] = 57854,
    start: Annotated[Number, Range(-1_000, 1_000)] = 0.0,
    hours: Annotated[Number, Range(above=0, most=1_000)] = 24.0,
    interval: Annotated[Number, Range(1, 1e6)] = 600.0,
    integration: Annotated[Number, Range(above=0, most=1e6)] = 240.0,
    bandwidth: Annotated[Number, Range(above=0, most=1e15)] = 2e9,
    frequency: Annotated[Number, Range(above=0, most=1e15)] = 230e9,
    elevation: Annotated[Number, Range(-90, 90)] = 10.0,
    highest: Annotated[Number, Range(above=0, most=90)] = 85.0,
    fov: Annotated[Number, Range(above=0, most=1e9)] = 128.0,
    white: Annotated[Number, Range(above=0, most=1e6)] = 1.0,
    flux: Annotated[Number, Range(above=0, most=1e6)] | None = None,
    flux_error: Annotated[Number, Range(above=0, most=1e6)] = 0.05,
) -> BlackHole:
    """`black_hole` as an array of telescopes would see it: an observation planned rather than read, to simulate.

    `stations` is eht2017 or a text table: name, x, y, z in metres, SEFD in Jy of both polarisations. The stations
    observe right ascension `ra` and declination `dec` (degrees, by default M87) on day `mjd` from `start` for `hours`
    (UTC), every `interval` seconds for `integration` seconds, with `bandwidth` and at `frequency` in Hz, while the
    source is between the heights `elevation` and `highest` in degrees. The Earth's rotation gives u and v, and the
    SEFDs give σ. `fov`, `white`, `flux` and `flux_error` are those of `black_hole`, which this becomes.
    """
    when = float(start), float(hours), float(interval), float(integration)
    limits = float(elevation), float(highest)
    plan = Plan(float(ra), float(dec), mjd, *when, float(bandwidth), float(frequency), *limits)
    table = read_stations(EHT2017 if stations == "eht2017" else stations)
    found = observe(table, plan, str(stations))
    return BlackHole(shape, found, fov, white, average=0, flux=flux, flux_error=flux_error)
