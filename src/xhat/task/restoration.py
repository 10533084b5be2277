"""What `restore` returns, and how it becomes a folder of pictures."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..files import exports
from ..files import record as records
from ..files.exports import EXPORTS
from ..files.pictures import atomic, is_picture, save_image
from ..likelihoods import Likelihood
from ..numerics.calls import Calls

Put = Callable[[Path], object]


@dataclass(frozen=True)
class Restoration:
    """N samples (or N runs of a point estimator) for one measurement, with their account."""

    images: Tensor  # (n, *image), float32, [−1, 1] by convention but never clipped
    residual: Tensor  # (n,) root mean square of y − A(x̂), in the units of y
    expected: Tensor  # (n,) what the noise model expects of it
    calls: Calls
    seconds: float
    metrics: Mapping[str, Tensor]  # name → (n,), of each image; `mean_…` → (1,), of their mean
    record: Mapping[str, Any]
    problem: Likelihood = field(repr=False)
    reference: Tensor | None = field(default=None, repr=False)
    frames: tuple[tuple[int, Tensor], ...] = field(default=(), repr=False)  # (step, x̂₀)

    @property
    def image(self) -> Tensor:
        """The first image, (*image)."""
        return self.images[0]

    @property
    def best(self) -> int:
        """The image of smallest measurement residual; the truth plays no part in it."""
        return int(self.residual.argmin())

    @property
    def mean(self) -> Tensor:
        """The posterior mean as estimated by the samples, (*image)."""
        return self.images.mean(0)

    @property
    def std(self) -> Tensor:
        """The pixel-wise standard deviation, (*image); 0 for a single image."""
        return self.images.std(0) if len(self.images) > 1 else torch.zeros_like(self.image)

    def save(self, folder: str | Path, depth: int = 8, formats: Sequence[str] = ()) -> Path:
        """Writes restored, sample, mean and std pictures (arrays, where images are none), a panel and `record.json`.

        Complex images (2, h, w) become complex arrays and pictures of their magnitude; `formats` are further files of
        each image (`exports.EXPORTS`). Everything appears at once, at the end; files of an earlier record in `folder`
        are replaced or removed.
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
            std = self.std
            std_white = float((std.square().sum(0).sqrt() if is_complex(std) else std).max())
            account = {**self.record, "std_white": std_white, "files": sorted([*files, "record.json"])}
            records.write(stage / "record.json", account)
            _publish(stage, folder)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        return folder

    def _files(self, depth: int, formats: Sequence[str]) -> dict[str, Put]:
        from ..figures import panel

        images = {"restored": self.image}
        if len(self.images) > 1:
            images |= {f"sample_{i:03d}": x for i, x in enumerate(self.images)} | {"mean": self.mean}
        white = float(self.images.square().sum(1).max()) ** 0.5 if is_complex(self.image) else 1.0
        files = {name: put for stem, x in images.items() for name, put in forms(stem, x, depth, white).items()}
        if len(self.images) > 1:
            files |= forms_of_std(self.std, depth)
        for stem, x in images.items():
            files |= {f"{stem}.{f}": partial(lambda write, x, path: write(path, x), EXPORTS[f][1], x) for f in formats}
        files |= self.problem.A.files(self)
        sheet = panel.of(self)
        files["panel.png"] = lambda path: sheet.save(path)
        if self.frames:
            strip = panel.strip(self.frames)
            files["trajectory.png"] = lambda path: strip.save(path)
        return files


def is_complex(x: Tensor) -> bool:
    """Whether an image is one of (real, imaginary), (2, h, w)."""
    return x.ndim == 3 and len(x) == 2


def forms(stem: str, x: Tensor, depth: int, white: float) -> dict[str, Put]:
    """An image as a picture, as an array where it is none, as both where it is complex; magnitude `white` is white."""
    if is_picture(tuple(x.shape)):
        return {f"{stem}.png": lambda path: save_image(path, x, depth)}
    if is_complex(x):
        z, size = torch.complex(x[0], x[1]), x.square().sum(0, keepdim=True).sqrt() / max(white, 1e-12)
        return {f"{stem}.npy": array(z), f"{stem}.png": lambda path: save_image(path, 2 * size - 1, depth)}
    return {f"{stem}.npy": array(x)}


def forms_of_std(std: Tensor, depth: int) -> dict[str, Put]:
    """A standard deviation, white at its maximum; of a complex image that of both parts together."""
    plane = std.square().sum(0, keepdim=True).sqrt() if is_complex(std) else std
    files = forms("std", plane / plane.max().clamp_min(1e-12) * 2 - 1, depth, 1.0) if is_picture(plane.shape) else {}
    return files if is_picture(tuple(std.shape)) else files | {"std.npy": array(std)}


def array(x: Tensor) -> Put:
    return lambda path: atomic(path, lambda file: np.save(file, x.numpy()))


def check_folder(folder: Path) -> None:
    """Raises DataError where `folder` cannot become or take a folder of results, before anything is computed."""
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
