"""The table `blackhole-starts` and the picture of docs/black_hole.md: `map` from several starts on the first six skies
of `science-blackhole`, one of each kind, and `rml` beside it in the picture.

    python -m benchmarks.blackhole_starts KEPT [STARTS]

The measurements are those of `xhat bench science-blackhole`, which has no starts. Images are kept in KEPT.
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

import xhat
from xhat.bench import stats
from xhat.bench.grid import load
from xhat.bench.images import open_images
from xhat.bench.report.text import table_line
from xhat.bench.schema import stream
from xhat.metrics.registry import metric, row_of
from xhat.science.vlbi.metrics import aligned
from xhat.science.vlbi.skies import KINDS

from .page import ROOT, fill


def main() -> None:
    kept, starts = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 4
    kept.mkdir(parents=True, exist_ok=True)
    grid = load("science-blackhole")
    cell = grid.cells()[0]
    images = open_images(cell.data)
    found: dict[str, list[float]] = {}
    shown = []
    for name in images.names()[: len(KINDS)]:
        x = images.load(name)
        y = xhat.simulate(x, cell.operator, cell.noise, seed=stream(name, 0))
        solvers = {"map": {"prior": cell.prior, "starts": starts}, "rml": {"prior": "none"}}
        made = {}
        for solver, options in solvers.items():
            place = kept / f"{solver}_{starts}_{name}.pt"
            if not place.exists():
                r = xhat.restore(y, solver=solver, seed=stream(name, 0), **options)  # type: ignore[arg-type]
                torch.save({"x": r.first, **{k: float(r.metrics[k]) for k in ("chi2_cp", "chi2_lca")}}, place)
            made[solver] = torch.load(place)
        best = made["map"]
        scores = {m: float(metric(m)(best["x"][None], x[None])) for m in grid.metrics}
        scores |= {k: best[k] for k in ("chi2_cp", "chi2_lca")}
        for k, v in scores.items():
            found.setdefault(k, []).append(v)
        print(name, {k: round(v, 3) for k, v in scores.items()}, flush=True)
        shown.append([x, *(aligned(made[s]["x"][None], x[None])[0] for s in solvers)])
    means = {k: stats.interval(v) for k, v in found.items()}
    digits = {k: 3 if (row := row_of(k)) is None else row.digits for k in means}
    cells = [f"{m.value:.{digits[k]}f} ± {m.half:.{digits[k]}f}" for k, m in means.items()]
    body = [table_line(["prior `blackhole`", *means]), "|---" * (1 + len(means)) + "|"]
    body.append(table_line([f"map, the best of {starts} starts", *cells]))
    fill(ROOT / "docs" / "black_hole.md", "blackhole-starts", "\n".join(body))
    draw(shown, ["the sky", f"map, {starts} starts", "rml"], ROOT / "docs" / "blackhole.png")


def draw(columns: list[list[torch.Tensor]], names: list[str], path: Path) -> None:
    """Skies (1, h, w) in columns, one a kind, and a row for each of `names`."""
    figure = Figure(figsize=(1.8 * len(columns), 1.9 * len(names)), dpi=100, layout="constrained")
    panels = figure.subplots(len(names), len(columns))
    for j, column in enumerate(columns):
        for i, x in enumerate(column):
            axes = panels[i, j]
            axes.imshow((x[0] + 1) / 2, cmap="afmhot", vmin=0, vmax=1)
            axes.set_xticks([])
            axes.set_yticks([])
            if i == 0:
                axes.set_title(KINDS[j], fontsize=10)
            if j == 0:
                axes.set_ylabel(names[i], fontsize=10)
    figure.savefig(path)


if __name__ == "__main__":
    main()
