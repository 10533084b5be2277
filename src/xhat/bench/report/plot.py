"""Draws quality against network calls and seconds, one column per task, as PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...files.markup import one_line
from ...files.rows import Row
from ..stats import front, higher, summary
from ..tables import arrow
from .payload import metric_names

MOST = 10  # the most tasks side by side
LONGEST = 48  # letters of a title or label


def plot(content: Mapping[str, Any], rows: Sequence[Row], path: Path) -> None:
    """Draws the first metric; crosses are point estimators, and the line joins the solvers that no other beats in
    both.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    lines, (metric, *_) = summary(rows), [*metric_names(content, rows), "psnr"]
    tasks = list(dict.fromkeys((s["task"], s["prior"], s["data"]) for s in lines if metric in s["numbers"]))[:MOST]
    labels = list(dict.fromkeys(s["label"] for s in lines))
    figure = Figure(figsize=(3.4 * max(1, len(tasks)) + 2.6, 6.4), layout="constrained")
    figure.suptitle(one_line(content["title"])[:LONGEST], parse_math=False)
    axes = figure.subplots(2, max(1, len(tasks)), squeeze=False)
    drawn: dict[str, Any] = {}
    for column, (task, prior, data) in enumerate(tasks):
        here = [
            s for s in lines if (s["task"], s["prior"], s["data"]) == (task, prior, data) and metric in s["numbers"]
        ]
        for line, panel in enumerate(axes[:, column]):
            panel.set(xscale="log", xlabel="seconds per image" if line else "network calls per image")
            panel.set_ylabel(arrow(metric) if column == 0 else "")
            what = "" if line else f"{one_line(task)[:LONGEST]}\n{one_line(f'{prior} on {data}')[:LONGEST]}"
            panel.set_title(what, fontsize=9, parse_math=False)
            panel.grid(alpha=0.25)
            panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
            panel.xaxis.set_minor_locator(NullLocator())
            points = [(_cost(s, bool(line)), s["numbers"][metric].value) for s in here]
            panel.set_xlim(min(x for x, _ in points) / 1.5, max(x for x, _ in points) * 1.5)
            halves = [s["numbers"][metric].half or 0.0 for s in here]
            low = min(y - h for (_, y), h in zip(points, halves, strict=True))
            high = max(y + h for (_, y), h in zip(points, halves, strict=True))
            room = 0.06 * (high - low) or 1.0
            panel.set_ylim(low - room, high + room)
            kept = sorted(points[i] for i in front(points, higher(metric)))
            panel.plot(*zip(*kept, strict=True), color="grey", linewidth=0.8)
            for s, (x, y) in zip(here, points, strict=True):
                k = labels.index(s["label"])
                marker = "x" if s["returns"] == "point" else "os^Dv<>p*h"[k // 10 % 10]
                half = s["numbers"][metric].half
                drawn[s["label"]] = panel.errorbar(
                    x, y, yerr=half, fmt=marker, color=colormaps["tab10"](k % 10), capsize=2
                )
    legend = figure.legend(
        [drawn[k] for k in drawn], [one_line(k)[:LONGEST] for k in drawn], loc="outside right upper", fontsize=8
    )
    for label in legend.get_texts():
        label.set_parse_math(False)
    figure.savefig(path, dpi=110, format="png")


def _cost(line: Mapping[str, Any], seconds: bool) -> float:
    n = line["numbers"]
    cost: float = n["seconds"].value if seconds else n["forwards"].value + n["backwards"].value
    return max(cost, 1e-6)
