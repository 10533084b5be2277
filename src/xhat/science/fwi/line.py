"""A seismic line: places on a map as distances along it, and a grid for the ground below."""

import math
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...notes import note

Array = np.ndarray
BESIDE = 0.02  # of the length of a line: how far its places may lie beside it
FASTEST, SLOWEST = 6.0, 1.0  # km/s, of what a guessed ground may hold
POINTS = 256  # along the line, at most
STABLE = 0.9  # of the longest time step that the grid and the fastest velocity allow


def along(sources: Array, receivers: Array, path: Path) -> tuple[Array, Array]:
    """Distances along the line of sources and receivers, (n,) each, in metres, from places (n, 3): x, y and depth.

    The line is the one that fits all places best; it runs as x grows on the map, or y where x does not. The least
    distance is 0. Raises DataError if places lie beside it or all at one point.
    """
    at = np.concatenate([sources, receivers])[:, :2]
    at = at - at.mean(0)
    _, sizes, axes = np.linalg.svd(at, full_matrices=False)
    if sizes[0] <= 1e-9 * max(1.0, float(np.abs(sources).max())):
        raise DataError(f"{path}: all sources and receivers lie at one point of the map; there is no line to image")
    axis = axes[0] * (1 if axes[0][np.argmax(np.abs(axes[0]))] > 0 else -1)
    x, off = at @ axis, np.abs(at @ axes[1]).max()
    length = float(np.ptp(x))
    if off > BESIDE * length:
        raise DataError(
            f"{path}: sources and receivers lie up to {off:.3g} m beside a straight line of {length:.3g} m; only lines "
            "are read, not areas"
        )
    x = x - x.min()
    return x[: len(sources)], x[len(sources) :]


def grid(
    sources: Array, receivers: Array, traces: Array, interval: float, path: Path
) -> tuple[tuple[int, int, int], str]:
    """The shape of an image and the operator's spec for a line: a guess, which is said.

    `sources` (s, 2) and `receivers` (…, 2) are x and depth in metres, changed in place where they are at the surface:
    nothing moves there, and they are put one spacing below. `traces` (n, samples) come every `interval` ms. Points are
    as far apart as receivers, the ground half as deep as it is long, and its wavelet has the frequency that is loudest
    in the traces.
    """
    width = float(max(sources[:, 0].max(), receivers[..., 0].max()))
    deep = float(max(sources[:, 1].max(), receivers[..., 1].max()))
    apart = np.diff(np.unique(np.round(receivers[..., 0], 3)))
    step = float(f"{max(float(np.median(apart)) if len(apart) else 0.0, width / (POINTS - 1)):.4g}")
    nx, nz = math.ceil(width / step - 1e-6) + 1, max(math.ceil(max(width / 2, deep) / step - 1e-6), 2) + 1
    nx = max(nx, 3)
    for name, at in (("sources", sources), ("receivers", receivers)):
        if (at[..., 1] <= 0).any():
            at[..., 1] = np.where(at[..., 1] <= 0, step, at[..., 1])
            note("%s: %s at the surface, where nothing moves, are taken %g m below it", path, name, step)
    longest = STABLE * math.sqrt(0.75 / 2) * step / FASTEST
    every = max(1, math.ceil(interval / longest))
    power = np.abs(np.fft.rfft(traces, axis=1)).mean(0)
    n = traces.shape[1]
    peak = (1 + int(np.argmax(power[1:]))) / (n * interval / 1000)
    spec = (
        f"fwi:dx={step:g},dz={step:g},dt={interval / every:.6g},every={every},time={(n - 1) * interval:g},"
        f"frequency={peak:.3g},slowest={SLOWEST:g},fastest={FASTEST:g}"
    )
    note(
        "%s: %d shots, %d samples every %g ms; the file says neither the ground's size nor the wavelet: %g x %g m in "
        "points %g m apart and Ricker's at %.3g Hz, of an amplitude of 1, are guesses (--shape 1,%d,%d --operator %s)",
        path, len(sources), n, interval, (nx - 1) * step, (nz - 1) * step, step, peak, nx, nz, spec
    )  # fmt: skip
    return (1, nx, nz), spec
