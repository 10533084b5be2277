"""The study of docs/studies/video.md: films and a head, restored frame by frame, coupled, and by OpenCV.

    python -m benchmarks.video FOLDER --head ch2.nii.gz

FOLDER holds Set14 as PNG. The head is one person's, `ch2.nii.gz` of the Debian package mricron-data (Colin, the mean of
27 scans of one head). Rows that docs/studies/video.jsonl has already are not run again. Writes that file, the tables of
the page, and docs/studies/film.gif.
"""

import argparse
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import xhat
from xhat import load_image
from xhat.bench.images import Held
from xhat.files.pictures import to_pixels
from xhat.likelihoods import Likelihood, likelihood
from xhat.noise import Gaussian
from xhat.operators.building import build_operator
from xhat.operators.coupled import MovingChain
from xhat.operators.flow import flows, likeness
from xhat.rng import Rng
from xhat.task.flicker import estimate_gains
from xhat.task.parts import as_solver

DOCS = Path(__file__).parents[1] / "docs" / "studies"
ROWS, PAGE = DOCS / "video.jsonl", DOCS / "video.md"
FRAMES, SIDE = 6, 64
FILMS = (("barbara", "monarch"), ("lenna", "flowers"))
OLD = ((*FILMS[0], 0.05, 0.1), (*FILMS[1], 0.1, 0.1), ("zebra", "face", 0.1, 0.05), ("bridge", "pepper", 0.15, 0.1))
OLD_FRAMES = 16  # of these films, whose log gains and noise have the deviations above
STRENGTHS = (5, 10, 15, 20, 25, 30, 40)  # of OpenCV's filter
COUPLE = "couple=0.05,motion=dis"
BOTH = [("frame by frame", ""), ("coupled", f",{COUPLE}")]
HOW = {"LMAPS": BOTH, "MAP-GA": [*BOTH, ("coupled, σ_c = 0.1", ",couple=0.1,motion=dis")]}
LMAPS, ASCENT = "lmaps:steps=8", "map_ga:steps=10,inner_steps=4"

# What happened to the frames: each has its own blur, its own mask, its own scratches.
BLURS = [f"(gaussian_blur:std={0.6 + 0.2 * f:.1f})" for f in range(FRAMES)]
TASKS = {
    "noise": ("frames:operator=denoise", 0.2),
    "a blur of each frame": (f"frames:operator={BLURS}", 0.05),
    "pixels lost, others in each frame": (f"frames:operator=(inpaint:keep=0.3,seed={list(range(FRAMES))})", 0.05),
    "scratches and noise": ("scratches:count=4,width=2", 0.1),
    "rolling shutter and noise": ("rolling_shutter", 0.1),
}
ASCENDED = ("a blur of each frame", "pixels lost, others in each frame")  # by MAP-GA, of the first film


def film(folder: Path, names: tuple[str, str], count: int = FRAMES, side: int = SIDE) -> Tensor:
    """A photograph that moves behind a soft disc of another, both by fractions of a pixel: (3, count, side, side)."""
    back, front = (load_image(folder / f"{name}.png").expand(3, -1, -1) for name in names)
    line = torch.linspace(-1, 1, side)
    out = []
    for f in range(count):
        disc = ((line[:, None] + 0.25 - 0.03 * f) ** 2 + (line - 0.35 + 0.05 * f) ** 2).sqrt()
        soft = torch.sigmoid((0.5 - disc) * 30)
        out.append(crop(back, side, 0.9 * f, 1.3 * f) * (1 - soft) + crop(front, side, 1.1 * f, -1.7 * f) * soft)
    return torch.stack(out, 1).clamp(-1, 1)


def crop(x: Tensor, side: int, down: float, right: float) -> Tensor:
    """`side` pixels around the middle of a photograph, reduced by two, moved by fractions of a pixel."""
    x = F.interpolate(x[None], scale_factor=0.5, mode="area")
    h, w = x.shape[-2:]
    rows, columns = (torch.arange(side) + (n - side) / 2 + d for n, d in ((h, down), (w, right)))
    grid = torch.stack(torch.meshgrid(rows * 2 / (h - 1) - 1, columns * 2 / (w - 1) - 1, indexing="ij")[::-1], -1)
    return F.grid_sample(x, grid[None], mode="bicubic", padding_mode="reflection", align_corners=True)[0]


# --- what is measured -------------------------------------------------------------------------


def psnr(x: Tensor, truth: Tensor) -> float:
    """In dB, over all frames, of images in [−1, 1]."""
    return 10 * math.log10(4 / max(float((x.clamp(-1, 1) - truth).square().mean()), 1e-12))


def flicker(x: Tensor, truth: Tensor) -> float:
    """The temporal warping error: the rms of x_{f+1} − M x_f along the true film's flow, where it follows that."""
    flow = flows(truth[None])
    chain = MovingChain(tuple(truth.shape), flow)
    there = likeness(truth[None], flow, 0.05) > 0.5
    d = chain(x.clamp(-1, 1)[None]) * there
    return float((d.square().sum() / (there.sum() * len(x))).sqrt())


# --- the methods ------------------------------------------------------------------------------


def solved(like: Likelihood, spec: str, prior: str) -> Tensor:
    """The restored video, (*image)."""
    model = xhat.build_prior(prior, "cpu")
    return xhat.solve(as_solver(spec), model, model.problem(like), model.streams(like.A.shape)([0]))[0]


def nlm(y: Tensor, h: float) -> Tensor:
    """OpenCV's multi-frame non-local means of strength `h`, over up to seven frames; ends take what there is."""
    pages = [np.ascontiguousarray(to_pixels(f)[..., ::-1]) for f in y.unbind(1)]
    out = []
    for f in range(len(pages)):
        half = min(3, f, len(pages) - 1 - f)
        if half:
            page = cv2.fastNlMeansDenoisingColoredMulti(pages, f, 2 * half + 1, None, h, h)
        else:
            page = cv2.fastNlMeansDenoisingColored(pages[f], None, h, h)
        out.append(torch.from_numpy(page[..., ::-1].copy()).permute(2, 0, 1).float() / 127.5 - 1)
    return torch.stack(out, 1)


def best_nlm(y: Tensor, truth: Tensor) -> tuple[Tensor, float]:
    """The multi-frame filter at the strength that is best by the truth."""
    tried = [(nlm(y, h), h) for h in STRENGTHS]
    return max(tried, key=lambda pair: psnr(pair[0], truth))


# --- rows -------------------------------------------------------------------------------------


class Rows:
    """The rows of the study, each with a key; what is there is not run again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.rows = [json.loads(line) for line in lines]

    def add(self, run: Callable[[], dict], **key: str) -> None:
        """Runs what is not there yet, and writes it down."""
        if any(all(r.get(k) == v for k, v in key.items()) for r in self.rows):
            return
        began = time.perf_counter()
        row = {**key, **run()}
        row["seconds"] = round(time.perf_counter() - began, 1)
        self.rows.append(row)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)

    def of(self, **key: str) -> list[dict]:
        """Those with this key."""
        return [r for r in self.rows if all(r.get(k) == v for k, v in key.items())]


def scores(x: Tensor, truth: Tensor) -> dict[str, float | None]:
    """PSNR and flicker; the truth has no PSNR."""
    return {"psnr": None if x is truth else round(psnr(x, truth), 2), "flicker": round(flicker(x, truth), 4)}


def videos(rows: Rows, folder: Path) -> None:
    """Every task, film and method."""
    for names in FILMS:
        x, title = film(folder, names), " and ".join(names)
        for task, (spec, sigma) in TASKS.items():
            A = build_operator(spec, tuple(x.shape))
            y = Gaussian(sigma).sample(A(x[None]), Rng([1]))
            like = likelihood(A, Gaussian(sigma), y)
            key = {"film": title, "task": task}
            rows.add(lambda x=x: scores(x, x), method="the true film", **key)
            rows.add(lambda y=y, x=x: scores(y[0], x), method="the measurement", **key)

            def classical(y: Tensor = y, x: Tensor = x) -> dict:
                found, h = best_nlm(y[0], x)
                return {**scores(found, x), "h": h}

            rows.add(classical, method="OpenCV multi-frame NLM", **key)
            ascent = [("MAP-GA", ASCENT)] if names == FILMS[0] and task in ASCENDED else []
            for label, solver in [("LMAPS", LMAPS), *ascent]:
                for how, options in HOW[label]:
                    prior = f"frames:prior=photo{options}"
                    run = lambda like=like, solver=solver, prior=prior, x=x: scores(solved(like, solver, prior), x)
                    rows.add(run, method=f"{label} {how}", solver=solver, **key)


def old_films(rows: Rows, folder: Path) -> None:
    """Films of 8 bits whose light flickers: gains estimated, known and left in, and frames of equal mean."""
    for back, front, strength, sigma in OLD:
        x = film(folder, (back, front), OLD_FRAMES)
        n = torch.randn(OLD_FRAMES, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        spec = f"flicker:gains={(strength * (n - n.mean()) / n.std()).exp().tolist()}"  # no film tells their mean
        y = Gaussian(sigma).sample(build_operator(spec, tuple(x.shape))(x[None]), Rng([1]))[0].clamp(-1, 1)
        y = (y * 127.5).round() / 127.5
        even = (y + 1) * ((y + 1).mean() / (y + 1).mean((0, 2, 3)))[:, None, None] - 1
        gains = estimate_gains(y)
        key = {"film": f"{back} and {front}", "task": "flickering light", "strength": strength, "sigma": sigma}
        rows.add(lambda x=x: scores(x, x), method="the true film", **key)
        rows.add(lambda y=y, x=x: scores(y, x), method="the measurement", **key)

        def classical(even: Tensor = even, x: Tensor = x) -> dict:
            found, h = best_nlm(even.clamp(-1, 1), x)
            return {**scores(found, x), "h": h}

        rows.add(classical, method="OpenCV multi-frame NLM of frames of equal mean", **key)
        estimated = None if gains is None else f"flicker:gains={gains}"
        for label, operator in (("left in", "frames:operator=denoise"), ("estimated", estimated), ("known", spec)):
            like = likelihood(build_operator(operator, tuple(x.shape)), Gaussian(sigma), y[None])
            run = lambda like=like, x=x: scores(solved(like, LMAPS, f"frames:prior=photo,{COUPLE}"), x)
            rows.add(run, method=f"LMAPS coupled, gains {label}", solver=LMAPS, **key)


def faces(rows: Rows, tar: Path) -> None:
    """Faces that drift, of which a fifth of the pixels is seen in each frame, others in each."""
    held = Held(str(tar), "faces")
    names = held.names()[:: len(held.names()) // 2][:2]
    for name in names:
        wide = F.pad(held.load(name)[None], [8] * 4, mode="reflect")[0]
        line = torch.arange(64.0) + 8
        moved = []
        for f in range(FRAMES):
            r, c = line + 0.4 * f - 1.4, line - 0.7 * f + 2.45
            grid = torch.stack(torch.meshgrid(r * 2 / 79 - 1, c * 2 / 79 - 1, indexing="ij")[::-1], -1)
            moved.append(F.grid_sample(wide[None], grid[None], mode="bicubic", align_corners=True)[0])
        x = torch.stack(moved, 1).clamp(-1, 1)
        A = build_operator(f"frames:operator=(inpaint:keep=0.2,seed={list(range(FRAMES))})", tuple(x.shape))
        like = likelihood(A, Gaussian(0.05), Gaussian(0.05).sample(A(x[None]), Rng([1])))
        for label, solver in (("MAP-GA", "map_ga:steps=12,inner_steps=6"), ("LMAPS", "lmaps:steps=20")):
            for how, options in HOW[label]:
                run = lambda like=like, s=solver, o=options, x=x: scores(solved(like, s, f"frames:prior=faces{o}"), x)
                rows.add(run, film=f"face {name}", task="faces", method=f"{label} {how}", solver=solver)


def head(rows: Rows, file: Path) -> None:
    """Thick slices of one head, none of which the prior was trained on."""
    import nibabel

    whole = np.asarray(nibabel.load(file).dataobj, dtype=np.float32)  # (x, y, z), 1 mm
    volume = torch.from_numpy(whole / np.quantile(whole, 0.999)).clamp(0, 1) * 2 - 1
    x = F.interpolate(volume.permute(2, 1, 0)[None, None], scale_factor=1 / 1.5, mode="trilinear", antialias=False)[0]
    x = x.flip(2)[:, 40:64, 16:128, 12:108].clamp(-1, 1).contiguous()
    A = build_operator("thick_slices:factor=4", tuple(x.shape))
    like = likelihood(A, Gaussian(0.02), Gaussian(0.02).sample(A(x[None]), Rng([1])))
    key = {"film": "one head", "task": "thick slices"}
    for name in ("nearest", "linear", "cubic"):
        rows.add(lambda name=name: {"psnr": round(psnr(between(like.y[0], 4, name), x), 2)}, method=name, **key)
    for label, solver, prior in (
        ("LMAPS, all directions", "lmaps:steps=12", "slices:prior=brain,planes=all"),
        ("LMAPS, all directions, coupled", "lmaps:steps=12", "slices:prior=brain,planes=all,couple=0.3"),
        ("LMAPS, one direction, coupled", "lmaps:steps=12", "slices:prior=brain,couple=0.15"),
    ):
        rows.add(lambda s=solver, p=prior: {"psnr": round(psnr(solved(like, s, p), x), 2)}, method=label, **key)


def between(y: Tensor, factor: int, kind: str) -> Tensor:
    """Thick slices (1, s, h, w) as `factor` times as many thin ones."""
    if kind == "nearest":
        return y.repeat_interleave(factor, 1)
    from scipy.interpolate import make_interp_spline

    thick = np.arange(y.shape[1]) * factor + (factor - 1) / 2
    curve = make_interp_spline(thick, y[0].double().numpy(), k={"linear": 1, "cubic": 3}[kind])
    places = np.arange(y.shape[1] * factor)
    inside = np.clip(places, thick[0], thick[-1])
    return torch.from_numpy(curve(inside)).float()[None]


# --- the page ---------------------------------------------------------------------------------


def picture(folder: Path) -> None:
    """docs/studies/film.gif: measured, OpenCV, frame by frame, coupled; ten frames with scratches and noise."""
    x = film(folder, FILMS[0], 10, 96)
    A = build_operator("scratches:count=4,width=1", tuple(x.shape))
    like = likelihood(A, Gaussian(0.2), Gaussian(0.2).sample(A(x[None]), Rng([1])))
    single, joined = (solved(like, LMAPS, f"frames:prior=photo{options}") for _, options in BOTH)
    classical, _ = best_nlm(like.y[0], x)
    wide = torch.cat([v.clamp(-1, 1) for v in (like.y[0], classical, single, joined)], -1)
    wide = F.interpolate(wide.transpose(0, 1), scale_factor=2, mode="nearest").transpose(0, 1)
    pages = [Image.fromarray(to_pixels(f)).quantize(128) for f in wide.unbind(1)]
    pages[0].save(DOCS / "film.gif", save_all=True, append_images=pages[1:], duration=120, loop=0, optimize=True)
    for name, v in (("measured", like.y[0]), ("OpenCV", classical), ("frame by frame", single), ("coupled", joined)):
        print("film.gif", name, scores(v, x), flush=True)


def table(rows: Rows, films: list[str], tasks: Sequence[str]) -> Iterator[str]:
    """Yields the lines of the table of videos: a block for each task, a column pair for each film."""
    yield "| | " + " | ".join(f"{f}: PSNR | flicker" for f in films) + " |"
    yield "|---" * (1 + 2 * len(films)) + "|"
    for task in tasks:
        yield f"| **{task}** |" + " |" * 2 * len(films)
        for method in dict.fromkeys(r["method"] for r in rows.of(task=task) if r["film"] in films):
            cells = []
            for name in films:
                (row,) = rows.of(task=task, method=method, film=name) or [{}]
                psnr_ = row.get("psnr")
                cells += ["" if psnr_ is None else f"{psnr_:.2f}", f"{row['flicker']:.3f}" if "flicker" in row else ""]
            strength = {r["h"] for r in rows.of(task=task, method=method) if "h" in r}
            note = f", h = {', '.join(map(str, sorted(strength)))}" if strength else ""
            yield f"| {method}{note} | " + " | ".join(cells) + " |"


def write_page(rows: Rows) -> None:
    """Puts the tables of the rows between the marks of the page."""
    films = [" and ".join(names) for names in FILMS]
    people = sorted({r["film"] for r in rows.of(task="faces")})
    slices = [
        "| | PSNR |",
        "|---|---|",
        *(f"| {r['method']} | {r['psnr']:.2f} |" for r in rows.of(task="thick slices")),
    ]
    old = [f"{back} and {front}" for back, front, *_ in OLD]
    light = [*table(rows, old, ("flickering light",))]
    blocks = {
        "videos": [*table(rows, films, (*TASKS,))],
        "light": light,
        "faces": [*table(rows, people, ("faces",))],
        "head": slices,
    }
    text = PAGE.read_text(encoding="utf-8")
    for name, lines in blocks.items():
        made = f"<!-- {name} -->\n" + "\n".join(lines) + "\n<!-- end -->"
        text = re.sub(rf"<!-- {name} -->\n.*?<!-- end -->", lambda _, made=made: made, text, flags=re.DOTALL)
    PAGE.write_text(text, encoding="utf-8")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path, help="of the photographs barbara, monarch, lenna, flowers")
    p.add_argument("--head", type=Path)
    p.add_argument("--faces", type=Path, help="faces_train.tar")
    args = p.parse_args()
    rows = Rows(ROWS)
    if args.head:
        head(rows, args.head)
    videos(rows, args.folder)
    old_films(rows, args.folder)
    if args.faces:
        faces(rows, args.faces)
    if not (DOCS / "film.gif").exists():
        picture(args.folder)
    write_page(rows)


if __name__ == "__main__":
    main()
