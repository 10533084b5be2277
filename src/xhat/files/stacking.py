"""Slices that lie beside each other in space, as one volume."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..errors import DataError

UNEVEN = 0.02  # by how much of it a distance between slices may differ from the usual one
TURNED = 1e-3  # by how much directions and sizes of pixels may differ


@dataclass(frozen=True, eq=False)
class Stack:
    """The `order` of slices in their volume, and its `affine`, as `Grid` has it; `placed` says whether the slices told
    where they lie, and were not just put one behind the other.
    """

    order: tuple[int, ...]
    affine: np.ndarray
    placed: bool


def stacked(affines: Sequence[np.ndarray], names: Sequence[str], origin: object) -> Stack:
    """Slices by their own affines (4, 4), whose third column is the thickness of each.

    They are put in order along it, and lie as far apart as their places say. If all say the same place, as in files
    that know none, they keep their order, a thickness apart. `names` and `origin` are named in errors. Raises DataError
    for slices in several directions, or at uneven distances.
    """
    first = affines[0]
    size = float(np.abs(first[:3, :2]).max())
    for name, other in zip(names, affines, strict=True):
        if not np.allclose(other[:3, :2], first[:3, :2], rtol=0, atol=TURNED * size):
            raise DataError(
                f"{name}: lies in another direction than the first slice; a localiser is no part of a volume"
            )
    normal = np.cross(first[:3, 0], first[:3, 1])
    normal *= (1 if normal @ first[:3, 2] >= 0 else -1) / np.linalg.norm(normal)
    where = np.array([affine[:3, 3] for affine in affines])
    order = np.argsort(where @ normal, kind="stable")
    steps = np.array([float((where[b] - where[a]) @ normal) for a, b in pairwise(order)])
    affine = first.copy()
    if not len(steps) or not float(np.abs(where - where[0]).max()) > TURNED * size:
        return Stack(tuple(range(len(affines))), affine, False)
    usual = float(np.median(steps))
    if usual <= TURNED * size or (np.abs(steps - usual) > UNEVEN * usual).any():
        i = int(np.argmin(steps)) if usual <= TURNED * size else int(np.argmax(np.abs(steps - usual)))
        raise DataError(
            f"{origin}: slices {names[order[i]]} and {names[order[i + 1]]} are {steps[i]:.3g} mm apart, others "
            f"{usual:.3g} mm: one is missing, or several volumes are mixed"
        )
    affine[:3, 3] = where[order[0]]
    affine[:3, 2] = (where[order[-1]] - where[order[0]]) / len(steps)
    return Stack(tuple(int(i) for i in order), affine, True)
