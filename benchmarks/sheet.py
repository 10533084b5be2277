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
from xhat.panel import Tile, panel


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run", type=Path)
    p.add_argument("image")
    p.add_argument("-o", "--out", type=Path, required=True)
    p.add_argument("--cell", type=int, default=144, help="pixels of a tile")
    args = p.parse_args()
    folder = RunFolder(args.run)
    rows = [r for r in folder.rows() if r["image"] == args.image and r["status"] == "ok"]
    tasks = {r["task"]: [] for r in rows}
    for r in rows:
        tiles: list[Tile] = tasks[r["task"]]
        if not tiles:
            tiles.append(("truth", picture(folder, r, "truth")))
            tiles.append((f"{r['task']}\nmeasured", picture(folder, r, "y")))
        tiles.append((f"{r['label'].split(':')[0]}\n{r['metrics']['psnr']:.1f} dB", picture(folder, r, "x")))
    sheet = panel(list(tasks.values()), args.cell)
    sheet.convert("P", palette=Image.Palette.ADAPTIVE).save(args.out, optimize=True)


def picture(folder: RunFolder, row: dict, name: str) -> Tensor | None:
    file = folder.picture(row, name)
    return None if file is None else load_image(file)


if __name__ == "__main__":
    main()
