"""From what a detector counts to line integrals: flat and dark fields, −log, cells that saw nothing, stripes."""

from dataclasses import dataclass, field

import numpy as np

from ...errors import DataError

DEAD = 0.05  # of the usual light: a cell with less than that in the flat field is none
ALWAYS = 0.9  # of the views in which a stripe is seen
STRIPE = 6.0  # times the usual deviation from its neighbours: a cell that is off in all views
FRAMES = 4  # of the flat field, at least, from which the number of photons behind a count can be told
Array = np.ndarray


@dataclass(frozen=True)
class Integrals:
    """Line integrals with what is known of the cells: all arrays are (angles, detectors) but `flux`."""

    y: Array  # −log of the transmission, 0 where `seen` is False
    seen: Array  # which cells measured something
    flux: Array  # (detectors,): the light of each cell, relative to the usual one
    photons: float | None  # the usual number of photons that a cell is sent in a view; None if nothing tells it
    notes: tuple[str, ...] = field(default=())  # what a user should know


def integrals(counts: Array, flat: Array, dark: Array | None, origin: object) -> Integrals:
    """−log((counts − dark)/(flat − dark)) of `counts` (angles, detectors), with fields (frames, detectors).

    Cells without light or without counts are left out (`seen`), and said. The photons follow from how the frames of the
    flat field scatter, whose variance over their mean is the counts that a photon makes. Raises DataError if the fields
    do not fit, or if hardly a cell is left.
    """
    cells = counts.shape[-1]
    for name, frames in (("flat", flat), ("dark", dark)):
        if frames is not None and (frames.ndim != 2 or frames.shape[1] != cells or not len(frames)):
            raise DataError(f"{origin}: the {name} field has shape {frames.shape}, the detector {cells} cells")
        if frames is not None and not np.isfinite(frames).all():
            raise DataError(f"{origin}: the {name} field holds NaN or infinity")
    base = np.zeros(cells) if dark is None else dark.mean(0)
    light, signal = flat.mean(0) - base, counts - base
    usual = float(np.median(light))
    if not usual > 0:
        raise DataError(f"{origin}: the flat field is not brighter than the dark field: are they exchanged?")
    alive = light > DEAD * usual
    seen = alive & (signal > 0) & np.isfinite(signal)
    if seen.mean() < 0.5:
        raise DataError(
            f"{origin}: only {100 * seen.mean():.0f} % of the cells counted more than the dark field: are counts and "
            "line integrals, or flat and dark fields, exchanged?"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.where(seen, -np.log(np.where(seen, signal, 1) / np.where(alive, light, 1)), 0.0)
    notes = []
    if dead := int((~alive).sum()):
        notes.append(f"{dead} of {cells} cells see no light and are left out")
    if empty := int((alive & ~seen).sum()):
        notes.append(f"{empty} of {seen.size} readings counted nothing and are left out")
    if np.median(y[seen]) < -0.05:
        notes.append("most cells count more than in the flat field: is it of this scan?")
    notes += stripes(y, seen)
    return Integrals(y, seen, np.where(alive, light / usual, 0.0), photons(flat, light, alive), tuple(notes))


def photons(flat: Array, light: Array, alive: Array) -> float | None:
    """How many photons the usual cell is sent, from the scatter of the frames of the flat field; None if too few."""
    if len(flat) < FRAMES:
        return None
    # a lamp that flickers scatters all cells together, which is no counting
    steady = flat * (np.median(flat) / np.median(flat, 1, keepdims=True))
    variance = float(np.median(steady[:, alive].var(0, ddof=1)))
    return float(np.median(light[alive])) ** 2 / variance if variance > 0 else None


def stripes(y: Array, seen: Array) -> list[str]:
    """A note of cells that are off from their neighbours in nearly all views, which become rings; none if there are
    none. An edge of the object passes through a cell in some views only.
    """
    apart = y[:, 1:-1] - (y[:, :-2] + y[:, 2:]) / 2
    apart = np.where(seen[:, 1:-1] & seen[:, :-2] & seen[:, 2:], apart, 0.0)
    middle = np.median(apart, 0)
    usual = max(1.4826 * float(np.median(np.abs(middle - np.median(middle)))), 1e-12)
    always = (apart * np.sign(middle) > np.abs(middle) / 2).mean(0) > ALWAYS
    off = (np.abs(middle) > STRIPE * usual) & always
    size = np.pad(np.abs(middle), 1)
    found = int((off & (size[1:-1] >= size[:-2]) & (size[1:-1] >= size[2:])).sum())  # neighbours are off by half of it
    said = f"{found} of {y.shape[1]} cells are off in all views: stripes, which become rings"
    return [f"{said}, or the edge of something round about the axis"] if found else []
