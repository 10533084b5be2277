"""What `restore` returns, and how it becomes a folder of pictures."""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..figures import panel
from ..files import exports
from ..files import record as records
from ..files.exports import EXPORTS
from ..likelihoods import Likelihood
from ..numerics.calls import Calls
from ..operators.modality import Put


@dataclass(frozen=True)
class Restoration:
    """N samples (or N runs of a point estimator) for one measurement, with their residuals, metrics, cost and
    record.
    """

    images: Tensor  # (n, *image), float32, [−1, 1] by convention but never clipped
    residual: Tensor  # (n,) root mean square of y − A(x̂), in the units of y
    expected: Tensor  # (n,) the residual that the noise model expects
    calls: Calls
    seconds: float
    metrics: Mapping[str, Tensor]  # name → (n,), for each image; `mean_…` → (1,), for their mean
    record: Mapping[str, Any]
    problem: Likelihood = field(repr=False)
    reference: Tensor | None = field(default=None, repr=False)
    frames: tuple[tuple[int, Tensor], ...] = field(default=(), repr=False)  # (step, x̂₀)

    @property
    def image(self) -> Tensor:
        """The first image, (*image)."""
        return self.images[0]

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
        """The posterior mean as the samples estimate it, (*image)."""
        return self.images.mean(0)

    @property
    def std(self) -> Tensor:
        """The standard deviation of each pixel, (*image); 0 for a single image."""
        return self.images.std(0) if len(self.images) > 1 else torch.zeros_like(self.image)

    def save(self, folder: str | Path, depth: int = 8, formats: Sequence[str] = ()) -> Path:
        """Writes restored, sample, mean and std images, a panel and `record.json` to `folder`, and returns its path.

        The operator's modality determines which files an image becomes: pictures, arrays, what its field expects.
        `depth` is the number of bits of pictures, and `formats` are further files of each image (`exports.EXPORTS`).
        Everything appears at once, at the end; files of an earlier record in `folder` are replaced or removed. Raises
        DataError if the folder cannot be written or a library is missing, and SpecError for an unknown format.
        """
        folder = Path(folder)
        check_folder(folder)
        exports.check(formats)
        files = self._files(depth, formats)
        folder.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for name, put in files.items():
                put(stage / name)
            std_white = self.problem.A.modality.most(self.std)
            account = {**self.record, "std_white": std_white, "files": sorted([*files, "record.json"])}
            records.write(stage / "record.json", account)
            _publish(stage, folder)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        return folder

    def _files(self, depth: int, formats: Sequence[str]) -> dict[str, Put]:
        kind = self.problem.A.modality
        images = {"restored": self.image}
        if len(self.images) > 1:
            images |= {f"sample_{i:03d}": x for i, x in enumerate(self.images)} | {"mean": self.mean}
        files = kind.write(images, depth)
        if len(self.images) > 1:
            files |= kind.write_std(self.std, depth)
        for form in formats:
            files |= {f"{stem}.{form}": partial(_export, form, kind.voxels(x)) for stem, x in images.items()}
        files |= kind.files(self)
        files["panel.png"] = panel.of(self, self.problem, f"{self.record['operator']}, {self.record['noise']}").save
        if self.frames:
            files["trajectory.png"] = panel.strip(self.frames, kind).save
        return files


def _export(form: str, voxels: np.ndarray, path: Path) -> None:
    EXPORTS[form][1](path, voxels)


def check_folder(folder: Path) -> None:
    """Raises DataError if `folder` cannot be made or cannot take results, before anything is computed."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file, not a folder")
    nearest = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise DataError(f"{folder}: cannot be written here")


def _publish(stage: Path, folder: Path) -> None:
    """Moves the finished files of `stage` into place, `record.json` last."""
    stage.chmod(0o755)
    if not folder.exists():
        os.replace(stage, folder)
        return
    old = {name for name in records.read(folder / "record.json").get("files", []) if Path(name).name == name}
    new = sorted((p.name for p in stage.iterdir()), key=lambda name: name == "record.json")
    for name in old - set(new):
        (folder / name).unlink(missing_ok=True)
    for name in new:
        os.replace(stage / name, folder / name)
