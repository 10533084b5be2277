"""What `restore` returns, and how it becomes a folder of pictures."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..checks import instance, number, shown
from ..checks import path as checked_path
from ..errors import DataError, SpecError, WriteError
from ..figures import panel
from ..figures.compare import compare
from ..figures.fields import Quantity
from ..files import exports
from ..files import record as records
from ..files.arrays import Range, black_white
from ..files.exports import EXPORTS
from ..files.folder import alone, sha256
from ..files.kept import Kept
from ..files.measurement import Native
from ..files.pictures import LEVELS, is_picture, save_array, save_image, to_pixels
from ..files.readers.load import split
from ..files.show import html, line
from ..files.video import RATE, names_video
from ..files.volume import Grid, names_volume, save_volume
from ..files.writing import TEMPORARY, settle, together, told
from ..likelihoods import Likelihood
from ..likelihoods.verdict import FITS, OVERFITS, ROUGH, verdict
from ..noise.estimate import estimate_sigma
from ..numerics.calls import Calls
from ..operators.modality import Put, Raster
from ..spec import parameters, short
from .checkpoint import Checkpoint
from .coverage import STD, Calibration
from .film import puts, videos
from .picture import check_picture, names_picture, record_beside, recorded_beside
from .ranking import Modes

RECORD = "record.json"
STEEPER = 3.0  # times the total variation of the measurement: blurs of 2 pixels take half of a photograph's
ROUGHER = 8 / LEVELS  # beyond twice the measurement's noise; fine texture alone is taken for up to 3 grey levels
WRITTEN = 0.9  # the level of the interval that is written where it was measured
ENDS = ("low_90", "high_90")
STEMS = (*ENDS, "restored", "mean", "std", "panel", "trajectory", "figure", "record", "side_by_side", "compare")


@dataclass(frozen=True, repr=False)
class Restoration:
    """N samples (or N runs of a point estimator) for one measurement, with what is known of them.

    Example:

        r = xhat.restore("photo.jpg")
        r                          # in a notebook: the pictures, and how well they fit
        r.image.save("better.png") # a PIL image
        x = r.to_numpy()           # (h, w, 3), float32 in [0, 1]
        r.save("out/")             # pictures, a panel and the record

    Fields:
        images: the samples as a tensor, (n, *image), float32, in [−1, 1] by convention but never clipped.
        residual: the root mean square of y − A(x̂) for each, (n,), in the units of y.
        expected: what the noise model expects of it, (n,).
        calls, seconds: how often the network and the operator were called, and how long it took.
        metrics: scores by name, (n,); those of the mean are called `mean_…` and have shape (1,).
        record: all that decided the numbers, as `record.json` has it.
        problem: operator, noise and measurement, on the CPU.
        reference: the true image, (*image), if one was given.
        frames: (step, x̂₀) pairs of the first sample, if some were kept.
        kernels: the kernels that were found of an unknown blur, (n, size, size), each > 0 with sum 1; else None.
        modes: what all starts came to and their scores, the best first, if there were several (`ranking.Modes`); then
            `images` holds the best alone.
    """

    images: Tensor
    residual: Tensor
    expected: Tensor
    calls: Calls
    seconds: float
    metrics: Mapping[str, Tensor]
    record: Mapping[str, Any]
    problem: Likelihood
    reference: Tensor | None = None
    frames: tuple[tuple[int, Tensor], ...] = ()  # (step, x̂₀)
    checkpoint: Checkpoint | None = None  # keeps the run until it is saved
    kept: Kept | None = None  # what the file of a picture says beside its colours
    calibration: Calibration | None = None  # how wide intervals must be, if it was measured
    rate: float | None = None  # frames a second, if the measurement is a video from a file
    grid: Grid | None = None  # where the voxels lie, and the numbers of the file, if it is a volume from one
    native: Native | None = None  # how images are written in the format that the measurement came in
    affine: np.ndarray | None = None  # where the pixels of a plane lie, as in NIfTI, if its file tells
    modes: Modes | None = None  # what all starts came to, the best first, if there were several
    kernels: Tensor | None = None  # those that were found of an unknown blur

    def verdict(self, i: int = 0) -> str:
        """What the residual of image `i` says, in words (`likelihoods.verdict`), or that the image is far rougher.

        A deconvolution with too little noise, or with another kernel, fits its data by amplifying what it was not told
        of. Its image then shows several times the noise of its measurement, which no blurred photograph hides.
        """
        y = self.problem.y[0]
        if is_picture(tuple(y.shape)) and y.shape == self.images[i].shape and self.problem.A.support is None:
            if variation(self.images[i]) > STEEPER * (variation(y) + 1 / LEVELS):
                return ROUGH
            with suppress(DataError):  # too small to tell
                if estimate_sigma(self.images[i]) > 2 * estimate_sigma(y) + ROUGHER:
                    return ROUGH
        word = verdict(float(self.residual[i]), float(self.expected[i]))
        guessed = "noise" in self.record.get("provenance", {}).get("guessed", {})
        # a level that was estimated bounds the noise from above, so that a smaller residual is no fault of the image
        return FITS if guessed and word == OVERFITS else word

    @property
    def first(self) -> Tensor:
        """The first image as a tensor, (*image)."""
        return self.images[0]

    @property
    def image(self) -> Image.Image:
        """The first image as a PIL image of 8 bits, to show and to save.

        Raises DataError if such images are no pictures; `images` has their numbers.
        """
        kind = self.problem.A.modality
        shown = kind.show(self.first)
        if shown is None:
            raise DataError(f"a {kind.name} is no picture; its numbers are in images and to_numpy()")
        return Image.fromarray(to_pixels(shown))

    def to_numpy(self, value_range: Range | Any = (0.0, 1.0), dtype: str | type[np.generic] = "float32") -> np.ndarray:
        """The first image as an array: a picture as (h, w, 3), or (h, w) if it is grey, with its channels last.

        As float32, black and white of a picture become `value_range`, and nothing is clipped. With the `dtype` uint8
        or uint16 they are pixels, rounded and clipped to 0 and 255 or 65535, whatever the range. What is no picture
        stays as it is, (*image), in its own units. Raises SpecError for another `dtype` or for what is no
        range, and DataError for pixels of what is no picture.
        """
        kind = np.dtype(dtype).name if dtype in ("float32", "uint8", "uint16") or isinstance(dtype, type) else ""
        if kind not in ("float32", "uint8", "uint16"):
            raise SpecError(f"dtype must be float32, uint8 or uint16, not {shown(dtype)}")
        if kind != "float32":
            if not isinstance(self.problem.A.modality, Raster):
                raise DataError(f"a {self.problem.A.modality.name} has no pixels; its numbers are float32")
            return to_pixels(self.first, 8 * np.dtype(kind).itemsize)
        x = self.first.detach().cpu().float()
        if not isinstance(self.problem.A.modality, Raster):
            return x.numpy()
        black, white = black_white(value_range)
        array: np.ndarray = ((x + 1) * ((white - black) / 2) + black).permute(1, 2, 0).squeeze(-1).numpy()
        return array

    def plot(self) -> Image.Image:
        """The panel that `save` writes, as a PIL image: measurement, results, and their errors if the truth is known.

        A notebook shows it; `r.plot().show()` opens a window.
        """
        return panel.of(self, self.problem, f"{short(self.record['operator'])}, {self.record['noise']}")

    def __repr__(self) -> str:
        return f"<Restoration: {self._line()}>"

    def _line(self) -> str:
        n, best, r = len(self.images), self.best, self.record
        found, expected = float(self.residual[best]), float(self.expected[best])
        fit = f"residual {found / expected:.2f} of the expected" if expected > 0 else f"residual {found:.2g}"
        return line(
            tuple(self.images.shape[1:]),
            "" if n == 1 else f"{n} samples",
            "" if self.modes is None else f"the best of {len(self.modes.seeds)} starts",
            f"{short(r['operator'])}, {r['noise']}",
            f"{str(r['solver']).split(':')[0]} with {r['prior']}",
            f"{fit}: {self.verdict(best)}",
            *(f"{k} {float(v[best]):.4g}" for k, v in self.metrics.items() if not k.startswith("mean_")),
            f"{self.seconds:.1f} s",
        )

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        kind, several = self.problem.A.modality, len(self.images) > 1
        tiles = [
            panel.measurement_tile(self.problem),
            ("restored, first sample" if several else "restored", kind.show(self.first)),
            ("mean of the samples", kind.show(self.mean) if several else None),
            ("truth", None if self.reference is None else kind.show(self.reference)),
        ]
        return html([(title.partition("\n")[0], x) for title, x in tiles if x is not None], self._line())

    @property
    def y(self) -> Tensor:
        """The measurement, (*data)."""
        return self.problem.y[0]

    @property
    def best(self) -> int:
        """The number of the image with the smallest residual; the truth plays no part in it."""
        return int(self.residual.argmin())

    @property
    def mean(self) -> Tensor:
        """The mean of the images, (*image): the posterior's, as samples estimate it."""
        return self.images.mean(0)

    @property
    def posterior_std(self) -> Tensor | None:
        """The posterior's standard deviation of each pixel as the samples estimate it, (*image).

        None for a single image, and for runs of a solver that returns a point: their `std` is no posterior's. With a
        `calibration` it is half the width of the interval that held 68.3 % of the truth, of either.
        """
        if self.calibration:
            return self.calibration.width(self.std, STD)
        return self.std if len(self.images) > 1 and self.record["returns"] == "sample" else None

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """The lowest and the highest value of each number at a `level` between 0 and 1, two tensors (*image).

        The mean of the samples plus and minus a multiple of their standard deviation: as measured, with a
        `calibration`, otherwise that of a Gaussian. Raises DataError where the images do not tell it, and SpecError for
        a level that was not measured.
        """
        if self.calibration:
            half = self.calibration.width(self.std, level)
        elif (std := self.posterior_std) is None:
            raise DataError("one image, or several of a solver that returns a point, have no interval: see calibrate")
        else:
            if not number("level", level) < 1:
                raise SpecError(f"level must be between 0 and 1, not {level}")
            half = std * 2**0.5 * float(torch.erfinv(torch.tensor(level, dtype=torch.float64)))
        return self.mean - half, self.mean + half

    @property
    def std(self) -> Tensor:
        """The standard deviation of each pixel over the images, (*image); 0 for a single image."""
        return self.images.std(0) if len(self.images) > 1 else torch.zeros_like(self.first)

    def save(
        self,
        folder: str | Path,
        depth: int | None = None,
        formats: Sequence[str] = (),
        overwrite: bool = False,
        modes: int = 0,
    ) -> Path:
        """Writes restored, sample and mean images, a panel and `record.json` to `folder`, and returns its path.

        Samples have a picture of their standard deviation, too; runs of a solver that returns a point have none.

        A path with the suffix of a picture, which is no folder, becomes that picture alone: see `save_picture`.

        The operator's modality determines which files an image becomes: pictures, arrays, what its field expects.
        `depth` is the number of bits of pictures, by default that of the picture restored, and `formats` are further
        files of each image (`exports.EXPORTS`). Of several starts the `modes` best that differ are written, too, as
        mode_000 and so on in the order of their posterior.
        All files are written before the first gets its name; those of an earlier record in `folder` are replaced or
        removed. Files of the user are never touched unless `overwrite` is true. The run's checkpoint, if it has one, is
        removed at the very end. Raises WriteError if the folder cannot be written, DataError if it holds files of the
        user with the same names or a library is missing, and SpecError for an unknown format.
        """
        folder = checked_path(folder, "the folder of a result")
        if depth not in (None, 8, 16):
            raise SpecError(f"depth must be 8 or 16, not {shown(depth)}")
        instance("formats", formats, list | tuple, "a list of formats")
        if modes and self.modes is None:
            raise SpecError("only several starts have modes to write: restore(..., starts=8)")
        if names_picture(folder):
            return self.save_picture(folder, depth, overwrite=overwrite)
        exports.check(formats)
        with alone(folder):
            settled(folder, overwrite)
            stage = _staged(folder)
            try:
                files = self._files(depth, formats, modes)
                self._fill(stage, files)
                publish(stage, folder, overwrite)
            except WriteError as e:
                raise WriteError(folder, e.reason) from e
            finally:
                shutil.rmtree(stage, ignore_errors=True)
            if self.checkpoint:
                self.checkpoint.remove()
        return folder

    def save_picture(
        self, path: str | Path, depth: int | None = None, record: bool = False, overwrite: bool = False, mine: str = ""
    ) -> Path:
        """Writes the restored picture, of several samples their mean, as `path`, in the format of its suffix.

        With `record`, the record goes beside it: `photo.record.json` for `photo.png`. A file at `path` is replaced only
        if such a record says that it is of xhat, if `mine` is its SHA-256, or if `overwrite` is true. The run's
        checkpoint is removed at the end. Returns the path. Raises DataError if a file would be overwritten or there is
        no picture of such images, and WriteError if it cannot be written.
        """
        path, kind = Path(path), self.problem.A.modality
        check_picture(path, overwrite=overwrite, mine=mine, record=record)
        best = self.first if len(self.images) == 1 else self.mean
        if names_video(path) or names_volume(path):
            return self._save_film(path, best, record, overwrite)
        shown = best if isinstance(kind, Raster) else kind.show(best)
        if shown is None:
            raise DataError(f"{path}: a {kind.name} is no picture; give a folder")
        account = {**self.record, "files": [path.name]}

        def put(file: Path) -> None:
            (self.kept or Kept()).save(file, shown, depth)
            account["files_sha256"] = {path.name: sha256(file)}

        files: dict[Path, Put] = {path: put}
        if record or recorded_beside(path):  # an old record would be wrong now
            files[record_beside(path)] = lambda file: records.write(file, account)
        together(files)
        if self.checkpoint:
            self.checkpoint.remove()
        return path

    def _save_film(self, path: Path, x: Tensor, record: bool, overwrite: bool) -> Path:
        """Writes the video or volume `x` as one file or as numbered pictures, as `save_picture` does."""
        volume = names_volume(path)
        if x.ndim == 3 and len(x) in (1, 3) and not volume:
            x = x[:, None]  # the picture of a GIF of one frame
        if x.ndim != 4 or x.shape[0] not in ((1,) if volume else (1, 3)):
            wanted = "grey volume" if volume else "video"
            raise DataError(f"{path}: a {self.problem.A.modality.name} is no {wanted}; give a folder or a picture")
        hashes: dict[str, str] = {}
        account = {**self.record, "files_sha256": hashes}

        def noted(file: Path, put: Put, name: str) -> None:
            put(file)
            hashes[name] = sha256(file)

        files: dict[Path, Put] = {}
        whole = {path: partial(save_volume, x=x, grid=self.grid)} if volume else puts(path, x, self.rate or RATE)
        for name, put in whole.items():
            check_picture(name, overwrite=overwrite)
            files[name] = partial(noted, put=put, name=name.name)
        account["files"] = sorted(name.name for name in files)
        if record or recorded_beside(path):
            files[record_beside(path)] = lambda file: records.write(file, account)
        together(files)
        if self.checkpoint:
            self.checkpoint.remove()
        return path

    def _fill(self, stage: Path, files: Mapping[str, Put]) -> None:
        """Writes everything into the folder `stage`, the record last: with a record, a stage is complete."""
        for name, put in files.items():
            with told(stage / name):
                put(stage / name)
                settle(stage / name)
        std = self.posterior_std
        std_white = None if std is None else self.problem.A.modality.most(std)
        account = {**self.record, "std_white": std_white, "files": sorted([*files, RECORD])}
        records.write(stage / RECORD, account | {"files_sha256": {name: sha256(stage / name) for name in files}})

    @property
    def _scale(self) -> np.float32:
        """By what images are multiplied to be in the units of the measurement's file."""
        return np.float32(self.record.get("measurement_scale") or 1.0)

    def _files(self, depth: int | None, formats: Sequence[str], modes: int = 0) -> dict[str, Put]:
        kind, kept = self.problem.A.modality, self.kept or Kept()
        depth = depth or kept.depth
        images = {"restored": self.first}
        if len(self.images) > 1:
            images |= {f"sample_{i:03d}": x for i, x in enumerate(self.images)} | {"mean": self.mean}
        if self.modes:
            images |= {f"mode_{i:03d}": self.modes.images[m] for i, m in enumerate(self.modes.distinct[:modes])}
        if self.calibration:
            images |= dict(zip(ENDS, self.interval(WRITTEN), strict=True))
        files = kind.write(images, depth)
        if isinstance(kind, Raster):
            files |= {f"{stem}.png": partial(kept.save, x=x, depth=depth) for stem, x in images.items()}
        if (std := self.posterior_std) is not None:
            files |= kind.write_std(std, depth)
        for form in formats:
            for stem, x in images.items():
                numbers = kind.units(x) if isinstance(kind, Quantity) else x
                files |= {
                    f"{stem}{tail}.{form}": partial(_export, form, voxels * self._scale, self.affine)
                    for tail, voxels in kind.parts(numbers).items()
                }
        if self.native:
            for stem, x in images.items():
                files |= self.native.files(stem, x)
        if self.grid:
            for stem, x in images.items():
                files.pop(f"{stem}.nii", None)
                files[f"{stem}.nii.gz"] = partial(save_volume, x=x, grid=self.grid)
        if self.rate:
            files |= dict(videos(self.first, self.y, self.rate))
        files |= kind.files(self)
        if self.kernels is not None:
            files["kernels.npy"] = partial(save_array, x=self.kernels)
            files["kernel.png"] = partial(save_image, x=_drawn(self.kernels[0]))
        files["panel.png"] = self.plot().save
        before, after = (
            panel.measurement_tile(self.problem)[1],
            kind.show(self.first if len(self.images) == 1 else self.mean),
        )
        if before is not None and after is not None:
            caption = f"{short(self.record['operator'])}, {self.record['noise']}, {self.record['solver']}"
            page = compare(before, after, f"before and after: {self.record['measurement']}", caption)
            files["compare.html"] = lambda path: path.write_text(page, encoding="utf-8")
        if self.frames:
            files["trajectory.png"] = panel.strip(self.frames, kind).save
        return files


def variation(x: Tensor) -> float:
    """The mean of |slope| along rows and columns of a picture (c, h, w)."""
    return sum(float(x.diff(dim=axis).abs().mean()) if x.shape[axis] > 1 else 0.0 for axis in (-2, -1))


def _drawn(kernel: Tensor) -> Tensor:
    """A kernel (size, size) as a picture in [−1, 1], its largest entry white, enlarged so that it can be seen."""
    each = max(1, 160 // len(kernel))
    shown: Tensor = 2 * kernel / kernel.max() - 1
    return shown.float().repeat_interleave(each, 0).repeat_interleave(each, 1)[None]


def _export(form: str, voxels: np.ndarray, affine: np.ndarray | None, path: Path) -> None:
    write = EXPORTS[form][1]
    place = {"affine": affine} if "affine" in parameters(write) else {}  # not every format tells where voxels lie
    write(path, voxels, **place)


def _staged(folder: Path) -> Path:
    """A new hidden folder inside `folder`, on the same disk whatever `folder` is: a mount point, a link."""
    with told(folder):
        stage = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=folder))
        stage.chmod(0o755)
    return stage


def check_out(folder: Path, inputs: Iterable[str | Path | None] = (), overwrite: bool = False) -> None:
    """Checks before anything is computed that a restoration may be saved in `folder`.

    Raises DataError if that would overwrite one of the files `inputs`, or a file that xhat has not written there.
    """
    for given in inputs:
        path = None if given is None else Path(split(given)[0])
        if path and path.is_file() and path.resolve().parent == folder.resolve() and planned(path.name):
            raise DataError(f"{folder}: the result would overwrite its own input {path}; choose another folder")
    if folder.is_dir():
        settled(folder, overwrite)
        _refuse(folder, [p.name for p in folder.iterdir() if planned(p.name)], {}, overwrite)


def planned(name: str) -> bool:
    """Whether a restoration may write a file called `name`."""
    stem = name.partition(".")[0]
    return stem in STEMS or (stem.startswith(("sample_", "mode_")) and stem.partition("_")[2].isdigit())


def own(folder: Path) -> dict[str, str]:
    """The names and SHA-256 of the files that the record in `folder` lists as the restoration's own.

    Empty if there is no such record: a record of something else makes no file ours.
    """
    listed = records.read(folder / RECORD)
    hashes = listed.get("files_sha256")
    if not isinstance(hashes, dict) or "schema" not in listed:
        return {}
    return {k: str(v) for k, v in hashes.items() if Path(k).name == k and k not in ("", ".", "..")}


def _refuse(folder: Path, names: Iterable[str], new: Mapping[str, str], overwrite: bool) -> None:
    """Raises DataError if one of the files called `names` in `folder` is neither of an earlier result nor in `new`."""
    if overwrite:
        return
    old = own(folder)
    foreign = []
    for name in names:
        if os.path.lexists(folder / name):
            if name == RECORD:
                mine = bool(old)
            else:
                mine = (folder / name).is_file() and sha256(folder / name) in (old.get(name), new.get(name))
            foreign += [] if mine else [name]
    if foreign:
        some = ", ".join(sorted(foreign)[:4])
        raise DataError(
            f"{folder}: holds {some}, which xhat has not written or which was changed since; choose another folder, "
            "or --overwrite (in Python overwrite=True)"
        )


def settled(folder: Path, overwrite: bool = False) -> None:
    """Completes a result whose writing was cut off between the first and the last file, and removes other remains."""
    for left in folder.glob(f"{TEMPORARY}*"):
        if left.is_dir() and not left.is_symlink():
            if own(left):
                publish(left, folder, overwrite)
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def publish(stage: Path, folder: Path, overwrite: bool = False) -> None:
    """Moves the finished files of `stage` into `folder`, the record last, and removes those of an earlier result.

    Raises DataError, with nothing moved, if a file of the user would be overwritten.
    """
    hashes = own(stage)
    new = sorted((p.name for p in stage.iterdir()), key=lambda name: name == RECORD)
    _refuse(folder, new, hashes, overwrite)
    for name, was in own(folder).items():
        old = folder / name
        if name not in hashes and old.is_file() and sha256(old) == was:
            with told(old):
                old.unlink()
    for name in new:
        with told(folder / name):
            os.replace(stage / name, folder / name)
