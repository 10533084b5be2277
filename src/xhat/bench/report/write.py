"""`xhat report`: one HTML page, and the same content as Markdown, LaTeX and PNG."""

import sys
from pathlib import Path

from ...checks import number
from ...errors import DataError
from ...files import record
from ...files.folder import check_folder
from ...files.writing import atomic
from ..folder import open_run
from .page import page
from .payload import payload
from .text import latex, markdown

MEGABYTES = 20.0  # the most that the pictures in the page may take


def report(run: Path, out: Path | None = None, megabytes: float = MEGABYTES) -> list[Path]:
    """Writes report.html, .md, .tex and, with matplotlib, .png into `out`, by default the folder of the run.

    Returns the paths. Raises DataError if the folder is not a run or has no record yet.
    """
    number("megabytes", megabytes, strict=False)
    if out is not None:
        check_folder(out)
    content, rows = open_run(run)
    if not rows:
        raise DataError(f"{run}: has no record yet")
    if out is None:
        check_folder(run)
    sets = _sets(run)
    folder = run if out is None else out
    files = {
        "report.html": page(payload(run, content, rows, sets, int(megabytes * 1e6))),
        "report.md": markdown(content, rows, sets),
        "report.tex": latex(content, rows),
    }
    written = []
    for name, text in files.items():
        written.append(folder / name)
        atomic(folder / name, lambda file, text=text: file.write_text(text, encoding="utf-8"))  # type: ignore[misc]
    try:
        from .plot import plot

        atomic(folder / "report.png", lambda file: plot(content, rows, file))
        written.append(folder / "report.png")
    except ImportError as e:
        print(f"xhat: note: report.png not written, it needs xhat[bench] ({e.name} is missing)", file=sys.stderr)
    return written


def _sets(run: Path) -> dict[str, dict[str, float]]:
    """The metrics of whole sets, by cell; empty where none were asked for."""
    file = run / "sets.json"
    return record.read(file)
