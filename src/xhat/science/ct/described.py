"""A sinogram in a .npy file with its geometry in a TOML file beside it."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError, Declined
from ...files.inside import inside
from ...files.measurement import Measurement
from ...files.numbers import array_of
from ...files.room import LARGEST, text_of
from ...ranges import parameters
from .operator import ct, numbers_in
from .recorded import from_counts, measured, plain

OWN = ("data", "kind", "flat", "dark", "photons", "sigma", "shape", "theta")
OPTIONS = tuple(k for k in parameters(ct) if k not in ("shape", "theta", "seen", "flux", "detectors"))


def read(path: Path, item: int | None) -> Measurement:
    """The sinogram that a TOML file describes, named by either of the two: the table `scan` has the options of the
    operator `ct`, lengths in mm.

    `data` names the .npy file (angles, detectors), by default the one with the same name; `kind` is integrals or
    counts, which have `flat`, a number or a .npy (frames, detectors), and `dark`; `theta` is a file of angles; `sigma`
    or `photons` tell the noise, and `shape` the size of the image, (height, width). All files lie beside it. Raises
    DataError in one line that says what is wrong, and declines a TOML without that table and a .npy without a TOML of
    the same name.
    """
    path = path.with_suffix(".toml")
    if not path.is_file():
        raise Declined(f"{path}: there is none")
    scan = table(path)
    if item is not None:
        raise DataError(f"{path}: is one sinogram, it has no items")
    y = array_of(beside(path, scan.get("data", path.with_suffix(".npy").name)), most=LARGEST)
    if y.ndim == 3 and 1 in y.shape[:2]:
        y = y.reshape(max(y.shape[:2]), y.shape[2])
    options: dict[str, Any] = {k: scan[k] for k in OPTIONS if k in scan}
    if "pixel" not in options:
        raise DataError(f"{path}: says no pixel, the width of a pixel of the image in mm")
    if "shape" in scan:
        options["shape"] = tuple(scan["shape"]) if isinstance(scan["shape"], list) else (scan["shape"],)
    theta = numbers_in(beside(path, scan["theta"])) if "theta" in scan else None
    if isinstance(options.get("angles"), list):
        theta = np.asarray(options.pop("angles"), dtype=float)
    if theta is not None and len(theta) != len(y):
        raise DataError(f"{path}: {len(theta)} angles for the {len(y)} views of the sinogram")
    if theta is None:
        options.setdefault("angles", len(y))
    kind = scan.get("kind", "integrals")
    if kind == "integrals":
        sigma = scan.get("sigma")
        noise = f"transmission:counts={scan['photons']}" if "photons" in scan else None
        return measured(plain(y, path), options, theta, noise if sigma is None else f"gaussian:sigma={sigma}", path)
    if kind != "counts":
        raise DataError(f"{path}: kind is integrals or counts, not {kind!r}")
    if "flat" not in scan:
        raise DataError(f"{path}: counts need flat, what is counted without an object: a number or a .npy file")
    flat, dark = (field(path, scan.get(n), y.shape[-1]) for n in ("flat", "dark"))
    assert flat is not None
    return from_counts(y, flat, dark, options, theta, path, scan.get("photons"))


def table(path: Path) -> dict[str, Any]:
    """The table `scan` of a TOML file. Raises Declined if there is none, DataError if it holds what no scan has."""
    try:
        found = tomllib.loads(text_of(path)).get("scan")
    except (OSError, ValueError, RecursionError) as e:
        raise DataError(f"{path}: cannot be read as TOML ({e})") from e
    if not isinstance(found, dict):
        raise Declined(f"{path}: has no table [scan], the geometry of a sinogram")
    if unknown := sorted(set(found) - {*OWN, *OPTIONS}):
        raise DataError(f"{path}: [scan] knows no {', '.join(unknown)}; it knows {', '.join((*OWN, *OPTIONS))}")
    return found


def beside(path: Path, name: object) -> Path:
    """The file `name` in the folder of `path`. Raises DataError if it lies elsewhere or is missing."""
    if not isinstance(name, str):
        raise DataError(f"{path}: the name of a file is text, not {name!r}")
    file = inside(path.parent / name, path.parent, str(path))
    if not file.is_file():
        raise DataError(f"{path}: there is no {file.name} beside it")
    return file


def field(path: Path, given: object, cells: int) -> np.ndarray | None:
    """A flat or dark field, (frames, cells), from a number or the name of a file."""
    if given is None:
        return None
    if isinstance(given, int | float) and not isinstance(given, bool):
        return np.full((1, cells), float(given))
    return np.atleast_2d(np.asarray(array_of(beside(path, given), most=LARGEST), dtype=float))
