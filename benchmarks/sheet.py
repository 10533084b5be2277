"""All solvers of a run on one image: a row a task, tiles of truth, measurement and every restoration.

    python -m benchmarks.sheet runs/latent astronaut.png -o docs/latent.png

The run must have been made with `xhat bench --keep-images`.
"""

import argparse
from pathlib import Path

from PIL import Image
from torch import Tensor

from xhat import load_image
from xhat.bench.folder import RunFolder
from xhat.bench.stats import row_for, value
from xhat.figures.panel import Tile, panel


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run", type=Path)
    p.add_argument("image")
    p.add_argument("-o", "--out", type=Path, required=True)
    p.add_argument("--cell", type=int, default=144, help="pixels of a tile")
    p.add_argument("--width", type=int, default=2400, metavar="W", help="at most, of the picture; default: 2400")
    p.add_argument("--task", action="append", help="only these")
    p.add_argument("--columns", type=int, default=0, metavar="N", help="of a task; default: all in one row")
    args = p.parse_args()
    folder = RunFolder(args.run)
    rows = [r for r in folder.rows() if r["image"] == args.image and r["status"] == "ok"]
    rows = [r for r in rows if not args.task or r["task"] in args.task]
    tasks = {r["task"]: [] for r in rows}
    for r in rows:
        tiles: list[Tile] = tasks[r["task"]]
        if not tiles:
            tiles.append(("truth", picture(folder, r, "truth")))
            y = picture(folder, r, "y")
            if y is not None and max(y.shape[1:]) < 4 * min(y.shape[1:]):  # else no picture, as k-space is none
                tiles.append((f"{r['task']}\nmeasured", y))
        name, score = next((k, v) for k in r["metrics"] if (v := value(r, k)) is not None)
        tiles.append((f"{r['label']}\n{row_for(name).text(score)}", picture(folder, r, "x")))
    lines = [t[i : i + n] for t in tasks.values() for n in [args.columns or len(t)] for i in range(0, len(t), n)]
    sheet = panel(lines, args.cell)
    if sheet.width > args.width:
        sheet = sheet.resize((args.width, round(sheet.height * args.width / sheet.width)), Image.Resampling.LANCZOS)
    if args.out.suffix == ".png":
        sheet = sheet.convert("P", palette=Image.Palette.ADAPTIVE)
    sheet.save(args.out, optimize=True, quality=85)


def picture(folder: RunFolder, row: dict, name: str) -> Tensor | None:
    file = folder.picture(row, name)
    return None if file is None else load_image(file)


if __name__ == "__main__":
    main()
