"""Tables of visibilities as text, as the Event Horizon Telescope releases them (`.csv`) and eht-imaging writes them."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...errors import DataError, Declined
from ...files.room import text_of
from .observation import Array, Observation

UNIT = re.compile(r"\s*\([^)]*\)")  # `U(lambda)`, `time (hr)`
SPLIT = re.compile(r"[,\s]+")
FACT = re.compile(
    r"(\w+)(?:\s*\([^)]*\))?:\s*([^,]+)"
)  # `SRC:M87,DATE(MJD):57848,FREQ:229.0707GHz`, `RF: 229.0707 GHz`
NEEDED = ("time", "T1", "T2", "U", "V")
HANDS = (("RR", "LL"), ("XX", "YY"))


def read_table(path: str | Path) -> Observation:
    """Stokes I of a table of visibilities: one in each line, amplitudes in Jy, phases in degrees, times in hours.

    The columns are found by their titles, which are the last line that starts with # before the numbers. Without Stokes
    I it is the mean of two parallel hands. Lines whose noise is not positive, or whose two stations are one, are left
    out. A `.csv` does not tell where the source is; right ascension and declination are then NaN. Declines a file
    that is no such table, and raises DataError for one that is wrong.
    """
    try:
        lines = [line.strip() for line in text_of(Path(path)).splitlines()]
    except (OSError, UnicodeDecodeError) as e:
        raise DataError(f"{path}: cannot be read as a table of visibilities ({type(e).__name__})") from e
    head = [line.lstrip("# ") for line in lines if line.startswith("#")]
    titles = SPLIT.split(UNIT.sub("", head[-1])) if head else []
    if missing := [name for name in NEEDED if name not in titles]:
        raise Declined(f"{path}: is no table of visibilities: its line of titles has no column {', '.join(missing)}")
    rows = [SPLIT.split(line) for line in lines if line and not line.startswith("#")]
    if bad := next((row for row in rows if len(row) != len(titles)), None):
        raise DataError(f"{path}: has {len(titles)} columns, and a line of {len(bad)}: {' '.join(bad)[:60]!r}")
    columns: dict[str, list[str]] = {name: [row[i] for row in rows] for i, name in enumerate(titles)}

    def numbers(name: str) -> Array:
        try:
            return np.array([float(v) for v in columns[name]])
        except ValueError as e:
            raise DataError(f"{path}: column {name} holds what is no number: {e}") from e

    facts = {key: value.strip() for line in head[:-1] for key, value in FACT.findall(line)}
    vis, sigma = _stokes_i({name: numbers(name) for name in titles if name[-3:] in ("amp", "ase", "gma")}, path)
    stations = tuple(dict.fromkeys([*columns["T1"], *columns["T2"]]))
    first, second = (np.array([stations.index(name) for name in columns[t]], dtype=np.int64) for t in ("T1", "T2"))
    seen = np.isfinite(vis) & np.isfinite(sigma) & (sigma > 0) & (first != second)
    if not seen.any():
        raise DataError(f"{path}: has no visibility of two stations with a noise above 0")
    return Observation(
        u=numbers("U")[seen],
        v=numbers("V")[seen],
        vis=vis[seen],
        sigma=sigma[seen],
        time=numbers("time")[seen],
        first=first[seen],
        second=second[seen],
        stations=stations,
        source=facts.get("SRC", "unknown"),
        ra=15 * _sexagesimal(facts.get("RA")),
        dec=_sexagesimal(facts.get("DEC")),
        frequency=1e9 * _fact(facts, ("FREQ", "RF"), path),
        mjd=int(_fact(facts, ("DATE", "MJD"), path)),
        origin=str(path),
    )


def _stokes_i(columns: Mapping[str, Array], path: str | Path) -> tuple[Array, Array]:
    """Stokes I and its noise, (n,) each: given, or the mean of two parallel hands, or the one that is there."""
    found = _hand(columns, "I")
    if found is not None:
        return found
    for pair in HANDS:
        hands = [hand for name in pair if (hand := _hand(columns, name)) is not None]
        if len(hands) == 2:
            (a, sa), (b, sb) = hands
            good, other = np.isfinite(a) & (sa > 0), np.isfinite(b) & (sb > 0)
            both = good & other
            one = np.where(good, a, b), np.where(good, sa, sb)
            return np.where(both, (a + b) / 2, one[0]), np.where(both, np.hypot(sa, sb) / 2, one[1])
        if hands:
            return hands[0]
    raise DataError(
        f"{path}: has neither columns of Stokes I (Iamp, Iphase, Isigma) nor of a parallel hand (RRamp ...)"
    )


def _hand(columns: Mapping[str, Array], name: str) -> tuple[Array, Array] | None:
    """The visibilities of one polarisation and their noise, (n,) each; None if the table has no such columns."""
    parts = [columns.get(name + part) for part in ("amp", "phase", "sigma")]
    amplitude, phase, sigma = parts
    if amplitude is None or phase is None or sigma is None:
        return None
    return amplitude * np.exp(1j * np.radians(phase)), sigma


def _fact(facts: Mapping[str, str], names: tuple[str, ...], path: str | Path) -> float:
    """The number that the lines above the titles give under one of these names. Raises DataError if there is none."""
    text = next((facts[name] for name in names if name in facts), "")
    found = re.search(r"[-+]?\d+(\.\d+)?", text)
    if found is None:
        raise DataError(f"{path}: its first lines tell no {' or '.join(names)}")
    return float(found.group())


def _sexagesimal(text: str | None) -> float:
    """`12 h 30 m 49.4234 s` or `-28 deg 59 m 31.9 s` as hours or degrees; NaN without a text."""
    if text is None:
        return math.nan
    parts = [float(p) for p in re.findall(r"\d+(?:\.\d+)?", text)]
    sign = -1.0 if text.lstrip().startswith("-") else 1.0
    return sign * math.fsum(part / 60.0**k for k, part in enumerate(parts[:3]))
