"""`xhat report`: one HTML page, and the same content as Markdown, LaTeX and PNG."""

import os
from pathlib import Path

from ...checks import number
from ...errors import DataError
from ...files import record
from ...files.extras import install
from ...files.folder import check_folder, check_free, sha256
from ...files.writing import atomic
from ...notes import tell
from ..folder import open_run
from .page import page
from .payload import payload
from .text import latex, markdown

FILES, RECORD = ("report.html", "report.md", "report.tex", "report.png"), "report.json"
MEGABYTES = 20.0  # the most that the pictures in the page may take


def report(run: Path, out: Path | None = None, megabytes: float = MEGABYTES, overwrite: bool = False) -> list[Path]:
    """Writes report.html, .md, .tex and, with matplotlib, .png into `out`, by default the folder of the run.

    `report.json` beside them has their SHA-256, by which a later report knows what it may replace. Returns the paths.
    Raises DataError if the folder is not a run or has no record yet, or if it holds files with these names that no
    report has written as they are, unless `overwrite` is true.
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
    _check_ours(folder, overwrite)
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
        tell(f"report.png not written, it needs {e.name}: {install('bench')}")
    record.write(folder / RECORD, {"files_sha256": {file.name: sha256(file) for file in written}})
    return written


def _check_ours(folder: Path, overwrite: bool) -> None:
    """Raises DataError for a file in `folder` that a report would replace and that no report has written as it is."""
    hashes = record.read(folder / RECORD).get("files_sha256")
    known = hashes if isinstance(hashes, dict) else {}
    theirs = [
        name
        for name in FILES
        if os.path.lexists(folder / name)
        and not ((folder / name).is_file() and known.get(name) == sha256(folder / name))
    ]
    if os.path.lexists(folder / RECORD) and not known:
        theirs.append(RECORD)
    check_free(folder, theirs, overwrite)


def _sets(run: Path) -> dict[str, dict[str, float]]:
    """The metrics of whole sets, by cell; empty where none were asked for."""
    file = run / "sets.json"
    return record.read(file)
