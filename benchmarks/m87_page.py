"""The table and the figure of docs/black_hole.md: M87 on each day, by the command of the page.

    python -m benchmarks.m87_page FOLDER [STARTS [PRIOR]]

FOLDER holds files of the EHT's release 2019-D01-01. The figure is drawn if all eight are there and PRIOR is
`blackhole`, as it is by default.
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

import xhat
from xhat.science.vlbi.metrics import ring
from xhat.science.vlbi.observation import MICROARCSECOND
from xhat.science.vlbi.operator import BlackHole

NAMES = {"095": "5 April", "096": "6 April", "100": "10 April", "101": "11 April"}


def measured(x: torch.Tensor, pixel: float) -> dict[str, float]:
    """What `ring` says of an image (1, h, w), and whether it is one by the page's rule."""
    found = ring((x[0] + 1) / 2, pixel)
    return found | {"is": found["spread"] < 0.15 * found["diameter"] and found["centre_to_ring"] < 0.5}


def main() -> None:
    folder, starts = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 8
    prior = sys.argv[3] if len(sys.argv) > 3 else "blackhole"
    drawn = 0
    figure = Figure(figsize=(11, 6), dpi=90, layout="constrained")
    panels = figure.subplots(2, 4)
    for row, band in enumerate(("lo", "hi")):
        for column, (day, name) in enumerate(NAMES.items()):
            file = next(folder.glob(f"*_{day}_{band}_*.uvfits"), None)
            if file is None:
                continue
            drawn += 1
            r = xhat.restore(file, prior=prior, solver="map", starts=starts)
            assert r.modes is not None
            assert isinstance(r.problem.A, BlackHole)
            pixel = r.problem.A.pixel / MICROARCSECOND
            all_found = [measured(x, pixel) for x in r.modes.images]
            best, rings = all_found[0], sum(f["is"] for f in all_found)
            print(
                f"| {name} {band} | {rings} of {starts} | {'ring' if best['is'] else 'no ring'} "
                f"| {best['diameter']:.1f} ± {best['spread']:.1f} | {best['width']:.1f} "
                f"| {best['position_angle']:.0f} | {float(r.metrics['chi2_cp']):.2f} "
                f"| {float(r.metrics['chi2_lca']):.2f} "
                f"| {float(r.modes.score[0]):.0f} | {r.record['operator'].partition(':')[2]} |",
                flush=True,
            )
            axes = panels[row, column]
            half = pixel * r.first.shape[-1] / 2
            axes.imshow((r.first[0] + 1) / 2, cmap="afmhot", vmin=0, extent=(half, -half, -half, half))
            axes.set_title(f"{name}, {band} band", fontsize=10)
            axes.set_xlabel("relative RA (µas)", fontsize=8)
    if drawn == 2 * len(NAMES) and prior == "blackhole":
        figure.savefig("docs/m87.png")


if __name__ == "__main__":
    main()
