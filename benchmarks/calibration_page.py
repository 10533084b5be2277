"""The tables and the figure of docs/calibration.md, from the records of `xhat exact --sbc`.

    python -m benchmarks.calibration_page

reads `calibration.jsonl` here.
"""

from pathlib import Path

from xhat.exact.sbc import key, plot, tables
from xhat.files.rows import Rows

from .page import ROOT, fill

DRAWN = "mixture:d=8,m=2"  # the problem of the figure


def main() -> None:
    rows = list(Rows(Path(__file__).parent / "calibration.jsonl", key).rows.values())
    fill(ROOT / "docs" / "calibration.md", "sbc", "\n".join(tables(rows)))
    plot([r for r in rows if r["problem"] == DRAWN], ROOT / "docs" / "calibration.png")


if __name__ == "__main__":
    main()
