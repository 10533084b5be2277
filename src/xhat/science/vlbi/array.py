"""An array of radio telescopes before it observes: its table of stations, the rotation of the Earth, thermal noise."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import DataError, SpecError
from ...files.room import text_of
from .observation import Array, Observation

LIGHT = 299_792_458.0  # m/s
EHT2017 = Path(__file__).with_name("eht2017.txt")
QUANTISATION = 0.88  # fraction of the signal that two-bit sampling keeps (Thompson, Moran & Swenson, table 8.1)


@dataclass(frozen=True, eq=False)
class Stations:
    """n telescopes, in the order of their table."""

    names: tuple[str, ...]
    place: Array  # (n, 3) metres from the centre of the Earth: towards Greenwich on the equator, east, north
    sefd: Array  # (n, 2) noise of right and left polarisation, as the flux density in Jy of a source as strong as it


def read_stations(path: str | Path) -> Stations:
    """A table in the form of eht-imaging: name, x, y, z, SEFD of R and of L; further columns are ignored, # starts a
    comment.

    If there is only one SEFD, it holds for both. Raises DataError that names the first line which is not like this.
    """
    try:
        lines = text_of(Path(path)).splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise DataError(f"{path}: cannot be read as a table of stations ({type(e).__name__})") from e
    rows: dict[str, list[float]] = {}
    for number, line in enumerate(lines, 1):
        name, *fields = line.partition("#")[0].split() or [""]
        if not name:
            continue
        try:
            values = [float(field) for field in fields[:5]]
        except ValueError:
            values = []
        if name in rows or len(values) < 4 or not np.isfinite(values).all() or not min(values[3:]) > 0:
            raise DataError(
                f"{path}: line {number} is not a new name with x, y, z in metres and a SEFD in Jy: {line!r}"
            )
        rows[name] = [*values, values[3]][:5]
    if len(rows) < 2:
        raise DataError(f"{path}: holds {len(rows)} stations; a baseline needs two")
    table = np.array(list(rows.values()))
    return Stations(tuple(rows), table[:, :3], table[:, 3:])


def sidereal(mjd: int, hours: Array) -> Array:
    """Greenwich mean sidereal time in radians at UTC `hours` of day `mjd` (IAU 1982 to second order, UT1 = UTC)."""
    days = mjd - 51544.5 + hours / 24  # since J2000
    degrees = 280.46061837 + 360.98564736629 * days + 0.000387933 * (days / 36525) ** 2
    angle: Array = np.radians(degrees % 360)
    return angle


def project(vectors: Array, gmst: Array, ra: float, dec: float) -> Array:
    """Vectors (…, 3) fixed to the Earth, as seen from a source: east, north, towards the source; (…, 3).

    `gmst` is in radians, `ra` and `dec` are in degrees.
    """
    x, y, z = np.moveaxis(vectors, -1, 0)
    h, d = gmst - np.radians(ra), np.radians(dec)
    toward, east = np.cos(h) * x - np.sin(h) * y, np.sin(h) * x + np.cos(h) * y
    out: Array = np.stack([east, np.cos(d) * z - np.sin(d) * toward, np.sin(d) * z + np.cos(d) * toward], -1)
    return out


@dataclass(frozen=True)
class Plan:
    """When and where an array observes.

    Times are the middles of integrations; right ascension and declination are in degrees.
    """

    ra: float
    dec: float
    mjd: int
    start: float = 0.0  # UTC hours since 0h of `mjd`
    hours: float = 24.0
    interval: float = 600.0  # seconds from one integration to the next
    integration: float = 240.0  # seconds
    bandwidth: float = 2e9  # Hz
    frequency: float = 230e9
    elevation: float = 10.0  # degrees; a station does not observe below this height
    highest: float = 85.0  # degrees; nor above this one


def observe(stations: Stations, plan: Plan, origin: str = "the array") -> Observation:
    """What the array would record of a dark sky: baselines, times and thermal noise, with visibilities 0.

    u and v are those of eht-imaging: mean sidereal time, and coordinates as they are given, without precession. The
    noise of Stokes I, in its real and in its imaginary part, is ½ √(R_i R_j + L_i L_j)/(0.88 √(2 Δν τ)) with SEFDs R
    and L. Raises SpecError if no two stations see the source at the same time.
    """
    count = max(1, round(plan.hours * 3600 / plan.interval))
    hours = plan.start + plan.interval * np.arange(count) / 3600
    gmst = sidereal(plan.mjd, hours)
    # As in eht-imaging, the vertical is taken to pass through the centre of the Earth, which is wrong by at most 0.2°.
    up = stations.place / np.linalg.norm(stations.place, axis=1, keepdims=True)
    height = np.degrees(np.arcsin(project(up, gmst[:, None], plan.ra, plan.dec)[..., 2]))
    seen = (height > plan.elevation) & (height < plan.highest)
    i, j = np.triu_indices(len(stations.names), 1)
    time, pair = np.nonzero(seen[:, i] & seen[:, j])
    if not len(time):
        raise SpecError(f"{origin}: no two stations see the source at one time; mind start, hours, ra, dec, elevation")
    first, second = i[pair], j[pair]
    baseline = project(stations.place[first] - stations.place[second], gmst[time], plan.ra, plan.dec)
    noise = np.sqrt((stations.sefd[first] * stations.sefd[second]).sum(1)) / 2 / QUANTISATION
    return Observation(
        u=baseline[:, 0] * plan.frequency / LIGHT,
        v=baseline[:, 1] * plan.frequency / LIGHT,
        vis=np.zeros(len(time), dtype=complex),
        sigma=noise / np.sqrt(2 * plan.bandwidth * plan.integration),
        time=hours[time],
        first=first,
        second=second,
        stations=stations.names,
        ra=plan.ra,
        dec=plan.dec,
        frequency=plan.frequency,
        mjd=plan.mjd,
        origin=origin,
    )
