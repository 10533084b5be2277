"""Closure quantities: combinations of visibilities in which the gains of stations cancel."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from .observation import Observation


@dataclass(frozen=True, eq=False)
class Closures:
    """Which visibilities form each triangle and quadrangle: an independent set for every time.

    A triangle (r, a, b) has the phase of V_ra V_ab V_br, a quadrangle (1, 2, 3, 4) the log amplitude log|V_12| +
    log|V_34| − log|V_14| − log|V_23|.
    """

    triangles: Tensor  # (c, 3) indices of visibilities
    reversed: Tensor  # (c, 3) whether the visibility enters conjugated
    quadrangles: Tensor  # (q, 4)
    sigma: Tensor  # (n,) thermal noise of each visibility
    zero: Tensor  # (n,) whether the visibility is a total flux rather than that of a baseline
    time: Tensor  # (n,) number of its time stamp
    first: Tensor  # (n,) station i of V_ij
    second: Tensor  # (n,) station j

    def to(self, y: Tensor) -> "Closures":
        """The same on the device of data `y`, with the noise in its precision."""
        moved = {f.name: getattr(self, f.name).to(y.device) for f in fields(self)}
        return Closures(**moved | {"sigma": moved["sigma"].to(y.dtype)})

    def phasor(self, vis: Tensor) -> Tensor:
        """exp(i closure phase) of complex visibilities `vis` (b, n): complex (b, c)."""
        unit = vis / vis.abs().clamp_min(torch.finfo(vis.real.dtype).tiny)
        each = unit[:, self.triangles]
        return torch.where(self.reversed, each.conj(), each).prod(-1)

    def log_amplitude(self, vis: Tensor) -> Tensor:
        """Log closure amplitudes, (b, q), of complex visibilities `vis` (b, n)."""
        logs = vis.abs().clamp_min(torch.finfo(vis.real.dtype).tiny).log()[:, self.quadrangles]
        return logs[..., 0] + logs[..., 1] - logs[..., 2] - logs[..., 3]

    def phase_sigma(self, vis: Tensor) -> Tensor:
        """Thermal noise of the closure phases in radians, to first order in σ/|V|: (b, c)."""
        return (self.sigma / vis.abs()).square()[:, self.triangles].sum(-1).sqrt()

    def log_amplitude_sigma(self, vis: Tensor) -> Tensor:
        """Thermal noise of the log closure amplitudes, to first order in σ/|V|: (b, q)."""
        return (self.sigma / vis.abs()).square()[:, self.quadrangles].sum(-1).sqrt()


def closures(observation: Observation) -> Closures:
    """The independent closure quantities, with the first station that is present as the reference.

    Triangles (r, a, b) for all a < b; quadrangles (r, s_i, s_j, s_k) for i ≥ 3 and 1 ≤ j < i, with k = 1 if j = i − 1
    and j + 1 otherwise, as in eht-imaging's minimal set. One with a missing baseline is left out.
    """
    o = observation
    triangles, turned, quadrangles = [], [], []
    zero = o.first == o.second
    stamps, stamp = np.unique(o.time, return_inverse=True)
    order = np.argsort(stamp, kind="stable")
    for rows in np.split(order, np.searchsorted(stamp[order], np.arange(1, len(stamps)))):
        rows = rows[~zero[rows]]
        place = {(int(o.first[i]), int(o.second[i])): int(i) for i in rows}

        def pair(a: int, b: int, place: dict[tuple[int, int], int] = place) -> tuple[int, bool] | None:
            return (place[a, b], False) if (a, b) in place else (place[b, a], True) if (b, a) in place else None

        s = sorted({station for key in place for station in key})
        for i in range(1, len(s)):
            for j in range(i + 1, len(s)):
                sides = [pair(s[0], s[i]), pair(s[i], s[j]), pair(s[j], s[0])]
                if all(sides):
                    triangles.append([side[0] for side in sides if side])
                    turned.append([side[1] for side in sides if side])
        for i in range(3, len(s)):
            for j in range(1, i):
                k = 1 if j == i - 1 else j + 1
                sides = [pair(s[0], s[i]), pair(s[j], s[k]), pair(s[0], s[k]), pair(s[i], s[j])]
                if all(sides):
                    quadrangles.append([side[0] for side in sides if side])
    return Closures(
        triangles=torch.tensor(triangles, dtype=torch.long).reshape(-1, 3),
        reversed=torch.tensor(turned, dtype=torch.bool).reshape(-1, 3),
        quadrangles=torch.tensor(quadrangles, dtype=torch.long).reshape(-1, 4),
        sigma=torch.tensor(o.sigma, dtype=torch.float64),
        zero=torch.tensor(zero),
        time=torch.tensor(stamp, dtype=torch.long),
        first=torch.tensor(o.first, dtype=torch.long),
        second=torch.tensor(o.second, dtype=torch.long),
    )
