"""The tables `m87`, `modes` and `likeness` and the figure of docs/black_hole.md: M87 on each day and in each band, what
the best of several starts is, and how far it hangs on the random numbers instead of the day.

    python -m benchmarks.m87_modes FOLDER KEPT

FOLDER holds the files of the EHT's release 2019-D01-01. Modes are kept in KEPT, a file for every 16 starts, and not
computed again. Start i has the same random numbers on every day.
"""

import math
import sys
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

import xhat
from xhat.bench import stats
from xhat.operators import OPERATORS
from xhat.science.vlbi.estimate import described
from xhat.science.vlbi.metrics import nxcorr, ring
from xhat.science.vlbi.noise import VLBI
from xhat.science.vlbi.observation import MICROARCSECOND
from xhat.science.vlbi.operator import BlackHole
from xhat.science.vlbi.reader import read_observation
from xhat.spec import build

from .page import ROOT, fill

NAMES = {"095": "5 April", "096": "6 April", "100": "10 April", "101": "11 April"}
STARTS, CHUNK = 64, 16
COMMAND = 32  # starts of the page's command
SIZES = (1, 4, 16, 32)  # starts of a set, whose best mode is compared
PAGE = ROOT / "docs" / "black_hole.md"


@dataclass(frozen=True)
class Day:
    """What all starts came to on one day in one band, in the order of their seeds."""

    x: Tensor  # (STARTS, h, w)
    score: Tensor  # −log posterior, (STARTS,)
    spec: str
    A: BlackHole
    measured: list[dict[str, float]]  # of each image, by `measured`

    def best(self, size: int) -> Tensor:
        """The numbers of the best starts of the sets 0 to size − 1, size to 2 size − 1, and so on."""
        first = torch.arange(0, STARTS, size)
        return first + self.score.reshape(-1, size).argmin(1)


def measured(x: Tensor, pixel: float) -> dict[str, float]:
    """What `ring` says of an image (1, h, w), and whether it is one by the page's rule."""
    found = ring((x[0] + 1) / 2, pixel)
    return found | {"is": found["spread"] < 0.15 * found["diameter"] and found["centre_to_ring"] < 0.5}


def day(file: Path, kept: Path) -> Day:
    """All starts on `file`, those that are not in `kept` computed and put there."""
    parts = []
    for first in range(0, STARTS, CHUNK):
        place = kept / f"{file.stem}_{first}.pt"
        if not place.exists():
            r = xhat.restore(file, prior="blackhole", solver="map", starts=CHUNK, seed=first, batch_size=8)
            assert r.modes is not None
            kept.mkdir(parents=True, exist_ok=True)
            torch.save({"x": r.modes.images[:, 0], "score": r.modes.score, "seeds": r.modes.seeds}, place)
        found = torch.load(place)
        order = torch.tensor(found["seeds"]).argsort()
        parts.append((found["x"][order], found["score"][order]))
    observation = read_observation(file)
    spec = described(observation, 64 * 64)
    A = build(spec, OPERATORS, (1, 64, 64), known={"observation": observation})
    assert isinstance(A, BlackHole)
    x, place = torch.cat([x for x, _ in parts]), kept / f"{file.stem}_rings.pt"
    if not place.exists():
        torch.save([measured(v[None], A.pixel / MICROARCSECOND) for v in x], place)
    return Day(x, torch.cat([s for _, s in parts]), spec, A, torch.load(place))


def alike(a: Tensor, b: Tensor) -> Tensor:
    """The correlation at the best shift of each image of `a` (n, h, w) with each of `b` (m, h, w), (n, m)."""
    return torch.stack([nxcorr(one.expand(len(b), 1, *one.shape), b[:, None]) for one in a])


def shifted(x: Tensor, to: Tensor) -> Tensor:
    """Images (n, h, w) of mean 0 and norm 1, each moved round to where it is most like `to` (h, w)."""
    x = x - x.mean((1, 2), keepdim=True)
    x = x / x.norm(dim=(1, 2), keepdim=True)
    peaks = torch.fft.ifft2(torch.fft.fft2(to) * torch.fft.fft2(x).conj()).real.flatten(1).argmax(1)
    rows = (torch.roll(v, divmod(int(p), x.shape[2]), (0, 1)) for v, p in zip(x, peaks, strict=True))
    return torch.stack(list(rows))


def ratios(x: Tensor) -> tuple[float, float]:
    """F of the days and F of the sets in an analysis of variance of images (days, sets, h, w) after the best shifts.

    Each is the mean square of that effect over that of what neither explains, in all pixels together, and 1 where there
    is no such effect.
    """
    days, sets = x.shape[:2]
    flat = x.flatten(0, 1)
    reference = flat[0] - flat[0].mean()
    for _ in range(3):
        moved = shifted(flat, reference)
        reference = moved.mean(0)
    moved = moved.reshape(x.shape)
    middle = moved.mean((0, 1))
    of_day, of_set = moved.mean(1) - middle, moved.mean(0) - middle
    rest = moved - middle - of_day[:, None] - of_set[None]
    mean_square = rest.square().sum() / ((days - 1) * (sets - 1))
    by_day = sets * of_day.square().sum() / (days - 1)
    by_set = days * of_set.square().sum() / (sets - 1)
    return float(by_day / mean_square), float(by_set / mean_square)


def pairs(x: Tensor) -> tuple[float, float, float]:
    """Mean likeness of images (days, sets, h, w): same day and other set, same set and other day, neither the same."""
    days, sets = x.shape[:2]
    same = torch.eye(sets, dtype=torch.bool)
    one = torch.cat([alike(v, v)[~same] for v in x])
    across = torch.stack([alike(x[a], x[b]) for a, b in combinations(range(days), 2)])
    return float(one.mean()), float(across[:, same].mean()), float(across[:, ~same].mean())


def interval(values: list[float]) -> str:
    """Mean ± half a 95 % interval by Student."""
    found = stats.interval(values)
    return f"{found.value:.1f} ± {found.half:.1f}"


def sides(values: list[float]) -> str:
    """`interval` of angles in degrees, about their circular mean."""
    a = [math.radians(v) for v in values]
    middle = math.atan2(sum(map(math.sin, a)), sum(map(math.cos, a)))
    found = interval([math.degrees(middle + math.remainder(v - middle, math.tau)) % 360 for v in a])
    return " ± ".join(f"{float(v):.0f}" for v in found.split(" ± "))


def shown(found: list[dict[str, float]]) -> str:
    """Diameter, that of a thin ring, and bright side of several images, with intervals."""
    values = ([m[k] for m in found] for k in ("diameter", "thin", "position_angle"))
    diameter, thin, angle = values
    return f"{interval(diameter)} | {interval(thin)} | {sides(angle)}"


def main() -> None:
    folder, kept = Path(sys.argv[1]), Path(sys.argv[2])
    table = [
        "| data | starts that end at a ring | the best of 32 | diameter ± scatter, µas | width "
        "| bright side, ° east of north | χ²(φ) / χ²(ln A) | −log posterior |",
        "|---" * 8 + "|",
    ]
    sizes = [
        "| data | rings | diameter, µas | of the thin ring | bright side, ° east of north |",
        "|---" * 5 + "|",
    ]
    likeness = [
        "| band | starts of a set | sets | same day, other set | same set, other day | other set, other day "
        "| F of days | F of sets |",
        "|---" * 8 + "|",
    ]
    bests: list[dict[str, float]] = []
    figure = Figure(figsize=(11, 6), dpi=90, layout="constrained")
    panels = figure.subplots(2, 4)
    for row, band in enumerate(("lo", "hi")):
        days = {}
        for column, (key, name) in enumerate(NAMES.items()):
            (file,) = folder.glob(f"*_{key}_{band}_*.uvfits")
            days[key] = d = day(file, kept)
            rings = sum(bool(m["is"]) for m in d.measured)
            best = int(d.best(COMMAND)[0])
            x = d.x[best][None, None]
            y = torch.view_as_real(torch.from_numpy(d.A.observation.vis).to(torch.complex64))[None]
            chi = {k: float(v) for k, v in VLBI().bind(d.A.detector).fit(y, d.A(x)).items()}
            m, sets = d.measured[best], [d.measured[int(i)] for i in d.best(CHUNK)]
            bests.append(m)
            table.append(
                f"| {name} {band} | {rings} of {STARTS} | {'ring' if m['is'] else 'no ring'} "
                f"| {m['diameter']:.1f} ± {m['spread']:.1f} | {m['width']:.1f} | {m['position_angle']:.0f} "
                f"| {chi['chi2_cp']:.2f} / {chi['chi2_lca']:.2f} | {float(d.score[best]):.0f} |"
            )
            sizes.append(f"| {name} {band} | {sum(bool(s['is']) for s in sets)} of {len(sets)} | {shown(sets)} |")
            print(table[-1], d.spec, flush=True)
            axes = panels[row, column]
            half = d.A.pixel / MICROARCSECOND * x.shape[-1] / 2
            axes.imshow((x[0, 0] + 1) / 2, cmap="afmhot", vmin=0, extent=(half, -half, -half, half))
            axes.set_title(f"{name}, {band} band", fontsize=10)
            axes.set_xlabel("relative RA (µas)", fontsize=8)
        for size in SIZES:
            x = torch.stack([d.x[d.best(size)] for d in days.values()])
            numbers = " | ".join(f"{v:.3f}" for v in pairs(x))
            by_day, by_set = ratios(x)
            likeness.append(f"| {band} | {size} | {x.shape[1]} | {numbers} | {by_day:.1f} | {by_set:.1f} |")
            print(likeness[-1], flush=True)
    sizes.append(f"| the best of 32 of all eight | {sum(bool(m['is']) for m in bests)} of 8 | {shown(bests)} |")
    fill(PAGE, "m87", "\n".join(table))
    fill(PAGE, "modes", "\n".join(sizes))
    fill(PAGE, "likeness", "\n".join(likeness))
    figure.savefig(ROOT / "docs" / "m87.png")


if __name__ == "__main__":
    main()
