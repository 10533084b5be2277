"""`xhat restore` of several measurements: one start, one prior, one summary; what fails stops nothing."""

import os
import sys
import time
import traceback
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..baselines.base import Baseline
from ..effort import repeated
from ..errors import DataError, MismatchError, SpecError, TooLongError, XhatError
from ..figures.contact import contact, thumbnail
from ..files import exports
from ..files.folder import alone, files_in, sha256
from ..files.pictures import PICTURES, layers
from ..files.readers.load import split
from ..files.rows import Rows
from ..files.targets import Source, Target, fixed_part, is_pattern, named_slices, targets
from ..files.writing import atomic
from ..likelihoods.verdict import DOES_NOT, ROUGH
from ..numerics.device import pick_device
from ..spec import factors, parse
from ..task.account import blank, failure, hashes
from ..task.cost import of_files
from ..task.lists import one_for_all
from ..task.parts import as_solver, prior_for
from ..task.picture import check_picture, checkpoint_beside, names_picture
from ..task.restoration import RECORD, Restoration, check_out
from ..task.restore import restore
from ..task.samplers import POINT
from ..task.usual import named_prior, unnamed
from . import volumes
from .restoring import in_levels, options

SUMMARY, SHEET = "summary.jsonl", "contact.png"
NO_PICTURE = ("formats", "record_every", "modes")  # arguments that need a folder for each result


@dataclass(frozen=True)
class Work:
    """One measurement among several, and what was said of its result earlier."""

    target: Target
    name: str  # on the screen
    output: str  # the key of its row: the path of the result in the folder of the summary
    row: Mapping[str, Any]  # of an earlier run; empty if there is none
    reference: str | None

    @property
    def picture(self) -> bool:
        """Whether the result is a picture and not a folder."""
        return names_picture(self.target.out)

    @property
    def checkpoint(self) -> Path:
        """Where an interrupted run is kept."""
        return checkpoint_beside(self.target.out) if self.picture else self.target.out / "checkpoint.pt"

    @property
    def mine(self) -> str:
        """The SHA-256 of the picture as it was written, or of the record in the folder."""
        return str(self.row.get("output_sha256") or "")

    def done(self) -> bool:
        """Whether the result is there, as it was written, of the measurement and of all that was read with it as they
        are.
        """
        source, made = split(self.target.path)[0], self.row.get("provenance", {})
        same = source.is_dir() or hashes([source]).get(str(source)) == made.get("file_sha256")
        read = {Path(name): was for name, was in made.get("files", {}).items()}
        same = same and all(sha256(file) == was for file, was in read.items() if file.is_file())
        proof = self.proof()
        return self.row.get("status") == "ok" and same and proof.is_file() and sha256(proof) == self.mine

    def proof(self) -> Path:
        """The file whose SHA-256 is kept."""
        return self.target.out if self.picture else self.target.out / RECORD


def run_several(args: Namespace, found: Sequence[Source]) -> int:
    """0 if every measurement was restored, 1 if some were not, 130 when interrupted.

    Raises an XhatError for what would stop all of them, before anything is computed.
    """
    out = str(args.out)
    if not is_pattern(out) and names_picture(args.out):
        raise SpecError(
            f"-o {out}: is one picture, and {len(found)} are to be restored; give a folder, or a pattern such as "
            "'{stem}_restored.png'"
        )
    root = fixed_part(out)
    with alone(root), _summary(root, args.overwrite) as rows:
        ours = {row["output_sha256"] for row in rows.rows.values() if row.get("output_sha256")}
        found = [s for s in found if not _ours(s, root, rows, ours)]
        works = [_work(s, t, root, rows, args) for s, t in zip(found, targets(found, out), strict=True)]
        settings = _settings(args)
        if args.resume:
            _same(rows, works, settings)
        _check(works, rows, root, args)
        return _restored(works, rows, settings, args)


@contextmanager
def _summary(root: Path, overwrite: bool) -> Iterator[Rows[str]]:
    """The summary in the folder `root`; it leaves no file in which nothing stands."""
    path = root / SUMMARY
    had = path.exists() and path.stat().st_size > 0
    rows: Rows[str] = Rows(path, lambda row: str(row["output"]))
    if had and not rows.rows and not overwrite:
        raise DataError(f"{path}: is no summary of xhat; choose another folder, or --overwrite")
    try:
        yield rows
    finally:
        if path.stat().st_size == 0:
            path.unlink()


def _ours(source: Source, root: Path, rows: Rows[str], hashes: set[str]) -> bool:
    """Whether a picture is a result of an earlier run, which the folder of measurements now holds, too."""
    path = split(source.path)[0]
    key = os.path.relpath(path, root)
    return path.is_file() and (key in rows.rows or path.name == SHEET) and sha256(path) in hashes


def _work(source: Source, target: Target, root: Path, rows: Rows[str], args: Namespace) -> Work:
    output = os.path.relpath(target.out, root)
    return Work(target, str(source.place), output, rows.rows.get(output, {}), _reference(args.reference, source))


def _reference(given: str | None, source: Source) -> str | None:
    """The file in the folder of references that has the name of a measurement, or its stem."""
    if given is None:
        return None
    folder, slices = Path(given), named_slices(given)
    if slices and source.volume:
        return f"{slices[0]}#{split(source.path)[1]}"
    if not folder.is_dir():
        way = f"{given}#all for the same slices, or " if source.volume else ""
        raise SpecError(
            f"--reference {given}: is one file for several measurements; give {way}a folder with the same names"
        )
    place = folder / source.place
    same = [p for p in sorted(place.parent.glob("*")) if p.stem == place.stem] if place.parent.is_dir() else []
    if not place.exists() and not same:
        raise DataError(f"--reference {given}: holds no {source.place}")
    return str(place if place.exists() else same[0])


def _settings(args: Namespace) -> dict[str, Any]:
    """What decides the results beside the files, for `--resume`."""
    free = (
        "measurements",
        "out",
        "resume",
        "overwrite",
        "quiet",
        "run",
        "device",
        "batch_size",
        "reference",
        "metrics",
        "yes",
    )
    return {k: v for k, v in sorted(vars(args).items()) if k not in free and v is not None and v is not False}


def _same(rows: Rows[str], works: Sequence[Work], settings: Mapping[str, Any]) -> None:
    """Raises MismatchError if what is there was made with other options."""
    for work in works:
        was = work.row.get("settings", settings)
        if work.row.get("status") == "ok" and was != settings:
            changed = sorted(k for k in was.keys() | settings.keys() if was.get(k) != settings.get(k))
            words = "; ".join(f"{k} was {was.get(k)}, is {settings.get(k)}" for k in changed)
            raise MismatchError(f"{rows.path}: cannot resume, {work.output} was made with other options: {words}")


def _check(works: Sequence[Work], rows: Rows[str], root: Path, args: Namespace) -> None:
    """Refuses before anything is computed what would overwrite a file of the user or lose an interrupted run."""
    named = files_in(args.operator, args.noise, args.prior, args.solver)
    for work in works:
        inputs = (work.target.path, work.reference, args.start, *named)
        if work.picture:
            if given := [name for name in NO_PICTURE if getattr(args, name)]:
                flag = given[0].replace("_", "-")
                raise SpecError(f"--{flag} needs a folder for each result: -o 'out/{{stem}}'")
            check_picture(work.target.out, inputs, args.overwrite, work.mine, args.record)
        else:
            check_out(work.target.out, inputs, args.overwrite)
        if work.checkpoint.exists() and not args.resume and not args.overwrite:
            raise DataError(
                f"{work.checkpoint}: holds an interrupted run; --resume goes on with it, --overwrite gives it up"
            )
    for file in dict.fromkeys(work.target.volume for work in works if work.target.volume):
        exports.check(["nii"])
        taken = [root / name for name in volumes.names(file) if os.path.lexists(root / name)]
        foreign = [p for p in taken if not p.is_file() or sha256(p) != rows.rows.get(p.name, {}).get("output_sha256")]
        if foreign and not args.overwrite:
            raise DataError(f"{foreign[0]}: is there already; choose another folder, or --overwrite")


def _restored(works: Sequence[Work], rows: Rows[str], settings: Mapping[str, Any], args: Namespace) -> int:
    given = options(args)
    solver = as_solver(given["solver"] or POINT)
    if unnamed(given["prior"]) and one_for_all(args.operator, [work.target.path for work in works]):
        origin = None if isinstance(solver, Baseline) else f"{len(works)} measurements"
        given["prior"] = named_prior(given["prior"], args.operator, given["shape"], origin)
    if not unnamed(given["prior"]):
        given["prior"] = prior_for(solver, given["prior"], pick_device(args.device))
    told = Table(max((len(w.name) for w in works), default=0), args.quiet)
    failed: list[tuple[str, str]] = []
    skipped, began = 0, time.monotonic()
    done = [args.resume and work.done() for work in works]
    repeated(done.count(False))
    with of_files(done.count(False)):
        for i, work in enumerate(works, 1):
            if done[i - 1]:
                skipped += 1
                continue
            bar = f"{i}/{len(works)} {work.name}"
            try:
                result = _one(work, given | {"progress": bar if told.live else False}, args)
                row = {**result.record, "output_sha256": sha256(work.proof())}
                told.add(work.name, result)
            except KeyboardInterrupt:
                print(
                    f"xhat: interrupted at {i} of {len(works)}; repeat the command with --resume to continue",
                    file=sys.stderr,
                )
                return 130
            except TooLongError:  # all of them do
                raise
            except Exception as e:  # whatever it is, the other measurements are restored
                if not isinstance(e, XhatError | OSError | MemoryError) and not failed:
                    traceback.print_exc()
                status, text = failure(e)
                text = str(e) if isinstance(e, XhatError) else text
                row = blank() | {"status": status, "error": text, "measurement": work.target.path}
                failed.append((work.name, text))
                told.fail(work.name)
            rows.add({**row, "output": work.output, "settings": settings})
    sheet = _sheet(works, rows, args.overwrite)
    written, none = _volumes(works, rows)
    made = [name for name in (sheet, *written) if name]
    told.end(len(works), skipped, failed, time.monotonic() - began, rows.path.parent, made)
    for text in none:
        print(f"xhat: {text}", file=sys.stderr)
    return 1 if failed or none else 0


def _volumes(works: Sequence[Work], rows: Rows[str]) -> tuple[list[str], list[str]]:
    """Writes a volume of the slices of each file: the names of what is written, and a line for each file of whose
    slices there is none.
    """
    written: list[str] = []
    none: list[str] = []
    for file in dict.fromkeys(work.target.volume for work in works if work.target.volume):
        its = [work for work in works if work.target.volume == file]
        lost = [work for work in its if rows.rows.get(work.output, {}).get("status") != "ok"]
        if lost:
            none.append(f"no volume of {file}, since {lost[0].name} is missing; {file}#A-B names the slices A to B")
            continue
        try:
            parts = [volumes.Part(work.name, work.target.out, rows.rows[work.output]) for work in its]
            made = volumes.join(file, parts, rows.path.parent)
        except XhatError as e:
            none.append(f"no volume of {file}: {e}")
            continue
        rows.add(*({"output": name, "output_sha256": was} for name, was in made.items()))
        written += made
    return written, none


def _one(work: Work, given: Mapping[str, Any], args: Namespace) -> Restoration:
    saved = work.checkpoint
    if args.overwrite and not args.resume:
        saved.unlink(missing_ok=True)
    result = restore(
        work.target.path,
        **given,
        reference=work.reference,
        checkpoint=saved,
        resume=args.resume and saved.exists(),
    )
    if work.picture:
        result.save_picture(work.target.out, args.depth, args.record, args.overwrite, work.mine)
    else:
        formats = args.formats.split(",") if args.formats else []
        formats += ["nii"] if work.target.volume and "nii" not in formats else []
        result.save(work.target.out, args.depth, formats, args.overwrite, args.modes)
    return result


def _sheet(works: Sequence[Work], rows: Rows[str], overwrite: bool) -> str:
    """Writes the contact sheet and returns its name; a file of the user with its name stays, and is told."""
    path = rows.path.with_name(SHEET)
    mine = rows.rows.get(SHEET, {}).get("output_sha256")
    if path.exists() and not overwrite and sha256(path) != mine:
        return f"no contact sheet, since {path} is not of xhat"
    pairs = []
    for work in works:
        after = work.target.out if work.picture else work.target.out / "restored.png"
        if rows.rows.get(work.output, {}).get("status") == "ok" and after.exists():
            pairs.append((work.name, _thumbnail(split(work.target.path)[0]), _thumbnail(after)))
    if not pairs:
        return ""
    atomic(path, contact(pairs).save)
    rows.add({"output": SHEET, "output_sha256": sha256(path)})
    return SHEET


def _thumbnail(path: Path) -> Tensor | None:
    try:
        return thumbnail(layers(path)[0]) if path.suffix.lower() in PICTURES else None
    except DataError:
        return None


@dataclass
class Table:
    """The table on the screen, a line for each measurement as soon as it is done."""

    width: int
    quiet: bool
    doubtful: int = 0  # how many do not fit, or are rougher than what they were made of

    @property
    def live(self) -> bool:
        """Whether a progress bar can be shown."""
        return not self.quiet and sys.stderr.isatty()

    def add(self, name: str, result: Restoration) -> None:
        """A line about a result."""
        if self.quiet:
            return
        record = result.record
        what = " @ ".join(parse(part).name for part in factors(str(record["operator"])))
        noise = in_levels(result.problem).strip(" ()") or parse(str(record["noise"])).name
        fit = result.verdict()
        self.doubtful += fit in (ROUGH, DOES_NOT)
        scores = "".join(f"  {k} {float(v[0]):.4g}" for k, v in result.metrics.items() if not k.startswith("mean_"))
        print(f"{name:<{self.width}}  {what}, {noise}: {fit}{scores}  {result.seconds:.1f} s", flush=True)

    def fail(self, name: str) -> None:
        """A line about a measurement that could not be restored."""
        if not self.quiet:
            print(f"{name:<{self.width}}  failed", flush=True)

    def end(
        self,
        total: int,
        skipped: int,
        failed: Sequence[tuple[str, str]],
        seconds: float,
        root: Path,
        written: Sequence[str],
    ) -> None:
        """The counts, and once more, on stderr, what failed."""
        if not self.quiet:
            made = total - skipped - len(failed)
            kept = f", {skipped} were done already" if skipped else ""
            look = f", {self.doubtful} of them doubtful: look at them" if self.doubtful else ""
            files = f"{root}: {', '.join([SUMMARY, *written])}"
            print(f"{made} of {total} restored in {seconds:.0f} s{kept}{look}; {files}")
        if failed:
            print(f"xhat: {len(failed)} of {total} failed:", file=sys.stderr)
            for name, text in failed:
                print(f"  {name}: {' '.join(text.split())}", file=sys.stderr)
