"""Metrics of the sets of images that a run has kept."""

from collections.abc import Sequence
from typing import Any

import torch

from ..files import record
from ..files.pictures import load_image
from ..metrics.sets import FEWEST, SETS
from .folder import RunFolder


def add_sets(folder: RunFolder, names: Sequence[str]) -> None:
    """Writes `sets.json`: for each cell, the metrics called `names` of its kept pictures, and how many pictures there
    were.

    Cells with fewer than two pictures or with pictures of several sizes are left out.
    """
    if not names:
        return
    measures = {name: SETS[name]() for name in names}
    out: dict[str, dict[str, float | None]] = {}
    cells: dict[str, list[Any]] = {}
    for row in folder.rows():
        if row["status"] == "ok":
            cells.setdefault(row["cell"], []).append((folder.picture(row, "x"), folder.picture(row, "truth")))
    for cell, files in cells.items():
        pairs = [(load_image(a), load_image(b)) for a, b in files if a and b]
        if len(pairs) < FEWEST or len({x.shape for pair in pairs for x in pair}) > 1:
            continue
        x, truth = (torch.stack([p[i] for p in pairs]).expand(-1, 3, -1, -1) / 2 + 0.5 for i in (0, 1))
        out[cell] = {"images": float(len(pairs)), **{name: measure(x, truth) for name, measure in measures.items()}}
    record.write(folder.path / "sets.json", out)
