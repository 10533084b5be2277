"""`xhat demo`: real photographs, several kinds of damage, LMAPS and two rivals; a table, a picture, a record."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import XhatError
from ..figures.panel import Tile, heat, panel
from ..files import record
from ..files.extras import install
from ..files.pictures import atomic, from_pixels
from ..priors import build_prior
from ..task.restoration import Restoration
from ..task.restore import restore
from ..task.simulate import simulate

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


@dataclass(frozen=True)
class Case:
    """One photograph, what happens to it, and who restores it."""

    photograph: str
    title: str
    operator: str
    noise: str
    solvers: tuple[str, ...]


CASES = (
    Case(
        "astronaut", "7 of 10 pixels lost", "inpaint:keep=0.3", "gaussian:sigma=0.05", ("lmaps", "diffpir", "reddiff")
    ),
    Case("chelsea", "motion blur", "motion_blur:seed=1", "gaussian:sigma=0.05", ("lmaps", "diffpir", "reddiff")),
    Case("coffee", "4 times smaller", "super_resolution", "gaussian:sigma=0.05", ("lmaps", "diffpir", "reddiff")),
    Case("rocket", "JPEG, quality 5", "jpeg:quality=5", "noiseless", ("lmaps", "ddnm", "reddiff")),
)


def photographs(size: int = 256, names: tuple[str, ...] = PHOTOGRAPHS) -> Tensor:
    """Photographs that scikit-image carries, (n, 3, size, size): the central square, resized by Lanczos."""
    try:
        from skimage import data
    except ImportError as e:
        raise XhatError(f"the demo's photographs come with scikit-image: {install('demo')}") from e
    out = []
    for name in names:
        photo = Image.fromarray(getattr(data, name)()[..., :3])
        side = min(photo.size)
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        square = photo.crop((left, top, left + side, top + side))
        out.append(from_pixels(np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))))
    return torch.stack(out)


def demo(folder: Path, size: int = 256, prior: str = "photo", quiet: bool = False) -> None:
    """Restores every case and writes `demo.png` and `demo.json` into `folder`."""
    from rich.console import Console

    console, model, rows, runs = Console(stderr=True), build_prior(prior), [], []
    for case, truth in zip(CASES, photographs(size, tuple(c.photograph for c in CASES)), strict=True):
        y = simulate(truth, case.operator, case.noise)
        done = []
        for spec in case.solvers:
            if not quiet:
                console.print(f"[bold]{case.photograph}[/], {case.title}: {spec}")
            done.append(restore(y, prior=model, solver=spec, reference=truth, progress=not quiet))
        rows.append(tiles(case, truth, y.y, done))
        runs += [account(case, spec, r) for spec, r in zip(case.solvers, done, strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    picture, file = folder / "demo.png", folder / "demo.json"
    atomic(picture, lambda file: panel(rows).save(file, "PNG"))
    record.write(file, {"prior": prior, "size": size, "versions": record.versions(), "runs": runs})
    show(runs, [picture, file])


def tiles(case: Case, truth: Tensor, y: Tensor, done: list[Restoration]) -> list[Tile]:
    """A row: truth, measurement, reconstructions, error of the first one."""
    row: list[Tile] = [(f"{case.photograph}\ntruth", truth), (f"{case.title}\nmeasurement", y.clamp(-1, 1))]
    row += [
        (f"{s}\nPSNR {float(r.metrics['psnr'][0]):.2f} dB", r.problem.A.modality.show(r.image))
        for s, r in zip(case.solvers, done, strict=True)
    ]
    error = (done[0].image - truth).abs()
    return [*row, (f"|error| of {case.solvers[0]}\nwhite is 64 of 255 levels", heat(error, 0.5))]


def account(case: Case, spec: str, r: Restoration) -> dict[str, Any]:
    """What the table and the record say of one run."""
    return {
        "photograph": case.photograph,
        "operator": case.operator,
        "noise": case.noise,
        "solver": spec,
        "psnr": float(r.metrics["psnr"][0]),
        "ssim": float(r.metrics["ssim"][0]),
        "residual": float(r.residual[0]),
        "expected_residual": float(r.expected[0]),
        "forwards": r.calls.forwards,
        "backwards": r.calls.backwards,
        "operator_calls": r.calls.operator,
        "seconds": r.seconds,
    }


def show(runs: list[dict[str, Any]], files: list[Path]) -> None:
    """The table on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "photograph", "damage", "solver", title="residual: root mean square of y − A(x̂), and what the noise explains"
    )
    for name in ("PSNR dB", "SSIM", "residual", "calls", "seconds"):
        table.add_column(name, justify="right")
    for i, r in enumerate(runs):
        first = i == 0 or runs[i - 1]["photograph"] != r["photograph"]
        table.add_row(
            r["photograph"] if first else "",
            r["operator"] if first else "",
            r["solver"],
            f"{r['psnr']:.2f}",
            f"{r['ssim']:.3f}",
            f"{r['residual']:.4f} / {r['expected_residual']:.4f}",
            f"{r['forwards'] + r['backwards']}",
            f"{r['seconds']:.1f}",
            end_section=i + 1 < len(runs) and runs[i + 1]["photograph"] != r["photograph"],
        )
    console = Console(width=None if os.isatty(1) else 110)
    console.print(table)
    for file in files:
        console.print(f"wrote {file}", highlight=False)
