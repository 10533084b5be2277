"""A result that is one picture: when it may take its name, and the record beside it."""

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import DataError
from ..files import record as records
from ..files.folder import check_apart, check_folder, sha256
from ..files.pictures import PICTURES
from ..files.readers.load import split
from ..files.video import names_video
from ..files.volume import names_volume


def names_picture(path: Path) -> bool:
    """Whether a result with this path is one picture, video or volume: it has the suffix of one and is no folder."""
    return (path.suffix.lower() in PICTURES or names_video(path) or names_volume(path)) and not path.is_dir()


def record_beside(path: Path) -> Path:
    """The record of a picture: `photo.record.json` for `photo.png`."""
    return path.with_suffix(".record.json")


def checkpoint_beside(path: Path) -> Path:
    """The checkpoint of a run that makes a picture: `photo.png.checkpoint.pt`."""
    return path.with_name(f"{path.name}.checkpoint.pt")


def recorded_beside(path: Path) -> bool:
    """Whether the record beside a picture says that the picture, as it is, is of xhat."""
    return path.is_file() and _listed(path) == sha256(path)


def _listed(path: Path) -> str | None:
    """The SHA-256 of a picture by the record beside it."""
    record = records.read(record_beside(path))
    hashes = record.get("files_sha256")
    return str(hashes.get(path.name)) if isinstance(hashes, dict) and "schema" in record else None


def check_picture(
    path: Path, inputs: Iterable[str | Path | None] = (), overwrite: bool = False, mine: str = "", record: bool = False
) -> None:
    """Checks that a result may be written as the picture `path`, with its record beside it if `record`.

    `mine` is the SHA-256 of a picture of xhat that may be replaced. Raises DataError if that would overwrite one of the
    files `inputs`, or a file that is not known to be of xhat.
    """
    check_folder(path.parent)
    check_apart([path], [split(p)[0] for p in inputs if p is not None])
    if overwrite:
        return
    if os.path.lexists(path) and not (path.is_file() and (mine == sha256(path) or recorded_beside(path))):
        raise DataError(
            f"{path}: is there already, and nothing says that xhat wrote it; choose another name, or --overwrite "
            "(in Python overwrite=True)"
        )
    beside = record_beside(path)
    if record and os.path.lexists(beside) and _listed(path) is None:
        raise DataError(f"{beside}: is there already and is no record of {path.name}; choose another name")
