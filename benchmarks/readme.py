"""The headline table of the README, from the records in docs/results/lmaps-table1.

xhat bench lmaps-table1 -o docs/results/lmaps-table1 --keep-images
python -m benchmarks.readme
"""

import json

from xhat.bench.stats import Mean
from xhat.bench.tables import Overview, number, overviews

from .page import ROOT, fill

RECORDS = ROOT / "docs" / "results" / "lmaps-table1" / "records.jsonl"
NEAR = 0.3  # dB within which a solver is as good as the best, for italics


def main() -> None:
    rows = [json.loads(line) for line in RECORDS.read_text().splitlines()]
    (view,) = overviews(rows, ["psnr"])
    fill(ROOT / "README.md", "lmaps-table1", table(view))


def table(view: Overview) -> str:
    """PSNR and cost; best of the points and of the samplers in bold, what comes near in italics."""
    columns = ["solver", *view.tasks, "forwards", "backwards", "s/image"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for block, rows in view.blocks.items():
        best = [view.best(block, i) for i in range(len(view.tasks))]
        lines.append(f"| *{block}s* |{' |' * (len(columns) - 1)}")
        for label, cells in rows:
            ran = [c for c in cells if c and number(c, "psnr")]
            scores = [shown(number(c, "psnr"), b, c) for c, b in zip(cells, best, strict=True)]
            costs = [span([c["numbers"][name].value for c in ran]) for name in ("forwards", "backwards", "seconds")]
            lines.append(f"| {label} | {' | '.join(scores + costs)} |")
    return "\n".join(lines)


def shown(m: Mean | None, best: float | None, cell: dict | None) -> str:
    if m is None or best is None:
        return "fails" if cell and cell["failed"] else "–"
    mark = "**" if m.value == best else "*" if m.value >= best - NEAR else ""
    failed = f" ({cell['failed']} failed)" if cell and cell["failed"] else ""
    return f"{mark}{m.value:.2f}{mark}{failed}"


def span(v: list[float]) -> str:
    """Lowest to highest."""
    low, high = f"{min(v):.0f}", f"{max(v):.0f}"
    return low if low == high else f"{low}–{high}"


if __name__ == "__main__":
    main()
