"""Slices of one file that a command restored one by one, as a volume: NIfTI, a sheet of all slices, a record."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import DataError
from ..files import record as records
from ..files.exports import write_nifti
from ..files.extras import extra
from ..files.folder import sha256
from ..files.pictures import save_image
from ..files.stacking import stacked
from ..files.writing import together
from ..notes import note
from ..operators.modality import sheet
from ..spec import parse

# What the folder of a slice holds, by what becomes of it in the volume; those of several samples are there or not.
PARTS = {
    "restored.nii": "{stem}.nii.gz",
    "restored_complex.nii": "{stem}_complex.nii.gz",
    "mean.nii": "{stem}_mean.nii.gz",
    "mean_complex.nii": "{stem}_mean_complex.nii.gz",
}
SHEET, RECORD = "{stem}.png", "{stem}.json"
WHITE = 0.999  # quantile of the magnitudes that is white on the sheet
OWN = ("operator", "noise", "residual_ratio", "measurement_scale", "metrics", "measurement_sha256", "operator_sha256")
SHARED = ("solver", "prior", "prior_sha256", "seeds", "samples", "versions", "provenance")


@dataclass(frozen=True)
class Part:
    """A slice: its name, the folder with its results, and its record."""

    name: str
    folder: Path
    row: Mapping[str, Any]


def names(file: str) -> list[str]:
    """The names of all files that the volume of the slices of `file` may have."""
    return [name.format(stem=Path(file).stem) for name in (*PARTS.values(), SHEET, RECORD)]


def join(file: str, parts: Sequence[Part], root: Path) -> dict[str, str]:
    """Writes the volume of the slices of `file` to the folder `root`, and returns its files with their SHA-256.

    Each slice is in the units of the file, as its own NIfTI file is, so that slices can be compared. They lie where the
    file says. Raises DataError for slices that make no volume.
    """
    nibabel = extra("nibabel", f"a volume of {file}")
    stem, labels = Path(file).stem, [part.name for part in parts]
    found = {name: [part.folder / name for part in parts] for name in PARTS}
    there = [name for name, files in found.items() if all(f.is_file() for f in files)]
    images = {name: [nibabel.load(f) for f in found[name]] for name in there}
    shapes = {image.shape for image in images["restored.nii"]}
    if len(shapes) > 1:
        raise DataError(f"{file}: its slices have the shapes {', '.join(map(str, sorted(shapes)))}, and are no volume")
    stack = stacked([np.asarray(image.affine) for image in images["restored.nii"]], labels, file)
    if len(parts) > 1 and not stack.placed:
        note(
            "%s: does not say where its slices lie: they are put %.3g mm apart, the thickness of one, in its order",
            file, float(np.linalg.norm(stack.affine[:3, 2]))
        )  # fmt: skip
    planes = {name: [np.atleast_3d(np.asarray(images[name][i].dataobj)) for i in stack.order] for name in there}
    volumes = {name: np.concatenate(planes[name], -1) for name in there}
    made: dict[str, Callable[[Path], object]] = {
        PARTS[name].format(stem=stem): partial(write_nifti, voxels=voxels, affine=stack.affine)
        for name, voxels in volumes.items()
    }
    shown = torch.from_numpy(volumes["restored.nii"].astype(np.float32).transpose(2, 1, 0).copy())[:, None]
    white = max(float(np.quantile(shown.numpy(), WHITE)), 1e-30)
    made[SHEET.format(stem=stem)] = partial(save_image, x=2 * sheet(shown, len(shown)) / white - 1)
    account = {
        "volume_of": file,
        "shape": list(volumes["restored.nii"].shape),
        "voxel_mm": [float(v) for v in np.sqrt((stack.affine[:3, :3] ** 2).sum(0))],
        "affine": stack.affine.tolist(),
        "placed": stack.placed,
        "unit": unit(parts[0].row, stack.placed),
        "metrics": _means([part.row.get("metrics", {}) for part in parts]),
        **{key: parts[0].row.get(key) for key in SHARED},
        "slices": [
            {"slice": parts[i].name, "folder": parts[i].folder.name, **{k: parts[i].row.get(k) for k in OWN}}
            for i in stack.order
        ],
    }
    hashes: dict[str, str] = {}

    def noted(path: Path, name: str, put: Callable[[Path], object]) -> None:
        put(path)
        hashes[name] = sha256(path)

    files: dict[Path, Callable[[Path], object]] = {
        root / name: partial(noted, name=name, put=put) for name, put in made.items()
    }
    last = RECORD.format(stem=stem)
    files[root / last] = lambda path: records.write(path, account | {"files_sha256": hashes})
    together(files)
    return {**hashes, last: sha256(root / last)}


def unit(row: Mapping[str, Any], placed: bool) -> str:
    """What the numbers of a volume are, of one of whose slices `row` is the record; `placed` as in `Stack`."""
    said = parse(row["operator"]) if row.get("operator") else None
    if said and said.name == "ct" and "white" in said.options:
        return f"attenuation in 1/{said.options.get('per', 'mm')}" if placed else "attenuation per cell"
    return "that of the file: each slice times its measurement_scale"


def _means(scores: Sequence[Mapping[str, Sequence[float | None]]]) -> dict[str, float]:
    """The mean over slices of each score that all of them have; that of a sample is the first."""
    means = {}
    for name in scores[0]:
        values = [row[name][0] for row in scores if row.get(name)]
        if len(values) == len(scores) and all(v is not None and math.isfinite(v) for v in values):
            means[name] = float(np.mean(np.asarray(values, dtype=float)))
    return means
