"""Figures of docs/tutorials/lmaps_and_map_ga.md: chains of three solvers on a posterior of two dimensions.

python scripts/site/two.py                         # writes docs/tutorials/chains.gif and chains.png
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import xhat
from xhat.exact.mixture import MixturePosterior
from xhat.exact.problems import Two
from xhat.likelihoods import Likelihood
from xhat.numerics.build_dtype import double_by_default
from xhat.priors import Prior
from xhat.solvers import SOLVERS

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
CHAINS, STEPS = 150, 50
ROWS = (
    ("LMAPS: a mode", f"lmaps:steps={STEPS}"),
    ("MAP-GA: a mode", f"map_ga:steps={STEPS},inner_steps=5"),
    ("MMPS: a draw", f"mmps:steps={STEPS},cg_steps=2"),
)
SHOWN = (0, 24, 34, 41, 49)  # steps in the still picture


def problem() -> tuple[Prior, Likelihood, MixturePosterior]:
    """The problem `two` of `xhat exact` for all chains at once: prior, likelihood, posterior."""
    one = Two().problem(0)
    assert isinstance(one.posterior, MixturePosterior)
    with double_by_default():
        like = xhat.likelihood(one.like.A, one.like.noise, one.like.y.expand(CHAINS, 1).clone())
    return one.prior, like, one.posterior


def chains(spec: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """x_t and x̂₀ of all chains after each step, (chains, 2) each."""
    prior, like, _ = problem()
    solver = xhat.build(spec, SOLVERS)
    with double_by_default():
        states = [s.state for s in xhat.trajectory(solver, prior, like, xhat.Rng(range(CHAINS)))]
    return [s.x.numpy() for s in states], [s.x0.numpy() for s in states]


def draw(ax: Axes, posterior: MixturePosterior, points: np.ndarray, title: str) -> None:
    """The posterior as contours with its mean and its highest mode, and `points` of the chains."""
    line = torch.linspace(-1.1, 1.1, 121, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    height = posterior.log_density(grid).exp().reshape(121, 121).T
    ax.contourf(line, line, height, levels=12, cmap="Blues")
    ax.plot(points[:, 0], points[:, 1], ".", color="#d1495b", ms=3, alpha=0.6)
    ax.plot(*posterior.mean, "+", color="black", ms=9, mew=2)
    ax.plot(*posterior.peak(), "x", color="black", ms=8, mew=2)
    ax.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), xticks=[], yticks=[], aspect="equal")
    ax.set_title(title, fontsize=8)


def image(figure: Figure) -> Image.Image:
    """A figure as a picture."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def main() -> None:
    """Writes both files, and prints where the chains end."""
    FOLDER.mkdir(exist_ok=True)
    _, _, posterior = problem()
    runs = {title: chains(spec) for title, spec in ROWS}
    print("weights", posterior.log_w.exp().tolist(), "mean", posterior.mean.tolist(), "MAP", posterior.peak().tolist())
    for title, (_, x0) in runs.items():
        upper = (x0[-1].sum(1) > 0).mean()
        print(title, "share of the chains in the upper cluster", upper, "spread", x0[-1].std(0))
    still = Figure(figsize=(8.4, 5.4), dpi=90, layout="tight")
    for row, (title, (_, x0)) in enumerate(runs.items()):
        for column, k in enumerate(SHOWN):
            head = f"{title}, step {k + 1}" if column == 0 else f"step {k + 1}"
            draw(still.add_subplot(len(runs), len(SHOWN), row * len(SHOWN) + column + 1), posterior, x0[k], head)
    image(still).quantize(32).save(FOLDER / "chains.png", optimize=True)
    frames = []
    shown = range(9, STEPS, 2)  # the steps before move little
    for k in shown:
        figure = Figure(figsize=(6.6, 2.5), dpi=90, layout="tight")
        for column, (title, (_, x0)) in enumerate(runs.items()):
            draw(figure.add_subplot(1, 3, column + 1), posterior, x0[k], title)
        frames.append(image(figure).quantize(24))
    times = [200] * (len(shown) - 1) + [1800]
    frames[0].save(
        FOLDER / "chains.gif", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True
    )


if __name__ == "__main__":
    main()
