"""Pictures of the gallery: for each operator x, y and what few calls restore, as docs/gallery/NAME.jpg.

python scripts/site/pictures.py                    # those that are missing
python scripts/site/pictures.py inpaint jpeg       # these
"""

import argparse
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import xhat
from xhat.figures.panel import Tile, measurement_tile, panel
from xhat.files.photographs import photographs
from xhat.operators import OPERATORS
from xhat.priors.generated import GENERATORS

FOLDER = Path(__file__).parents[2] / "docs" / "gallery"
SIZE = 96  # pixels of a photograph
WIDTH = 480  # pixels of a picture of the gallery
LARGEST = 25_000  # bytes of one


@dataclass(frozen=True)
class Case:
    """What is measured, how, and what restores it; `x` is a photograph's name or a generator's, with a size."""

    x: str
    operator: str
    noise: str = "gaussian:sigma=0.05"
    prior: str = "photo"
    solver: str = "lmaps:steps=10"


PHOTO = "astronaut"
CASES = {
    "denoise": Case("chelsea", "denoise", "gaussian:sigma=0.2"),
    "inpaint": Case(PHOTO, "inpaint:keep=0.3"),
    "defocus": Case("coffee", "defocus", "gaussian:sigma=0.02"),
    "gaussian_blur": Case("rocket", "gaussian_blur:std=1.5"),
    "motion_blur": Case("chelsea", "motion_blur:seed=1,size=31", "gaussian:sigma=0.02"),
    "blur": Case("coffee", "blur:kernel={disk}", "gaussian:sigma=0.02"),
    "super_resolution": Case("coffee", "super_resolution"),
    "colorize": Case("coffee", "colorize", "gaussian:sigma=0.02"),
    "compressed_sensing": Case("small", "compressed_sensing:ratio=0.5"),
    "dense": Case("grey", "dense:matrix={matrix}"),
    "jpeg": Case("rocket", "jpeg:quality=5", "noiseless"),
    "quantize": Case("chelsea", "quantize", "noiseless"),
    "hdr": Case("rocket", "hdr", "gaussian:sigma=0.05"),
    "nonlinear_blur": Case("chelsea", "nonlinear_blur"),
    "phase_retrieval": Case(PHOTO, "phase_retrieval"),
    "blind_blur": Case(PHOTO, "blind_blur", solver="gibbs_ddrm:steps=20"),
    "rolling_shutter": Case("film", "rolling_shutter", prior="frames:prior=photo"),
    "scratches": Case("film", "scratches:width=2", prior="frames:prior=photo,couple=0.2,motion=dis"),
    "interlace": Case("film", "interlace", prior="frames:prior=photo"),
    "snapshot": Case("film", "snapshot", "gaussian:sigma=0.02", "frames:prior=photo,couple=0.2,motion=dis"),
    "frames": Case("film", "frames:operator=(inpaint:keep=0.3)", prior="frames:prior=photo,couple=0.2,motion=dis"),
    "drop_frames": Case("film", "drop_frames", prior="frames:prior=photo,couple=0.2,motion=dis"),
    "flicker": Case("film", "flicker:strength=0.4", prior="frames:prior=photo"),
    "temporal_average": Case(
        "film", "temporal_average:window=2,stride=1", prior="frames:prior=photo,couple=0.2,motion=dis"
    ),
    "slices": Case("volume", "slices:operator=(gaussian_blur:std=1.5)", prior="slices:prior=photo,planes=all"),
    "thick_slices": Case("volume", "thick_slices:factor=2", prior="slices:prior=photo,planes=all"),
    "volume_blur": Case("volume", "volume_blur", prior="slices:prior=photo"),
    "helical_ct": Case("volume", "helical_ct:angles=20,arc=120", prior="slices:prior=photo"),
    "mri_volume": Case("volume", "mri_volume", "gaussian:sigma=0.02", "slices:prior=(magnitude:prior=photo)"),
    "ct": Case("grey", "ct:angles=20", "gaussian:sigma=0.05"),
    "mri": Case("grey", "mri:acceleration=4,coils=4", "gaussian:sigma=0.02", "magnitude:prior=photo"),
    "mri_single": Case("grey", "mri_single:acceleration=4", "gaussian:sigma=0.02", "magnitude:prior=photo"),
    "scattering": Case("grey", "scattering:receivers=60", "gaussian:sigma=1e-4"),
    "fwi": Case(
        "velocity",
        "fwi:sources=4,receivers=64,dx=40,dz=20,dt=2,cells=20,slowest=1,fastest=6",
        "gaussian:sigma=0.02",
        "velocity",
        "reddiff:steps=100,lr=0.05,lam=1000",
    ),
    "navier_stokes": Case(
        "vorticity",
        "navier_stokes:scale=25,courant=1",
        "gaussian:sigma=0.5",
        "vorticity",
        "lmaps:steps=20,inner=adam,inner_steps=10",
    ),
    "black_hole_array": Case(
        "blackhole", "black_hole_array:fov=160,white=0.002,flux=0.6", "vlbi", "blackhole", "lmaps:steps=40,k=0.1"
    ),
}


@cache
def truth(name: str) -> Tensor:
    """The image called `name`: a photograph in colour or grey, or one that a generator of xhat draws, (c, h, w); or a
    film or a volume of a photograph, (c, 4, h, w).
    """
    if name in GENERATORS:
        return torch.from_numpy(GENERATORS[name](1, 64, 7)).float()[:1] / 127.5 - 1
    if name in ("film", "volume"):  # frames that move by two pixels
        wide = photographs(72, (PHOTO,))[0]
        x = torch.stack([wide[:, 2:66, k : k + 64] for k in (0, 2, 4, 6)], 1)
        return x if name == "film" else x.mean(0, keepdim=True)
    if name == "small":
        return photographs(64, (PHOTO,))[0]
    if name == "grey":
        return photographs(64, (PHOTO,))[0].mean(0, keepdim=True)
    return photographs(SIZE, (name,))[0]


def picture(case: Case, folder: Path) -> Image.Image:
    """x, y and the restored image side by side; `folder` takes the files of a kernel and a matrix."""
    line = np.arange(-3, 4)
    np.save(folder / "disk.npy", (line[:, None] ** 2 + line**2 <= 9).astype(float))
    x = truth(case.x)
    files = {"disk": folder / "disk.npy", "matrix": folder / "matrix.npy"}
    if "{matrix}" in case.operator:  # as many random sums of all pixels as half of the pixels
        n = x.numel()
        np.save(files["matrix"], np.random.default_rng(0).normal(size=(n // 2, n)) / n**0.5)
    y = xhat.simulate(x, case.operator.format(**files), case.noise, seed=1)
    r = xhat.restore(y, prior=case.prior, solver=case.solver, reference=x, progress=False)
    kind = r.problem.A.modality
    text, shown = measurement_tile(r.problem)
    score = next((f"{k} {float(v[0]):.1f}" for k, v in r.metrics.items()), "")
    print(case.operator, score, f"{r.seconds:.0f} s", flush=True)
    tiles: list[Tile] = [
        ("x", kind.show(r.reference)),
        ("y" + text.removeprefix("measurement"), shown),
        (f"restored\n{score}", kind.show(r.first)),
    ]
    sheet = panel([tiles], 192)
    return sheet.resize((WIDTH, round(sheet.height * WIDTH / sheet.width)), Image.Resampling.LANCZOS)


def main() -> None:
    """Writes the pictures that are asked for."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*", metavar="OPERATOR", help="default: those without a picture")
    FOLDER.mkdir(exist_ok=True)
    for name in p.parse_args().names or [n for n in OPERATORS if n in CASES and not (FOLDER / f"{n}.jpg").exists()]:
        with TemporaryDirectory() as folder:
            sheet = picture(CASES[name], Path(folder))
        for quality in (78, 70, 62, 54):  # the first that is small enough
            sheet.save(FOLDER / f"{name}.jpg", quality=quality, optimize=True)
            if (FOLDER / f"{name}.jpg").stat().st_size < LARGEST:
                break


if __name__ == "__main__":
    main()
