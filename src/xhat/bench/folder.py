"""The folder of a run: records, the grid they belong to, pictures. It is refused before any work if it cannot be
used.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError
from ..files import record
from ..files.folder import check_folder, check_free
from ..files.inside import inside
from ..files.pictures import save_array, save_image
from ..files.rows import Row, Rows, begun, flat, parquet
from ..files.writing import settle
from .evaluate import Done
from .grid import Cell, Grid, as_rows, short
from .schema import validate
from .stats import value

WRITTEN = ("bench.json", "records.jsonl", "records.parquet", "sets.json", "images")
ROW_BYTES = 4096  # an upper bound for the size of a record


class RunFolder:
    """`records.jsonl` with one record per image, `bench.json` with the grid, and `images/` with the pictures that are
    kept.

    Raises DataError if the folder cannot be used or holds records of another schema.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        check_folder(path)
        self.records: Rows[str] = Rows(path / "records.jsonl", _key)
        for number, row in enumerate(self.records.rows.values(), 1):
            validate(row, f"{path / 'records.jsonl'}, record {number}")

    def check_space(self, records: int, image_bytes: int = 0) -> None:
        """Raises DataError if the disk is too full for `records` records with `image_bytes` each, which it tests by
        writing.
        """
        need = records * (ROW_BYTES + image_bytes)
        probe = self.path / ".space"
        try:
            free = shutil.disk_usage(self.path).free
            with probe.open("wb") as file:
                file.write(b"\0" * min(need, 1 << 20))
            settle(probe)
        except OSError as e:
            raise DataError(f"{self.path}: cannot be written ({e.strerror})") from e
        finally:
            probe.unlink(missing_ok=True)
        if free < need:
            raise DataError(f"{self.path}: needs about {need / 1e6:.0f} MB, and the disk has {free / 1e6:.0f} MB left")

    def describe(self, grid: Grid, cells: Sequence[Cell]) -> None:
        """Writes what a report needs to know about the grid; cells of an earlier grid in the folder are kept."""
        old = record.read(self.path / "bench.json")
        kept = {c["id"]: c for c in old.get("cells", [])} | {c["id"]: c for c in as_rows(cells)}
        ours = {k: getattr(grid, k) for k in ("title", "about", "metrics", "baseline", "published")}
        sizes = old.get("batch_sizes", {})
        record.write(self.path / "bench.json", {**ours, "cells": list(kept.values()), "batch_sizes": sizes})

    def batch_sizes(self, new: dict[str, int] | None = None) -> dict[str, int]:
        """The batch sizes that were found by memory, after adding `new` ones, so that a resumed run uses the same."""
        content = record.read(self.path / "bench.json")
        sizes: dict[str, int] = content.get("batch_sizes", {})
        if new:
            sizes = {**sizes, **new}
            record.write(self.path / "bench.json", {**content, "batch_sizes": sizes})
        return sizes

    def missing(self, keys: Iterable[str]) -> set[str]:
        """Those of `keys` that have no record; records that ended with an error count as missing."""
        return self.records.missing(keys)

    def add(self, done: Sequence[Done]) -> None:
        """Adds pictures and then, in one write, all records, so that a record with pictures always has them."""
        for d in done:
            for name, (x, shown) in d.pictures.items():
                keep(self.path / "images", _picture_name(d.row, name), x, shown)
        self.records.add(*[d.row for d in done])

    def rows(self) -> list[Row]:
        """The records of the grid's cells, with the names and in the order of the grid."""
        content = record.read(self.path / "bench.json")
        cells = {c["id"]: c for c in content.get("cells", [])}
        if not cells and self.records.rows:
            raise DataError(f"{self.path / 'bench.json'}: is missing or broken; run the grid again to have it written")
        mine = [r for r in self.records.rows.values() if r["cell"] in cells]
        order = {cell: i for i, cell in enumerate(cells)}
        named = [r | {k: cells[r["cell"]][k] for k in ("task", "label")} for r in mine]
        return sorted(named, key=lambda r: (order[r["cell"]], r["seed"], r["image"]))

    def finish(self) -> list[str]:
        """Writes `records.parquet` and returns its name in a list, which is empty if pyarrow is missing."""
        try:
            parquet([as_table_row(r) for r in self.rows()], self.path / "records.parquet")
        except ImportError:
            return []
        return ["records.parquet"]

    def picture(self, row: Row, name: str) -> Path | None:
        """The file of a kept picture (truth, y or x); None if there is none.

        Raises DataError if it is a link that leads out of the run.
        """
        file = self.path / "images" / f"{_picture_name(row, name)}.png"
        return inside(file, self.path) if file.exists() else None


def check_ours(out: Path) -> None:
    """Raises DataError if a run cannot be written into the folder `out`, or if files of the user have its names."""
    check_folder(out)
    check_free(out, WRITTEN, ours=lambda: _ours(out))


def _ours(out: Path) -> bool:
    """Whether a run has been written into `out`; another process may be just doing so."""
    try:
        described(record.read(out / "bench.json"), out / "bench.json")
    except DataError:
        return begun(out / "records.jsonl", _key)
    return True


def as_table_row(row: Row) -> Row:
    """A record without nested tables: the mean of each number over the samples, and all else under its own name."""
    means = {k: value(row, k) for k in (*row["metrics"], "residual", "expected_residual", "residual_ratio")}
    calls = {f"calls_{k}": v for k, v in row["calls"].items()}  # the spec of the operator is called operator, too
    rest = {k: v for k, v in row.items() if k not in ("metrics", "calls")}
    return {**flat(rest, ("versions", "provenance")), **calls, **means}


def _key(row: Row) -> str:
    return str(row["key"])


def _picture_name(row: Row, name: str) -> str:
    """What all solvers share, truth and measurement, is stored once."""
    if name == "truth":
        return f"truth-{row['reference_sha256']}"
    if name == "y":
        return f"y-{short({k: row[k] for k in ('operator', 'noise', 'stream', 'reference_sha256')})}"
    return str(row["key"])


def keep(folder: Path, name: str, x: Tensor, shown: Tensor | None) -> None:
    """Writes the picture `shown` (c, h, w) of the image `x` (*image) as PNG, and `x` as .npy if it is not `shown`
    itself. A PNG that is there already is left alone."""
    if (folder / f"{name}.png").exists():
        return
    if shown is None or not torch.equal(shown, x):
        save_array(folder / f"{name}.npy", x)
    if shown is not None and torch.isfinite(shown).all():
        save_image(folder / f"{name}.png", shown)


def open_run(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """`bench.json` and the records of an existing run. Raises DataError if the folder is not a run."""
    if not (path / "records.jsonl").is_file():
        raise DataError(f"{path}: is no folder of a benchmark (it has no records.jsonl)")
    content = record.read(path / "bench.json")
    described(content, path / "bench.json")
    return content, RunFolder(path).rows()


def described(content: dict[str, Any], file: Path) -> None:
    """Raises DataError if `content` of a `bench.json` does not say what a report needs to know."""
    kinds = {"title": str, "about": str, "metrics": list, "cells": list}
    wrong = [k for k, kind in kinds.items() if not isinstance(content.get(k), kind)]
    wrong = wrong or [k for k in ("metrics",) if not all(isinstance(v, str) for v in content[k])]
    known = {f.name for f in fields(Cell)} | {"id"}
    wrong = wrong or ["cells" for c in content["cells"] if not isinstance(c, dict) or not known <= c.keys()][:1]
    if wrong:
        raise DataError(f"{file}: is missing or broken ({', '.join(wrong)}); run the grid again to have it written")
