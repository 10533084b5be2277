"""Several files: which ones a user names by files, folders and patterns, and where each result goes."""

import glob
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from ..checks import path as checked
from ..errors import DataError, SpecError
from ..notes import note
from .readers.load import split
from .readers.slices import slices_in
from .suffixes import PICTURES, written
from .video import VIDEOS

FIELDS = ("stem", "name", "suffix", "folder")  # what a pattern may name
WILD = "*?["
BART = (".cfl", ".hdr")  # a pair, which BART itself names without either


@dataclass(frozen=True)
class Source:
    """A measurement that a user named, and its place among the others: `place` is the path below a given folder."""

    path: str  # a path, or path#item
    place: PurePath
    volume: str = ""  # the file of which it is a slice, if several were named together: scan.h5#all, scan.h5#3-12


@dataclass(frozen=True)
class Target:
    """A measurement and where its result goes: a picture if `out` has the suffix of one, otherwise a folder."""

    path: str
    out: Path
    volume: str = ""  # as in `Source`


def is_pattern(text: str) -> bool:
    """Whether a path has places for the names of files, such as `{stem}_restored.png`."""
    return "{" in text


def sources(given: Sequence[str], out: Path | None = None) -> list[Source]:
    """The measurements that `given` names, in this order, each once; those in a folder by name.

    A path with * is a pattern unless there is such a file. Of a folder all pictures count, those of its subfolders too,
    but neither hidden ones nor those below the folder `out`; a folder without pictures is one measurement.
    `scan.h5#all` and `scan.h5#3-12` are slices of one volume. Raises DataError for a pattern that fits nothing.
    """
    found: dict[Path, Source] = {}
    for text in given:
        names = [text]
        if any(c in text for c in WILD) and not os.path.lexists(text):
            file, items = named_slices(text) or (text, "")
            names = [f"{name}#{items}" if items else name for name in sorted(glob.glob(file, recursive=True))]
            if not names:
                raise DataError(f"{text}: no file fits this pattern")
        for name in names:
            path = checked(name, "a measurement")
            if not os.path.lexists(name) and all(os.path.isfile(name + end) for end in BART):
                name, path = name + BART[0], Path(name + BART[0])
            below = _pictures(path, out) if path.is_dir() else []
            many = slices_of(name) or [Source(str(p), p.relative_to(path)) for p in below]
            for source in many or [Source(name, PurePath(path.name))]:
                found.setdefault(Path(os.path.realpath(source.path)), source)
    return list(found.values())


def named_slices(text: str) -> tuple[str, str] | None:
    """`scan.h5#all` or `scan.h5#3-12` as the file and what follows #; None for any other text, and for a file with the
    whole name.
    """
    name, mark, items = text.rpartition("#")
    if not mark or os.path.lexists(text) or not re.fullmatch(r"all|\d+-\d+", items):
        return None
    return name, items


def slices_of(text: str) -> list[Source]:
    """The slices that `scan.h5#all`, or `scan.h5#3-12` with both ends, stands for; none for any other text.

    Raises DataError if the file is none of slices, or has not that many.
    """
    named = named_slices(text)
    if named is None:
        return []
    name, items = named
    count = slices_in(checked(name, "a measurement"))
    first, last = (0, count - 1) if items == "all" else (int(n) for n in items.split("-"))
    if not first <= last < count:
        raise DataError(f"{text}: {name} has the slices 0 to {count - 1}")
    return [Source(f"{name}#{i}", PurePath(f"{Path(name).name}#{i}"), name) for i in range(first, last + 1)]


def _pictures(folder: Path, out: Path | None) -> list[Path]:
    """The pictures in a folder and its subfolders."""
    skip = None if out is None else out.resolve()
    found = []
    for top, folders, files in os.walk(folder):
        here = Path(top)
        folders[:] = [n for n in sorted(folders) if not n.startswith(".") and (here / n).resolve() != skip]
        found += [here / n for n in sorted(files) if not n.startswith(".") and Path(n).suffix.lower() in PICTURES]
    return found


def targets(found: Sequence[Source], out: str) -> list[Target]:
    """Where the results go: by the pattern `out`, or below the folder `out`, where a picture becomes a PNG or TIFF.

    Pictures in one folder that differ in their suffix alone keep it in the names of their results, and that is said.
    Raises SpecError for a pattern with unknown places, and DataError if two results would have one name or a result
    would take the place of a measurement.
    """
    made = [Target(s.path, _place(s, out), s.volume) for s in found]
    if not is_pattern(out):
        made = _apart(found, made)
    taken: dict[Path, str] = {}
    read = {split(s.path)[0].resolve(): s.path for s in found}
    for target in made:
        where = target.out.resolve()
        if where in taken:
            raise DataError(
                f"{taken[where]} and {target.path} would both become {target.out}; give a pattern that tells them "
                "apart, such as -o 'out/{name}.png' or -o '{folder}/{stem}_restored.png'"
            )
        if where in read:
            raise DataError(f"{target.out}: would overwrite {read[where]}, which is read; give another name")
        taken[where] = target.path
    return made


def _apart(found: Sequence[Source], made: Sequence[Target]) -> list[Target]:
    """`made` with the suffix of the picture in the name of each result that would not be the only one of its name."""
    count = Counter(target.out for target in made)
    out = []
    for source, target in zip(found, made, strict=True):
        path = split(source.path)[0]
        if count[target.out] > 1 and path.suffix.lower() in PICTURES:
            name = target.out.with_name(f"{target.out.stem}{path.suffix}{target.out.suffix}")
            target = replace(target, out=name)
            note("%s becomes %s, since another picture has its name", target.path, target.out.name)
        out.append(target)
    return out


def _place(source: Source, out: str) -> Path:
    path, item = split(source.path)
    number = "" if item is None else f"_{item}"
    stem, name = f"{path.stem}{number}", f"{path.name}{number}"
    if not is_pattern(out):
        kept = path.suffix if path.suffix.lower() in VIDEOS else ""
        suffix = written(path) if path.suffix.lower() in PICTURES else kept
        return Path(out) / source.place.parent / f"{stem}{suffix}"
    try:
        return Path(out.format(stem=stem, name=name, suffix=path.suffix, folder=str(path.parent)))
    except (KeyError, ValueError, IndexError, AttributeError):
        places = ", ".join(f"{{{f}}}" for f in FIELDS)
        raise SpecError(f"-o {out}: a pattern may name {places}, as in '{{stem}}_restored.png'") from None


def fixed_part(out: str) -> Path:
    """The folder before the first place of a pattern; the path itself if it is none."""
    if not is_pattern(out):
        return Path(out)
    head = out[: out.index("{")]
    return Path(head) if head.endswith(("/", os.sep)) else Path(head).parent
