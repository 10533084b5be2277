"""A recorded sinogram as a measurement: its units, its noise, and what in it cannot be right."""

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import DataError, XhatError
from ...files.measurement import Measurement
from ...operators.building import build_operator
from .counts import Integrals, integrals
from .fbp import fbp
from .gaps import filled
from .operator import Attenuation

say = logging.getLogger("xhat").warning
BRIGHT = 0.995  # the quantile of the filtered back-projection that is called white
ROOM = 1.2  # white is so much more than that
Array = np.ndarray


def from_counts(
    counts: Array,
    flat: Array,
    dark: Array | None,
    options: Mapping[str, Any],
    theta: Array | None,
    path: Path,
    sent: float | None = None,
) -> Measurement:
    """A measurement of counts (angles, detectors) with their fields; `options` are those of the operator `ct`, and
    `sent` is the number of photons that a cell is sent in a view, if it is known.

    What was left out or looks wrong is said in one line each.
    """
    found = integrals(np.asarray(counts, float), np.asarray(flat, float), dark, path)
    for note in found.notes:
        say("xhat: %s: %s", path, note)
    photons = found.photons if sent is None else sent
    if photons is None:
        photons = float(np.median(flat.mean(0) - (0 if dark is None else dark.mean(0))))
        say(
            "xhat: %s: too few frames of the flat field tell how many photons make a count; one is assumed "
            "(%.3g photons a cell): --noise transmission:counts=N if you know better", path, photons
        )  # fmt: skip
    return measured(found, options, theta, f"transmission:counts={photons:.3g}", path)


def measured(
    found: Integrals, options: Mapping[str, Any], theta: Array | None, noise: str | None, path: Path
) -> Measurement:
    """A measurement of line integrals; where `options` do not say it, the size of the image is the detector's, and
    white what a filtered back-projection is at its brightest, which is said and recorded as a guess.
    """
    n = found.y.shape[1]
    given = dict(options)
    shape = tuple(given.pop("shape", (n, n)))
    if len(shape) != 2 or not all(isinstance(v, int) and v > 0 for v in shape):
        raise DataError(f"{path}: shape is (height, width) of the image in pixels, not {shape}")
    physics: dict[str, Any] = {"detectors": n}
    if theta is not None:
        physics["angles"] = torch.from_numpy(np.asarray(theta, float))
    if not found.seen.all():
        physics["seen"] = torch.from_numpy(found.seen)
    if not np.allclose(found.flux, 1):
        physics["flux"] = torch.from_numpy(found.flux)
    y = torch.from_numpy(found.y.astype(np.float32))[None]
    guessed = {}
    if "white" not in given:
        given["white"] = float(f"{brightest(y, shape, given, physics, path):.2g}")
        guessed["operator"] = text_of(given)
    return Measurement(
        y=y,
        image_shape=(1, *shape),
        operator=text_of(given),
        noise=noise,
        origin=str(path),
        physics=physics,
        guessed=guessed,
    )


def brightest(
    y: torch.Tensor, shape: tuple[int, ...], given: Mapping[str, Any], physics: Mapping[str, Any], path: Path
) -> float:
    """A white for the attenuation: a little more than nearly all of its filtered back-projection."""
    try:
        A = build_operator(text_of({**given, "white": 1.0}), (1, *shape), known=physics)
    except XhatError as e:
        raise DataError(f"{path}: {e}") from e
    assert isinstance(A, Attenuation)
    seen = physics.get("seen", torch.ones(y.shape[1:], dtype=torch.bool))
    x = (fbp(A.linear, filled(y[None], seen)) / 2)[0, 0]  # a white of 1 per mm is two of x
    top = float(np.quantile(x.numpy(), BRIGHT))
    if not (math.isfinite(top) and top > 0):
        raise DataError(f"{path}: its line integrals attenuate nothing: are they counts, or flat and dark exchanged?")
    return ROOM * top


def text_of(options: Mapping[str, Any]) -> str:
    """Options as the spec of the operator `ct`."""
    said = [f"{k}={list(v) if isinstance(v, tuple | list) else v}".replace(" ", "") for k, v in options.items()]
    return "ct" + (":" + ",".join(said) if said else "")


def plain(y: Array, path: Path) -> Integrals:
    """Line integrals (angles, detectors) as they are in a file; what is NaN or infinite is left out, and said."""
    y = np.asarray(y)
    if y.ndim != 2 or y.dtype.kind not in "fiu":
        raise DataError(f"{path}: a sinogram is real numbers (angles, detectors), not {y.dtype} of shape {y.shape}")
    seen = np.isfinite(y)
    if lost := int((~seen).sum()):
        say("xhat: %s: %d of %d readings are NaN or infinite and are left out", path, lost, y.size)
    if seen.mean() < 0.5:
        raise DataError(f"{path}: most of its readings are NaN or infinite")
    return replace(Integrals(np.where(seen, y, 0.0).astype(float), seen, np.ones(y.shape[1]), None), notes=())
