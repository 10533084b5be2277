"""Nothing leads out of a folder that a user names: neither symbolic links nor names that its files hold."""

import os
from pathlib import Path

from ..errors import DataError

DEPTH = 3  # of folders below the one that is named: no layout that xhat reads is deeper


def inside(file: Path, folder: Path, says: str = "") -> Path:
    """Returns `file`, which must lie in `folder` once all symbolic links are followed.

    `says` is what named it, for the error. Raises DataError if the file lies elsewhere.
    """
    if not file.resolve().is_relative_to(bounds(folder)):
        what = f"{says} names {file}" if says else f"{file} is a link"
        raise DataError(f"{what}, which leads out of {folder} and is not followed; copy the file into the folder")
    return file


def bounds(folder: Path) -> Path:
    """The folder that bounds `folder`, without links.

    It is `folder` itself, or, for a snapshot in the cache of Hugging Face, models--NAME/snapshots/HASH, the folder of
    the model, because a snapshot consists of links to models--NAME/blobs.
    """
    found = folder.resolve()
    for place in (found, *found.parents):
        if place.parent.name == "snapshots" and place.parent.parent.name.startswith("models--"):
            return place.parent.parent
    return found


def check_links(folder: Path) -> Path:
    """Returns `folder`. Raises DataError, which names the link, if a symbolic link in it leads out of it."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if (entry := Path(place, name)).is_symlink():
                inside(entry, folder)
        if len(Path(place).relative_to(folder).parts) >= DEPTH:
            folders.clear()
    return folder
