"""The table `modes` of docs/black_hole.md: how far modes of M87 agree from start to start and from day to day.

    python -m benchmarks.m87_modes FOLDER KEPT [STARTS]

FOLDER holds the files of the EHT's release 2019-D01-01; modes are kept in KEPT, one file a day and band, and not
computed again. Start i has the same random numbers on every day.
"""

import math
import sys
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

import xhat
from xhat.science.vlbi.observation import MICROARCSECOND
from xhat.science.vlbi.operator import BlackHole

from .m87_page import NAMES, measured
from .page import ROOT, fill


def modes(file: Path, kept: Path, starts: int) -> dict[str, object]:
    """Images (starts, h, w) in the order of their seeds, their scores, and the pixel in microarcseconds."""
    place = kept / f"{file.stem}_{starts}.pt"
    if not place.exists():
        r = xhat.restore(file, prior="blackhole", solver="map", starts=starts)
        assert r.modes is not None
        assert isinstance(r.problem.A, BlackHole)
        order = sorted(range(starts), key=lambda i: r.modes.seeds[i])  # type: ignore[union-attr]
        kept.mkdir(parents=True, exist_ok=True)
        pixel = r.problem.A.pixel / MICROARCSECOND
        torch.save({"x": r.modes.images[order, 0], "score": r.modes.score[order], "pixel": pixel}, place)
    found: dict[str, object] = torch.load(place)
    return found


def alike(a: Tensor, b: Tensor) -> float:
    """The correlation of two images at the best circular shift."""
    a, b = ((v - v.mean()) / (v - v.mean()).norm() for v in (a, b))
    return float(torch.fft.ifft2(torch.fft.fft2(a) * torch.fft.fft2(b).conj()).real.max())


def shown(values: list[float]) -> str:
    """Mean and standard deviation of pairs."""
    v = torch.tensor(values)
    return f"{float(v.mean()):.2f} ± {float(v.std()):.2f}"


def main() -> None:
    folder, kept, starts = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 4
    rings = [
        "| data | starts that end at a ring | their diameters, µas | their bright sides, ° east of north |",
        "|---|---|---|---|",
    ]
    pairs = [
        "| band | same day, other start | same start, other day | other start, other day |",
        "|---|---|---|---|",
    ]
    for band in ("lo", "hi"):
        every = {}
        for day, name in NAMES.items():
            (file,) = folder.glob(f"*_{day}_{band}_*.uvfits")
            every[day] = found = modes(file, kept, starts)
            all_found = [measured(x[None], float(found["pixel"])) for x in found["x"]]  # type: ignore[union-attr,arg-type]
            is_ring = [f for f in all_found if f["is"]]
            rings.append(f"| {name} {band} | {len(is_ring)} of {starts} | {wide(is_ring)} |")
            print(rings[-1], flush=True)
        images = {day: found["x"] for day, found in every.items()}
        days = list(combinations(images, 2))
        seeds = list(combinations(range(starts), 2))
        rows = (
            [alike(images[d][i], images[d][j]) for d in images for i, j in seeds],
            [alike(images[a][i], images[b][i]) for a, b in days for i in range(starts)],
            [
                alike(images[a][i], images[b][j])
                for a, b in days
                for i in range(starts)
                for j in range(starts)
                if i != j
            ],
        )
        pairs.append(f"| {band} | {' | '.join(map(shown, rows))} |")
        print(pairs[-1], flush=True)
    fill(ROOT / "docs" / "black_hole.md", "modes", "\n".join([*rings, "", *pairs]))


def wide(rings: list[dict[str, float]]) -> str:
    """Mean and range of the diameters, and of the angles of the bright sides about their circular mean."""
    if not rings:
        return "– | –"
    d = [f["diameter"] for f in rings]
    angles = [math.radians(f["position_angle"]) for f in rings]
    mean = math.atan2(sum(map(math.sin, angles)), sum(map(math.cos, angles)))
    off = [math.degrees(math.remainder(a - mean, math.tau)) for a in angles]
    middle = math.degrees(mean) % 360
    return (
        f"{sum(d) / len(d):.1f} ({min(d):.1f} to {max(d):.1f}) | "
        f"{middle:.0f} ({middle + min(off):.0f} to {middle + max(off):.0f})"
    )


if __name__ == "__main__":
    main()
