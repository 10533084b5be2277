"""UVFITS, the interchange format of radio interferometry (AIPS memo 117): random groups, antennas and frequencies."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError, Declined
from ...files.extras import extra
from .observation import Array, Observation

STOKES_I, RR, LL, XX, YY = 1, -1, -2, -5, -6  # FITS codes of polarisations
IN_WAVELENGTHS = "L"  # `UU-L-SIN` holds wavelengths at the reference frequency, and `UU---SIN` seconds


def read_uvfits(path: str | Path) -> Observation:
    """Stokes I of a single-source uvfits file, averaged over its channels and IFs.

    What has no weight is left out, whatever number it holds, and so are autocorrelations, which are no visibilities of
    a baseline. A single parallel hand stands for Stokes I. Raises DataError if the file is missing, truncated or not
    uvfits, and if nothing is left of it.
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
        raise Declined(f"{path}: is a FITS file, but no uvfits: it has no random groups")
    if table is None:
        raise DataError(f"{path}: has no table of antennas (AIPS AN)")
    head, groups = main.header, main.data
    axes = {head[f"CTYPE{i}"].strip(): i for i in range(2, head["NAXIS"] + 1) if f"CTYPE{i}" in head}
    if missing := {"COMPLEX", "STOKES", "FREQ"} - axes.keys():
        raise DataError(f"{path}: has no axis {', '.join(sorted(missing))}")
    n, stokes = len(groups), _codes(head, axes["STOKES"])
    cube = np.asarray(groups["DATA"], dtype=np.float64)
    sky = ("IF", "FREQ", "STOKES", "COMPLEX")  # FITS counts axes from the last, and from 1
    cube = np.moveaxis(cube, [cube.ndim - axes[a] + 1 for a in sky if a in axes], range(-len(axes.keys() & {*sky}), 0))
    cube = cube.reshape(n, -1, len(stokes), cube.shape[-1])  # (n, IFs and channels, stokes, 3)
    column = {name.split("-")[0]: np.asarray(groups.par(name), dtype=np.float64) for name in groups.parnames}
    frequencies = _frequencies(file, head, axes, column.get("FREQSEL"), n, path)
    if frequencies.shape[1] != cube.shape[1]:
        raise DataError(f"{path}: has {cube.shape[1]} channels in all, and its axes and AIPS FQ {frequencies.shape[1]}")
    vis, weight = _stokes_i(cube, stokes, path)
    baseline = np.round(column["BASELINE"]).astype(np.int64)
    number = {int(k): i for i, k in enumerate(table.data["NOSTA"])}
    if unknown := {b for b in baseline.tolist() if b // 256 not in number or b % 256 not in number}:
        raise DataError(f"{path}: baseline {min(unknown)} is between no two of its {len(number)} antennas")
    first, second = (np.array([number[int(k)] for k in station]) for station in (baseline // 256, baseline % 256))
    total = weight.sum(1)
    seen = (total > 0) & (first != second)
    if not seen.any():
        raise DataError(f"{path}: has no visibility that is not flagged and is of two stations")
    total = total[seen]

    def mean(values: Array) -> Array:
        found: Array = (weight[seen] * values[seen]).sum(1) / total
        return found

    frequency = mean(frequencies)  # of what was averaged, for each visibility
    reference = _codes(head, axes["FREQ"])[0] if _kind(groups.parnames) == IN_WAVELENGTHS else 1.0
    dates = [np.asarray(groups[name], dtype=np.float64)[seen] for name in groups.names if name.strip("_") == "DATE"]
    days: Array = np.sum(dates, axis=0) - 2400000.5
    mjd = int(np.floor(days.min()))
    return Observation(
        u=column["UU"][seen] * frequency / reference,
        v=column["VV"][seen] * frequency / reference,
        vis=mean(vis),
        sigma=1 / np.sqrt(total),
        time=(days - mjd) * 24,
        first=first[seen],
        second=second[seen],
        stations=tuple(str(name).strip() for name in table.data["ANNAME"]),
        source=str(head.get("OBJECT", "unknown")).strip(),
        ra=float(head.get("OBSRA", head.get(f"CRVAL{axes.get('RA', 0)}", 0.0))),
        dec=float(head.get("OBSDEC", head.get(f"CRVAL{axes.get('DEC', 0)}", 0.0))),
        frequency=float(frequency.mean()),
        mjd=mjd,
        origin=str(path),
    )


def _kind(names: list[str]) -> str:
    """What the name of the u column says of its units: `UU-L-SIN` gives L, `UU---SIN` nothing."""
    full = next(name for name in names if name.split("-")[0] == "UU")
    return [*full.split("-"), ""][1]


def _frequencies(file: Any, head: Any, axes: dict[str, int], chosen: Array | None, n: int, path: str | Path) -> Array:
    """The frequency in Hz of every IF and channel of each of the `n` groups, (n, IFs × channels).

    The axis FREQ has the channels of the first IF. The table AIPS FQ has what each IF lies above it, in a row for each
    setup, and `chosen` is the number of the group's setup.
    """
    channels = _codes(head, axes["FREQ"])
    ifs = int(head[f"NAXIS{axes['IF']}"]) if "IF" in axes else 1
    table = next((t for t in file[1:] if t.name == "AIPS FQ"), None)
    if table is None:
        if ifs > 1:
            raise DataError(f"{path}: has {ifs} IFs and no table of their frequencies (AIPS FQ)")
        return np.broadcast_to(channels, (n, len(channels)))
    setups = {int(k): i for i, k in enumerate(np.atleast_1d(table.data["FRQSEL"]))}
    mine = np.full(n, min(setups)) if chosen is None else np.round(chosen).astype(np.int64)
    if unknown := set(mine.tolist()) - setups.keys():
        raise DataError(f"{path}: names frequency setup {min(unknown)}, which its table AIPS FQ does not have")
    offsets = np.asarray(table.data["IF FREQ"], dtype=np.float64).reshape(len(setups), -1)
    rows = offsets[[setups[k] for k in mine.tolist()]]
    if rows.shape[1] != ifs:
        raise DataError(f"{path}: has {ifs} IFs, and its table AIPS FQ {rows.shape[1]}")
    found: Array = (rows[:, :, None] + channels).reshape(n, -1)
    return found


def _codes(head: Any, axis: int) -> Array:
    """The world coordinates along a linear axis."""
    steps: Array = np.arange(1, head[f"NAXIS{axis}"] + 1) - head.get(f"CRPIX{axis}", 1.0)
    found: Array = float(head[f"CRVAL{axis}"]) + steps * float(head.get(f"CDELT{axis}", 1.0))
    return found


def _stokes_i(cube: Array, stokes: Array, path: str | Path) -> tuple[Array, Array]:
    """Stokes I (n, channels) and its weight 1/σ², both 0 where flagged: given, or the mean of two parallel hands, or
    one of them.
    """
    codes = [round(c) for c in stokes]
    if STOKES_I in codes:
        return _hand(cube[:, :, codes.index(STOKES_I)])
    hands = next((h for pair in ((RR, LL), (XX, YY)) if (h := [c for c in pair if c in codes])), None)
    if hands is None:
        raise DataError(f"{path}: holds polarisations {codes}; Stokes I needs 1, or one of -1, -2, -5 and -6")
    if len(hands) == 1:
        return _hand(cube[:, :, codes.index(hands[0])])
    (a, wa), (b, wb) = (_hand(cube[:, :, codes.index(code)]) for code in hands)
    both = (wa > 0) & (wb > 0)
    pair = 4 / (1 / np.where(both, wa, 1) + 1 / np.where(both, wb, 1))  # σ = √(1/w_RR + 1/w_LL)/2
    return np.where(both, (a + b) / 2, a + b), np.where(both, pair, wa + wb)


def _hand(part: Array) -> tuple[Array, Array]:
    """The visibilities of one polarisation and their weights, (n, channels) each; both are 0 where flagged."""
    good = np.isfinite(part).all(-1) & (part[..., 2] > 0)
    re, im, weight = (np.where(good, part[..., k], 0.0) for k in range(3))
    return re + 1j * im, weight
