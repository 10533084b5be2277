"""`xhat demo`: real photographs, several kinds of damage, LMAPS and two rivals; a table, a picture, a record."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..checks import whole
from ..figures.panel import Bar, Tile, heat, panel
from ..files import record
from ..files.folder import check_folder, check_free
from ..files.photographs import photographs
from ..files.writing import atomic
from ..priors import build_prior
from ..task.restoration import Restoration
from ..task.restore import restore
from ..task.simulate import simulate


@dataclass(frozen=True)
class Case:
    """One photograph, what is done to it, and the solvers that restore it."""

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


PICTURE, FILE = "demo.png", "demo.json"


def ours(folder: Path) -> bool:
    """Whether the files of a demo in `folder` were written by one."""
    return "runs" in record.read(folder / FILE)


def demo(folder: Path, size: int = 256, prior: str = "photo", quiet: bool = False) -> None:
    """Restores every case at `size` × `size` pixels and writes `demo.png` and `demo.json` to `folder`."""
    from rich.console import Console

    whole("size", size, 1, 4096)
    check_folder(folder)
    check_free(folder, (PICTURE, FILE), ours=lambda: ours(folder))
    console, model, rows, runs = Console(stderr=True), build_prior(prior), [], []
    for case, truth in zip(CASES, photographs(size, tuple(c.photograph for c in CASES)), strict=True):
        y = simulate(truth, case.operator, case.noise)
        done = []
        for spec in case.solvers:
            if not quiet:
                console.print(f"[bold]{case.photograph}[/], {case.title}: {spec}")
            done.append(restore(y, prior=model, solver=spec, reference=truth, progress=not quiet))
        rows.append(tiles(case, truth, y.y, done))
        runs += [
            {"photograph": case.photograph, "label": s, **r.record} for s, r in zip(case.solvers, done, strict=True)
        ]
    folder.mkdir(parents=True, exist_ok=True)
    picture, file = folder / PICTURE, folder / FILE
    atomic(picture, lambda file: panel(rows).save(file, "PNG"))
    record.write(file, {"prior": prior, "size": size, "versions": record.versions(), "runs": runs})
    show(runs, [picture, file])


def tiles(case: Case, truth: Tensor, y: Tensor, done: list[Restoration]) -> list[Tile]:
    """A row of the picture: truth, measurement, reconstructions, and the error of the first one."""
    row: list[Tile] = [(f"{case.photograph}\ntruth", truth), (f"{case.title}\nmeasurement", y.clamp(-1, 1))]
    row += [
        (f"{s}\nPSNR {float(r.metrics['psnr'][0]):.2f} dB", r.problem.A.modality.show(r.first))
        for s, r in zip(case.solvers, done, strict=True)
    ]
    error = (done[0].first - truth).abs()
    return [*row, (f"|error| of {case.solvers[0]}", heat(error, 0.5), Bar("0", "64 of 255 levels"))]


def show(runs: list[dict[str, Any]], files: list[Path]) -> None:
    """Prints the table to stdout, and the names of the files."""
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
            r["label"],
            f"{r['metrics']['psnr'][0]:.2f}",
            f"{r['metrics']['ssim'][0]:.3f}",
            f"{r['residual'][0]:.4f} / {r['expected_residual'][0]:.4f}",
            f"{r['calls']['forwards'] + r['calls']['backwards']}",
            f"{r['seconds']:.1f}",
            end_section=i + 1 < len(runs) and runs[i + 1]["photograph"] != r["photograph"],
        )
    console = Console(width=None if os.isatty(1) else 110)
    console.print(table)
    for file in files:
        console.print(f"wrote {file}", highlight=False)
