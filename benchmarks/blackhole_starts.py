"""The table `blackhole-starts` of docs/black_hole.md: `map` from several starts on the skies of `science-blackhole`.

    python -m benchmarks.blackhole_starts [STARTS]

The measurements are those of `xhat bench science-blackhole`, which has no starts.
"""

import sys

import xhat
from xhat.bench import stats
from xhat.bench.grid import load
from xhat.bench.images import open_images
from xhat.bench.report.text import table_line
from xhat.bench.schema import stream
from xhat.metrics.registry import metric, row_of

from .page import ROOT, fill


def main() -> None:
    starts = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    grid = load("science-blackhole")
    cell = grid.cells()[0]
    images = open_images(cell.data)
    found: dict[str, list[float]] = {}
    for name in images.names():
        x = images.load(name)
        y = xhat.simulate(x, cell.operator, cell.noise, seed=stream(name, 0))
        r = xhat.restore(y, prior=cell.prior, solver="map", starts=starts, seed=stream(name, 0))
        scores = {m: float(metric(m)(r.first[None], x[None])) for m in grid.metrics}
        scores |= {k: float(r.metrics[k]) for k in ("chi2_cp", "chi2_lca")}
        for k, v in scores.items():
            found.setdefault(k, []).append(v)
        print(name, {k: round(v, 3) for k, v in scores.items()}, r.record["measurement_sha256"], flush=True)
    means = {k: stats.interval(v) for k, v in found.items()}
    shown = [f"{m.value:.{row_of(k).digits}f} ± {m.half:.{row_of(k).digits}f}" for k, m in means.items()]
    body = [table_line(["prior `blackhole`", *means]), "|---" * (1 + len(means)) + "|"]
    body.append(table_line([f"map, the best of {starts} starts", *shown]))
    fill(ROOT / "docs" / "black_hole.md", "blackhole-starts", "\n".join(body))


if __name__ == "__main__":
    main()
