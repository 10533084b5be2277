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
from xhat.metrics.registry import metric
from xhat.science.vlbi.metrics import aligned
from xhat.science.vlbi.skies import KINDS

from .page import ROOT, fill


def main() -> None:
    kept, starts = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 4
    kept.mkdir(parents=True, exist_ok=True)
    grid = load("science-blackhole")
    cell = grid.cells()[0]
    images = open_images(cell.data)
    solvers = {"map": {"prior": cell.prior, "starts": starts}, "rml": {"prior": "none"}}
    found: dict[str, dict[str, list[float]]] = {s: {} for s in solvers}
    shown = []
    for name in images.names()[: len(KINDS)]:
        x = images.load(name)
        y = xhat.simulate(x, cell.operator, cell.noise, seed=stream(name, 0))
        shown.append([x])
        for solver, options in solvers.items():
            place = kept / f"{solver}_{starts}_{name}.pt"
            if not place.exists():
                r = xhat.restore(y, solver=solver, seed=stream(name, 0), **options)  # type: ignore[arg-type]
                torch.save({"x": r.first, **{k: float(r.metrics[k]) for k in ("chi2_cp", "chi2_lca")}}, place)
            best = torch.load(place)
            share = float((best["x"] + 1).sum() / (x + 1).sum())
            scaled = (best["x"] + 1) / share - 1
            scores = {m: float(metric(m)(best["x"][None], x[None])) for m in grid.metrics}
            scores |= {f"{m}, scaled": float(metric(m)(scaled[None], x[None])) for m in ("psnr_shift", "psnr_blur")}
            scores |= {"flux / true": share, **{k: best[k] for k in ("chi2_cp", "chi2_lca")}}
            for k, v in scores.items():
                found[solver].setdefault(k, []).append(v)
            shown[-1].append(aligned(scaled[None], x[None])[0])
        print(name, flush=True)
    titles = list(found["map"])
    body = [table_line(["six skies", *titles]), "|---" * (1 + len(titles)) + "|"]
    for solver, label in (("map", f"map, the best of {starts} starts"), ("rml", "rml")):
        means = [stats.interval(found[solver][k]) for k in titles]
        body.append(table_line([label, *(f"{m.value:.2f} ± {m.half:.2f}" for m in means)]))
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
