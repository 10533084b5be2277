"""The tables and the figure of docs/calibration.md, from the records of `xhat exact --sbc`.

    python -m benchmarks.calibration_page

reads `calibration.jsonl` here.
"""

from pathlib import Path

from xhat.exact.cell import stale as is_stale
from xhat.exact.sbc import key, made, plot, tables
from xhat.files.rows import Row, Rows

from .page import ROOT, fill

DRAWN = "mixture:d=8,m=2"  # the problem of the figure


FILE = Path(__file__).parent / "calibration.jsonl"
PAGE = ROOT / "docs" / "calibration.md"


def main() -> None:
    rows = list(Rows(FILE, key).rows.values())
    fill(PAGE, "sbc", "\n".join(tables(rows)))
    fill(PAGE, "made", how_made(rows))
    plot([r for r in rows if r["problem"] == DRAWN], ROOT / "docs" / "calibration.png")


def how_made(rows: list[Row]) -> str:
    """How many rows there are, and which of them other code made."""
    stale = [f"`{r['label']}` on `{r['problem']}`" for r in rows if is_stale(r, made(r["problem"], r["solver"]))]
    if stale:
        return f"{len(rows)} rows, **{len(stale)} of them stale** when this was written: {', '.join(stale)}."
    return f"{len(rows)} rows, **none of them stale** when this was written."


if __name__ == "__main__":
    main()
