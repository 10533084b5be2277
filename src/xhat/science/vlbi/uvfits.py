"""UVFITS, the interchange format of radio interferometry (AIPS memo 117): random groups and an antenna table."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ...files.extras import extra
from .observation import Array, Observation

STOKES_I, RR, LL, XX, YY = 1, -1, -2, -5, -6  # FITS codes of polarisations


def read_uvfits(path: str | Path) -> Observation:
    """Stokes I of a single-source uvfits file, averaged over its channels; visibilities without weight are left out.

    Raises DataError if the file is missing, truncated or not uvfits.
    """
    fits = extra("astropy.io.fits", f"{path}: reading uvfits")
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with fits.open(path, memmap=False, lazy_load_hdus=False) as file:
                found = _observation(file, path, fits.GroupsHDU)
        except DataError:
            raise
        except Exception as e:  # astropy's own errors, and numpy's if the bytes do not match the header
            reason = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
            raise DataError(f"{path}: cannot be read as uvfits ({reason})") from e
    if any("truncated" in str(w.message) for w in caught):
        raise DataError(f"{path}: is truncated")
    return found


def _observation(file: Any, path: str | Path, groups_of: Any) -> Observation:
    main, table = file[0], next((t for t in file[1:] if t.name == "AIPS AN"), None)
    if not isinstance(main, groups_of) or main.data is None:
        raise DataError(f"{path}: is a FITS file, but no uvfits: it has no random groups")
    if table is None:
        raise DataError(f"{path}: has no table of antennas (AIPS AN)")
    head, groups = main.header, main.data
    axes = {head[f"CTYPE{i}"].strip(): i for i in range(2, head["NAXIS"] + 1) if f"CTYPE{i}" in head}
    if missing := {"COMPLEX", "STOKES", "FREQ"} - axes.keys():
        raise DataError(f"{path}: has no axis {', '.join(sorted(missing))}")
    n, stokes = len(groups), _codes(head, axes["STOKES"])
    cube = np.asarray(groups["DATA"], dtype=np.float64)
    place = cube.ndim - axes["STOKES"] + 1  # FITS counts axes from the last, and from 1
    cube = np.moveaxis(cube, place, -2).reshape(n, -1, len(stokes), cube.shape[-1])  # (n, channels, stokes, 3)
    vis, weight = _stokes_i(cube, stokes, path)
    total = weight.sum(1)
    seen = total > 0
    vis = (weight * vis).sum(1)[seen] / total[seen]
    names = [name.split("-")[0] for name in groups.names]

    def column(name: str) -> Array:
        values: Array = np.asarray(groups.par(groups.names[names.index(name)]), dtype=np.float64)[seen]
        return values

    frequency = float(np.mean(_codes(head, axes["FREQ"])))
    baseline = [int(b) for b in np.round(column("BASELINE"))]
    number = {int(k): i for i, k in enumerate(table.data["NOSTA"])}
    if unknown := {b for b in baseline if b // 256 not in number or b % 256 not in number}:
        raise DataError(f"{path}: baseline {min(unknown)} is between no two of its {len(number)} antennas")
    dates = [np.asarray(groups[name], dtype=np.float64)[seen] for name in groups.names if name.strip("_") == "DATE"]
    days: Array = np.sum(dates, axis=0) - 2400000.5
    mjd = int(np.floor(days.min()))
    return Observation(
        u=column("UU") * frequency,
        v=column("VV") * frequency,
        vis=vis,
        sigma=1 / np.sqrt(total[seen]),
        time=(days - mjd) * 24,
        first=np.array([number[b // 256] for b in baseline]),
        second=np.array([number[b % 256] for b in baseline]),
        stations=tuple(str(name).strip() for name in table.data["ANNAME"]),
        source=str(head.get("OBJECT", "unknown")).strip(),
        ra=float(head.get("OBSRA", head.get(f"CRVAL{axes.get('RA', 0)}", 0.0))),
        dec=float(head.get("OBSDEC", head.get(f"CRVAL{axes.get('DEC', 0)}", 0.0))),
        frequency=frequency,
        mjd=mjd,
        origin=str(path),
    )


def _codes(head: Any, axis: int) -> Array:
    """The world coordinates along a linear axis."""
    steps: Array = np.arange(1, head[f"NAXIS{axis}"] + 1) - head.get(f"CRPIX{axis}", 1.0)
    found: Array = float(head[f"CRVAL{axis}"]) + steps * float(head.get(f"CDELT{axis}", 1.0))
    return found


def _stokes_i(cube: Array, stokes: Array, path: str | Path) -> tuple[Array, Array]:
    """Stokes I (n, channels) and its weight 1/σ²: given, or the mean of two parallel hands, or one of them."""
    codes = [round(c) for c in stokes]
    if STOKES_I in codes:
        one = cube[:, :, codes.index(STOKES_I)]
        return one[..., 0] + 1j * one[..., 1], _weight(one)
    hands = next((pair for pair in ((RR, LL), (XX, YY)) if set(pair) <= set(codes)), None)
    if hands is None:
        raise DataError(f"{path}: holds polarisations {codes}; Stokes I needs 1, or -1 and -2, or -5 and -6")
    a, b = (cube[:, :, codes.index(code)] for code in hands)
    wa, wb = _weight(a), _weight(b)
    both = (wa > 0) & (wb > 0)
    mean = np.where(both, 0.5, (wa > 0) * 1.0)
    vis = mean * (a[..., 0] + 1j * a[..., 1]) + np.where(both, 0.5, (wb > 0) * 1.0) * (b[..., 0] + 1j * b[..., 1])
    pair = 4 / (1 / np.where(both, wa, 1) + 1 / np.where(both, wb, 1))  # σ = √(1/w_RR + 1/w_LL)/2
    return vis, np.where(both, pair, wa + wb)


def _weight(part: Array) -> Array:
    """The weights of one polarisation, 0 where flagged."""
    w = part[..., 2]
    return np.where(np.isfinite(w) & (w > 0) & np.isfinite(part[..., 0]) & np.isfinite(part[..., 1]), w, 0.0)
