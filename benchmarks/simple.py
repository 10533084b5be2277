"""LMAPS beside the measurement itself, plain library calls, one call of the prior, and the other solvers.

    python -m benchmarks.simple FOLDER... [--size 128] [--count 15] [--few 5] \\
        [--page docs/ten_tasks.md] [--short README.md docs/simple_tools.md]

Each FOLDER holds photographs, of which the central squares of the first `count` colour ones are taken. The library is
scikit-image, Pillow or OpenCV. Whatever its call or the one call of the prior leaves open, a weight or a level, is
chosen by the truth, in the mean over the photographs, so that both are at least as good as a person would have them.
Solvers that ask the network often are run on the first `few` photographs, SITCOM on half of these. Rows stay in
`simple.jsonl` here, each with the code, the weights and the picture that made it: the same command again computes what
is missing or was made by others, and --table only writes the page. In full it takes about half an hour of one core with
AMX.
"""

import argparse
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from PIL import Image as Pictures
from torch import Tensor

from xhat.bench.stats import interval
from xhat.files.rows import Row

from .page import fill
from .simple_calls import LEVELS
from .simple_rows import MEASURED, TASKS, Table

FILE = Path(__file__).parent / "simple.jsonl"
LIBRARY, CALL = "a library's call", "one call of the prior"
LMAPS = "lmaps"  # 20 calls
MANY = (LMAPS, "hqs:steps=20", "pnp_admm:steps=20", "ddrm", "ddnm+:steps=50", "reddiff")  # on all photographs
FEW = (
    "red:steps=50",
    "ddnm:steps=50",
    "diffpir:steps=50",
    "pigdm:steps=50",
    "daps:steps=50,ode_steps=2,mcmc_steps=30",
    "dps:steps=60",
    "sitcom:steps=20,inner_steps=10",
)
SLOW = FEW[-1:]  # on half of those
DIGITS = {"psnr": 2, "ssim": 3, "stlpips": 3}


def crops(folders: list[Path], size: int, count: int) -> Tensor:
    """The central squares of the first colour photographs of the folders, (count, 3, size, size) in [−1, 1]."""
    found = []
    for path in itertools.chain.from_iterable(sorted(folder.iterdir()) for folder in folders):
        with Pictures.open(path) as picture:
            if picture.mode != "RGB" or min(picture.size) < size:
                continue
            left, top = (picture.width - size) // 2, (picture.height - size) // 2
            square = np.asarray(picture.crop((left, top, left + size, top + size)))
        if np.ptp(square.astype(int), axis=2).max() > 0:
            found.append(torch.from_numpy(square.copy()).permute(2, 0, 1) / 127.5 - 1)
    if len(found) < count:
        raise SystemExit(f"{len(found)} colour photographs of {size} pixels or more were found, not {count}")
    return torch.stack(found[:count])


def score(rows: Sequence[Row], metric: str) -> float | None:
    """The mean of a metric; None without rows, or if a run failed."""
    values = [r[metric] for r in rows]
    return None if not values or None in values else mean(values)


def lines_of(table: Table, task: str) -> dict[str, list[Row]]:
    """The rows of a task by the lines of the page; of the library's calls and the prior's levels the best in PSNR."""
    best = lambda made: max(made, key=lambda rows: score(rows, "psnr") or 0.0, default=[])
    library = [table.of(task, f"library {i}") for i in range(len(LEVELS) + 8)]
    lines = {
        MEASURED: table.of(task, MEASURED),
        LIBRARY: best(rows for rows in library if rows),
        CALL: best(table.of(task, f"prior {rho}") for rho in LEVELS),
    }
    return lines | {spec: table.of(task, spec) for spec in (*MANY, *FEW)}


def means(found: dict[str, dict[str, list[Row]]], metric: str) -> list[str]:
    """A table of means: a line a method, a column a task, and what a solver asks of the network."""
    lines = ["| | pictures | " + " | ".join(found) + " | calls | s |", "|---" * (len(found) + 4) + "|"]
    for name in (MEASURED, LIBRARY, CALL, *MANY, *FEW):
        mine = [rows[name] for rows in found.values()]
        if not any(mine):
            continue
        cells = [shown(score(rows, metric), DIGITS[metric]) if rows else "–" for rows in mine]
        whole = [r for rows in mine for r in rows]
        number = max(len(rows) for rows in mine)
        calls = " + ".join(spread([r[kind] for r in whole]) for kind in ("forwards", "backwards"))
        seconds = spread([r["seconds"] for r in whole], 1)
        lines.append(f"| {label(name)} | {number} | {' | '.join(cells)} | {calls.removesuffix(' + 0')} | {seconds} |")
    return lines


def shown(value: float | None, digits: int) -> str:
    """A number for the page; what failed says so."""
    return "failed" if value is None else f"{value:.{digits}f}"


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The smallest and the largest of some numbers, one of them if they are the same."""
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low}–{high}"


def label(name: str) -> str:
    """A method as the page writes it."""
    return f"`{name}`" if name in (*MANY, *FEW) else name


def gains(found: dict[str, dict[str, list[Row]]]) -> list[str]:
    """What LMAPS gains over each method in PSNR, with the 95 % interval of the paired differences."""
    lines = ["| LMAPS over | pictures | " + " | ".join(found) + " |", "|---" * (len(found) + 2) + "|"]
    for name in (MEASURED, LIBRARY, CALL, *MANY[1:], *FEW):
        mine = [rows[name] for rows in found.values()]
        if any(mine):
            cells = [over(rows[LMAPS], rows[name]) for rows in found.values()]
            lines.append(f"| {label(name)} | {max(map(len, mine))} | {' | '.join(cells)} |")
    tools = [best(rows, (MEASURED, LIBRARY)) for rows in found.values()]
    lines.append(f"| the better of the first two | | {' | '.join(map(bare, found.values(), tools))} |")
    rivals = [best(rows, (*MANY[1:], *FEW)) for rows in found.values()]
    lines.append(f"| the best other solver | | {' | '.join(map(bare, found.values(), rivals))} |")
    named = ["–" if name is None else f"`{name.partition(':')[0]}`" for name in rivals]
    lines.append(f"| which is | | {' | '.join(named)} |")
    return lines


def short(found: dict[str, dict[str, list[Row]]]) -> list[str]:
    """The table of the README: PSNR of the plain rows, of half-quadratic steps and of LMAPS, and what it gains."""
    found = {task: rows for task, rows in found.items() if task != "phase"}
    lines = ["| | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    for name in (MEASURED, LIBRARY, CALL, MANY[1], LMAPS):
        cells = [shown(score(rows[name], "psnr"), 2) if rows[name] else "–" for rows in found.values()]
        lines.append(f"| {'half-quadratic steps' if name == MANY[1] else name} | {' | '.join(cells)} |")
    rivals = {
        "the best of the first two": (MEASURED, LIBRARY),
        CALL: (CALL,),
        "the best other solver": (*MANY[1:], *FEW),
    }
    for title, names in rivals.items():
        cells = [bare(rows, best(rows, names)) for rows in found.values()]
        lines.append(f"| LMAPS over {title} | {' | '.join(cells)} |")
    return lines


def best(rows: dict[str, list[Row]], names: Iterable[str]) -> str | None:
    """Of several methods the one over which LMAPS gains least, on the pictures that each has."""
    found = {n: gain for n in names if (gain := paired(rows[LMAPS], rows[n]))}
    return min(found, key=lambda n: mean(found[n])) if found else None


def bare(rows: dict[str, list[Row]], name: str | None) -> str:
    """What LMAPS gains over the method `name`."""
    return "–" if name is None else over(rows[LMAPS], rows[name])


def paired(mine: Sequence[Row], other: Sequence[Row]) -> list[float]:
    """The differences in PSNR on the pictures that both have."""
    theirs = {r["picture"]: r["psnr"] for r in other}
    both = [(r["psnr"], theirs[r["picture"]]) for r in mine if r["picture"] in theirs]
    return [] if any(None in pair for pair in both) else [a - b for a, b in both]


def over(mine: Sequence[Row], other: Sequence[Row]) -> str:
    """What the first gains over the second in dB, with the 95 % interval of paired differences."""
    found = paired(mine, other)
    if len(found) < 2:
        return "–"
    gain = interval(found)
    return f"{gain.value:+.2f} ± {gain.half:.2f}"


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--count", type=int, default=15)
    parser.add_argument("--few", type=int, default=5)
    parser.add_argument(
        "--table", action="store_true", help="compute nothing: write the page of the rows that are there"
    )
    parser.add_argument("--page", type=Path)
    parser.add_argument("--short", type=Path, nargs="*", default=[])
    args = parser.parse_args()
    table = Table(FILE, crops(args.folders, args.size, args.count))
    number = dict.fromkeys(MANY, args.count) | dict.fromkeys(FEW, args.few) | dict.fromkeys(SLOW, (args.few + 1) // 2)
    for task in () if args.table else TASKS:
        table.plain(task)
    for spec in () if args.table else (*MANY, *FEW):
        for task in TASKS:
            if task != "phase" or spec == LMAPS:
                table.solved(task, spec, number[spec])
    table.kept((*MANY, *FEW))
    found = {task: lines_of(table, task) for task in TASKS}
    pages = {f"simple-{metric}": means(found, metric) for metric in DIGITS} | {"simple-gains": gains(found)}
    for name, lines in pages.items():
        print(name, *lines, sep="\n")
        if args.page:
            fill(args.page, name, "\n".join(lines))
    for page in args.short:
        fill(page, "simple", "\n".join(short(found)))


if __name__ == "__main__":
    main()
