"""M87 on each day by the command of docs/black_hole.md under another prior: rows of a table, printed.

    python -m benchmarks.m87_page FOLDER STARTS PRIOR

FOLDER holds files of the EHT's release 2019-D01-01. The page's own table is that of `benchmarks.m87_modes`.
"""

import sys
from pathlib import Path

import xhat
from xhat.science.vlbi.observation import MICROARCSECOND
from xhat.science.vlbi.operator import BlackHole

from .m87_modes import NAMES, measured


def main() -> None:
    folder, starts, prior = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    for band in ("lo", "hi"):
        for key, name in NAMES.items():
            file = next(folder.glob(f"*_{key}_{band}_*.uvfits"), None)
            if file is None:
                continue
            r = xhat.restore(file, prior=prior, solver="map", starts=starts)
            assert r.modes is not None
            assert isinstance(r.problem.A, BlackHole)
            every = [measured(x, r.problem.A.pixel / MICROARCSECOND) for x in r.modes.images]
            best, rings = every[0], sum(bool(f["is"]) for f in every)
            print(
                f"| {name} {band} | {rings} of {starts} | {'ring' if best['is'] else 'no ring'} "
                f"| {best['diameter']:.1f} ± {best['spread']:.1f} | {best['width']:.1f} "
                f"| {best['position_angle']:.0f} | {float(r.metrics['chi2_cp']):.2f} "
                f"/ {float(r.metrics['chi2_lca']):.2f} | {float(r.modes.score[0]):.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
