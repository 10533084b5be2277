"""What a person with damaged pictures gets: ten tasks as they are said, and blurs that nobody knows, by `xhat fix`.

    python -m benchmarks.damaged ten FOLDER [--page docs/simple_tools.md]
    python -m benchmarks.damaged blur FOLDER [--page docs/simple_tools.md]
    python -m benchmarks.damaged shake FOLDER [--page docs/simple_tools.md]
    python -m benchmarks.damaged coded FOLDER [--page docs/simple_tools.md]

FOLDER holds photographs, of which the middle of the first colour ones are damaged. `--only NAME...` takes some of them,
for blur and shake, and leaves the rows of the others on the page as they are. Every task is one command of the command
line, and beside it stands the simple tool that people name for it, of OpenCV, scikit-image or Pillow with the options
that its documentation shows.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageFilter
from scipy.ndimage import shift
from skimage.metrics import peak_signal_noise_ratio
from skimage.registration import phase_cross_correlation
from skimage.restoration import estimate_sigma, wiener

from xhat.cli.arguments import main as xhat
from xhat.operators.blind_blur import gaussians
from xhat.operators.kernel_blur import correlation
from xhat.operators.kernels import motion_kernels
from xhat.operators.out_of_focus import disc

from .page import fill, table_of

Pixels = np.ndarray  # (h, w, 3) uint8
SIDE = 192
FARTHEST = 3.0  # pixels that an unknown blur may have moved a picture by
SHAKEN = 256  # pixels of a shaken photograph's sides, or all that it has


def photographs(folder: Path, count: int, side: int = SIDE) -> list[tuple[str, Pixels]]:
    """The names and the middles, `side` x `side`, of the first colour photographs of `folder`, of SIDE at least."""
    found = []
    for path in sorted(folder.rglob("*.png")):
        with Image.open(path) as picture:
            x = np.asarray(picture.convert("RGB"))
        if min(x.shape[:2]) >= SIDE and np.ptp(x.astype(int), axis=2).max() > 0:
            top, left = (max(0, (n - side) // 2) for n in x.shape[:2])
            found.append((path.stem, x[top : top + side, left : left + side].copy()))
    return found[:count]


def noisy(x: Pixels, sigma: float, seed: int) -> Pixels:
    """With white noise of `sigma` grey levels."""
    more = np.random.default_rng(seed).normal(0, sigma, x.shape)
    return np.clip(x + more, 0, 255).round().astype(np.uint8)


def blurred(x: Pixels, kernel: torch.Tensor, sigma: float, seed: int) -> Pixels:
    """Behind a kernel, with noise of `sigma` grey levels."""
    t = torch.from_numpy(x).permute(2, 0, 1)[None].double()
    y = correlation(tuple(t.shape[1:]), kernel[None], "reflect").double()(t)[0].permute(1, 2, 0).numpy()
    return noisy(y, sigma, seed)


def gauss(std: float) -> torch.Tensor:
    """A Gaussian kernel."""
    return gaussians(2 * int(4 * std + 0.5) + 1, torch.tensor([std], dtype=torch.float64))[0]


def shake(size: int, seed: int) -> torch.Tensor:
    """The path of a camera."""
    return motion_kernels(size, 0.5, seed)[0]


def scratches(seed: int) -> Pixels:
    """A mask of thin lines."""
    g, m = np.random.default_rng(seed), np.zeros((SIDE, SIDE), np.uint8)
    for _ in range(6):
        a, b = (tuple(int(v) for v in g.integers(0, SIDE, 2)) for _ in range(2))
        cv2.line(m, a, b, 255, 3)
    return m


def telea(x: Pixels, mask: Pixels) -> Pixels:
    """OpenCV's inpainting."""
    return cv2.inpaint(x, mask, 3, cv2.INPAINT_TELEA)


def nlm(x: Pixels) -> Pixels:
    """OpenCV's non-local means, at the noise that scikit-image estimates."""
    level = max(3.0, float(estimate_sigma(x, channel_axis=-1, average_sigmas=True)))
    return cv2.fastNlMeansDenoisingColored(x, None, level, level, 7, 21)


def unsharp(x: Pixels) -> Pixels:
    """Pillow's unsharp mask with its own options."""
    return np.asarray(Image.fromarray(x).filter(ImageFilter.UnsharpMask()))


def filtered(x: Pixels, std: float) -> Pixels:
    """Wiener's filter with a Gaussian."""
    planes = [wiener(p, gauss(std).numpy(), 0.1) for p in np.moveaxis(x / 255.0, -1, 0)]
    return np.clip(255 * np.stack(planes, -1), 0, 255).round().astype(np.uint8)


def psnr(x: Pixels, truth: Pixels) -> float:
    """In dB."""
    return float(peak_signal_noise_ratio(truth, x))


def fixed(name: str, *options: str) -> Pixels:
    """What `xhat fix` makes of a file in this folder."""
    if code := xhat(["fix", name, "-o", "out.png", "--overwrite", "-q", *options]):
        raise SystemExit(f"xhat fix {name} {' '.join(options)}: {code}")
    return np.asarray(Image.open("out.png").convert("RGB"))


def saved(x: Pixels, name: str, **options: int) -> Pixels:
    """Writes a picture, and returns it as it is read."""
    Image.fromarray(x).save(name, **options)
    return np.asarray(Image.open(name))


def registered(x: Pixels, truth: Pixels) -> Pixels:
    """Moved to where it fits best, by parts of a pixel, if that helps: its blur does not tell where a picture lies."""
    by, _, _ = phase_cross_correlation(truth.mean(2), x.mean(2), upsample_factor=20, normalization=None)
    if np.abs(by).max() > FARTHEST:
        return x
    moved = shift(x.astype(float), (*by, 0), order=3, mode="nearest").clip(0, 255).round().astype(np.uint8)
    return max(x, moved, key=lambda v: psnr(v, truth))


# what is said, the command, before, the tool, its result, ours; and ours registered, where the camera was shaken
Row = tuple[str, str, float, str, float, *tuple[float, ...]]


def ten(photos: list[tuple[str, Pixels]]) -> list[Row]:
    """Ten tasks, each on another photograph."""
    rows: list[Row] = []

    def add(said: str, name: str, command: str, y: Pixels, tool: str, simple: Pixels, truth: Pixels) -> None:
        ours = fixed(name, *command.split())
        rows.append((said, command, psnr(y, truth), tool, psnr(simple, truth), psnr(ours, truth)))
        print(*(f"{v:.2f}" if isinstance(v, float) else v for v in rows[-1]), sep=" | ", flush=True)

    pick = iter([x for _, x in photos])
    x = next(pick)
    m = scratches(1)
    y = saved(np.where(m[..., None] > 0, np.uint8([255, 0, 0]), x), "red.png")
    add("remove the scratches I painted red", "red.png", "--scratches red", y, "Telea", telea(y, m), x)
    x = next(pick)
    y = saved(blurred(x, gauss(1.5), 2.0, 2), "holiday.png")
    add("sharpen these holiday pictures", "holiday.png", "--deblur", y, "unsharp mask", unsharp(y), x)
    x = next(pick)
    y = saved(saved(x, "m.jpg", quality=25), "meme.jpg", quality=20)
    add("this meme is full of JPEG dirt", "meme.jpg", "", y, "NLM", nlm(y), x)
    x = next(pick)
    small = saved(np.asarray(Image.fromarray(x).resize((SIDE // 4,) * 2, Image.Resampling.BICUBIC)), "thumb.png")
    big = lambda how: np.asarray(Image.fromarray(small).resize((SIDE, SIDE), how))
    add("enlarge my thumbnail", "thumb.png", "--enlarge 4", big(0), "Lanczos", big(1), x)
    x = next(pick)
    y, m = stamped(x)
    add("the date stamp must go", "stamp.png", "--scratches mask.png", y, "Telea", telea(y, m), x)
    x = next(pick)
    dark = (x * 0.4).round().astype(np.uint8)
    light = np.random.default_rng(6).poisson(dark * 0.5) / 0.5
    y = saved(noisy(light, 4.0, 6), "night.png")
    add("dark and grainy night photograph", "night.png", "", y, "NLM", nlm(y), dark)
    x = next(pick)
    y = saved(blurred(x, shake(21, 7), 1.3, 7), "moved.png")
    add("I moved the camera", "moved.png", "--deblur", y, "Wiener, std 2", filtered(y, 2.0), x)
    x = np.repeat(np.asarray(Image.fromarray(next(pick)).convert("L"))[..., None], 3, 2)
    m = (
        cv2.dilate((np.random.default_rng(8).random((SIDE, SIDE)) < 0.003).astype(np.uint8), np.ones((3, 3))) * 255
    ).astype(np.uint8)
    y = np.where(m[..., None] > 0, np.uint8(255), noisy(x, 2.0, 8)[..., :1].repeat(3, 2))
    saved(y[..., 0], "grey.png")
    saved(m, "dust.png")
    add("grey scan with dust", "grey.png", "--scratches dust.png", y, "Telea", telea(y, m), x)
    x = next(pick)
    y = saved(x, "shot.jpg", quality=10)
    add("the screenshot was saved at quality 10", "shot.jpg", "", y, "NLM", nlm(y), x)
    x = next(pick)
    m = np.zeros((SIDE, SIDE), np.uint8)
    m[60:88, 70:114] = 255
    saved(np.dstack([np.where(m[..., None] > 0, np.uint8(0), x), 255 - m]), "hole.png")
    y = np.where(m[..., None] > 0, np.uint8(0), x)
    add("a logo was cut out, 44 x 28", "hole.png", "", y, "Telea", telea(y, m), x)
    return rows


CODED = ((15, ".jpg", 85), (10, ".jpg", 60), (0, ".webp", 30), (0, ".webp", 60))  # noise, format, quality


def stamped(x: Pixels) -> tuple[Pixels, Pixels]:
    """A photograph with the date, saved as `stamp.png`, and where the date is, saved as `mask.png`."""
    m = np.zeros((SIDE, SIDE), np.uint8)
    cv2.putText(m, "24.12.'98", (90, 175), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 3)
    m = np.where(m > 0, np.uint8(255), np.uint8(0))  # OpenCV smooths letters
    return saved(np.where(m[..., None] > 0, np.uint8([255, 140, 0]), x), "stamp.png"), saved(m, "mask.png")


def stamps(photos: list[tuple[str, Pixels]]) -> list[Row]:
    """The date on each photograph."""
    rows: list[Row] = []
    for name, x in photos:
        y, m = stamped(x)
        ours = fixed("stamp.png", "--scratches", "mask.png")
        rows.append((name, "--scratches mask.png", psnr(y, x), "Telea", psnr(telea(y, m), x), psnr(ours, x)))
        print(*(f"{v:.2f}" if isinstance(v, float) else v for v in rows[-1]), sep=" | ", flush=True)
    return rows


def coded(photos: list[tuple[str, Pixels]]) -> list[Row]:
    """Noisy photographs that were saved as JPEG, and clean ones as WebP, of whose damage the file tells little."""
    rows: list[Row] = []
    for j, (name, x) in enumerate(photos):
        sigma, suffix, quality = CODED[j % len(CODED)]
        y = saved(noisy(x, sigma, j) if sigma else x, f"c{suffix}", quality=quality)
        said = f"{name}: {f'noise {sigma}, ' if sigma else ''}{suffix[1:].upper()} {quality}"
        rows.append((said, "", psnr(y, x), "NLM", psnr(nlm(y), x), psnr(fixed(f"c{suffix}"), x)))
        print(*(f"{v:.2f}" if isinstance(v, float) else v for v in rows[-1]), sep=" | ", flush=True)
    return rows


KERNELS: tuple[tuple[str, Callable[[int], torch.Tensor]], ...] = (
    ("Gaussian 1.2", lambda j: gauss(1.2)),
    ("disc 5", lambda j: disc(5.0)),
    ("Gaussian 2", lambda j: gauss(2.0)),
    ("disc 3", lambda j: disc(3.0)),
)


def blur(photos: list[tuple[str, Pixels]], shaken: bool, only: list[str]) -> list[Row]:
    """A blur of each photograph: camera shake at sigma 0.01, or in turn two Gaussians and two discs, noise of 1 to 3
    grey levels, and JPEG of quality 75 to 95 for every second one. `only` names photographs, all if it is empty.
    """
    rows: list[Row] = []
    for j, (name, x) in enumerate(photos):
        if only and name not in only:
            continue
        kind, kernel = (
            ("shake", shake((21, 31)[j % 2], 40 + j)) if shaken else (KERNELS[j % 4][0], KERNELS[j % 4][1](j))
        )
        sigma, quality = 1.275 if shaken else 1.0 + j % 3, None if shaken or j % 2 == 0 else (75, 85, 95)[j // 2 % 3]
        y = blurred(x, kernel, sigma, j)
        file = "b.png" if quality is None else "b.jpg"
        y = saved(y, file, **({} if quality is None else {"quality": quality}))
        ours = fixed(file, "--deblur")
        np.save("k.npy", kernel.numpy())
        noise = ["--noise", f"gaussian:sigma={max(sigma, 2.0 if quality else 1.0) / 127.5:.3g}"]
        if code := xhat(
            ["restore", file, "--operator", "blur:kernel=k.npy", *noise, "-o", "k.png", "--overwrite", "-q"]
        ):
            raise SystemExit(f"restore: {code}")
        known = np.asarray(Image.open("k.png"))
        said = f"{name}: {kind}, noise {sigma:g}" + (f", JPEG {quality}" if quality else "")
        found = [ours, registered(ours, x)] if shaken else [ours]
        rows.append((said, "--deblur", psnr(y, x), "known kernel", psnr(known, x), *(psnr(v, x) for v in found)))
        print(*(f"{v:.2f}" if isinstance(v, float) else v for v in rows[-1]), sep=" | ", flush=True)
    return rows


def table(rows: list[Row]) -> str:
    """In Markdown."""
    more = len(rows[0]) > 6
    lines = [
        f"| | `xhat fix` with | damaged | the tool | dB | xhat |{' registered |' * more}",
        "|---" * (6 + more) + "|",
    ]
    for said, command, y, tool, simple, *ours in rows:
        told = f"| {said} | {f'`{command}`' if command else 'nothing'} | {y:.2f} | {tool} | {simple:.2f} |"
        lines.append(told + "".join(f" {v:.2f} |" for v in ours))
    return "\n".join(lines)


def merged(page: Path, name: str, new: str) -> str:
    """The table `name` of a page with the rows of `new` in place of those of the same photographs."""
    photograph = lambda line: line.split(":")[0]
    head, rows = new.splitlines()[:2], {photograph(line): line for line in new.splitlines()[2:]}
    before = table_of(page, name).splitlines()[2:]
    return "\n".join([*head, *(rows.get(photograph(line), line) for line in before)])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("ten", "stamp", "blur", "shake", "coded"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    args = parser.parse_args()
    photos = photographs(args.folder, args.count, SHAKEN if args.part == "shake" else SIDE)
    if args.only and args.part not in ("blur", "shake"):
        parser.error(f"--only is for blur and shake, not for {args.part}")
    if unknown := set(args.only) - {name for name, _ in photos}:
        parser.error(f"--only: no photograph is called {', '.join(sorted(unknown))}")
    page = args.page and args.page.resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        known = {"ten": ten, "stamp": stamps, "coded": coded}.get(args.part)
        rows = known(photos) if known else blur(photos, args.part == "shake", args.only)
        os.chdir("/")
    made, place = table(rows), f"damaged-{args.part}"
    print(made)
    if page:
        fill(page, place, merged(page, place, made) if args.only else made)


if __name__ == "__main__":
    main()
