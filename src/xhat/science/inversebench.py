"""Reads InverseBench's LMDB folders: keys str(i), raw numbers without a header, so only the kind tells type and
range.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..admission import FOLDER
from ..errors import DataError, Declined, SpecError
from ..files.extras import extra
from ..files.inside import inside
from ..files.measurement import Measurement
from ..files.room import regular
from ..registry import Plugin
from .fwi.modality import VELOCITY
from .mri.recorded import measurement
from .navier_stokes.modality import VORTICITY


@dataclass(frozen=True)
class Kind:
    """A kind of square images of one channel: how their numbers lie in a record and how they become those of the
    model.
    """

    dtype: str
    sides: tuple[int, ...]  # the widths that occur
    units: Callable[[Tensor], Tensor]  # converts (1, h, w) to the range of priors


def velocity(v: Tensor) -> Tensor:
    """Velocities `v` (1, h, w) in m/s on any grid as the image x of operator fwi, (1, 128, 128), with v = 3 + 1.5 x
    km/s.

    InverseBench's own images are 1.5 x.
    """
    return VELOCITY.image(interpolate(v[None], (128, 128), mode="bilinear")[0] / 1000)


# A word in the folder's name tells the kind, because scattering and Navier-Stokes records have the same length.
KINDS = {
    "scatter": Kind("<f4", (128,), lambda f: 2 * f - 1),
    "blackhole": Kind("<f8", (64, 400), lambda f: 2 * f / f.amax().clamp_min(1e-30) - 1),
    "fwi": Kind("<f4", (70,), velocity),
    "navier": Kind("<f4", (128,), VORTICITY.image),
}


class Folder:
    """A data set on disk as a sequence of measurements; if it is a set of images, y is the image itself in [−1, 1].

    `kind` is one of KINDS or mri (three folders kspace, s_maps and mvue); without it, the folder's name tells. Raises
    SpecError for an unknown kind and DataError for a folder or record that cannot be read.
    """

    def __init__(self, path: str | Path, kind: str | None = None) -> None:
        self.path = Path(path)
        self.kind = kind or self._guess()
        if self.kind not in (*KINDS, "mri"):
            raise SpecError(f"unknown kind {self.kind!r}; choose from {', '.join([*KINDS, 'mri'])}")
        with self._records("kspace" if self.kind == "mri" else "") as records:
            self.keys = sorted(int(key) for key, _ in records.cursor() if key.isdigit())
        if not self.keys:
            raise DataError(f"{self.path}: holds no records with numbers as keys")

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, key: int) -> Measurement:
        """The record `key`, which is its name in the folder; test sets may count from 1."""
        if self.kind == "mri":
            return self._mri(key)
        kind, data = KINDS[self.kind], self._bytes("", key)
        numbers = np.frombuffer(data, kind.dtype) if len(data) % np.dtype(kind.dtype).itemsize == 0 else np.empty(0)
        side = round(len(numbers) ** 0.5)
        if side not in kind.sides or side * side != len(numbers):
            raise DataError(f"{self._name(key)}: {len(data)} bytes are no record of the kind {self.kind}")
        x = kind.units(torch.from_numpy(numbers.astype(np.float32)).reshape(1, side, side))
        return Measurement(x, tuple(x.shape), origin=self._name(key))

    def _mri(self, key: int) -> Measurement:
        """k-space and maps (coils, 320, 320) complex64; the target is divided by its 99 % quantile, k-space with it."""
        parts = {}
        for part in ("kspace", "s_maps", "mvue"):
            data = self._bytes(part, key)
            if not data or len(data) % (8 * 320 * 320):
                raise DataError(f"{self._name(key)}: {len(data)} bytes of {part} are no complex64 planes of 320 x 320")
            parts[part] = torch.from_numpy(np.frombuffer(data, "<c8").copy()).reshape(-1, 320, 320)
        if parts["kspace"].shape != parts["s_maps"].shape or len(parts["mvue"]) != 1:
            raise DataError(f"{self._name(key)}: kspace, s_maps and mvue are not of one slice")
        scale = float(np.quantile(parts["mvue"].abs().numpy(), 0.99))
        found = measurement(parts["kspace"], self._name(key), maps=parts["s_maps"], scale=scale)
        truth = torch.view_as_real(parts["mvue"][0] / scale).permute(2, 0, 1).contiguous()
        return replace(found, truth=truth)

    def _guess(self) -> str:
        if not self.path.is_dir():
            raise DataError(f"{self.path}: no such folder")
        if (self.path / "kspace").is_dir():
            return "mri"
        if not (self.path / "data.mdb").is_file():
            raise Declined(f"{self.path}: is no LMDB folder (data.mdb), nor one with kspace, s_maps and mvue")
        named = [k for k in KINDS if k in self.path.resolve().name.lower().replace("-", "").replace("_", "")]
        if len(named) != 1:
            raise DataError(
                f"{self.path}: its name does not tell which of {', '.join(KINDS)} it holds; rename it or give kind"
            )
        return named[0]

    def _name(self, key: int) -> str:
        return f"{self.path}#{key}"

    def _bytes(self, part: str, key: int) -> bytes:
        with self._records(part) as records:
            data = records.get(str(key).encode())
        if data is None:
            raise DataError(
                f"{self.path / part}: has no item {key}; the first are {', '.join(map(str, self.keys[:8]))}"
            )
        return bytes(data)

    @contextmanager
    def _records(self, part: str) -> Iterator[Any]:
        """A read transaction, without the lock file that the library would write."""
        lmdb, folder = extra("lmdb", f"{self.path}"), self.path / part
        if not (folder / "data.mdb").is_file():
            raise DataError(f"{folder}: holds no data.mdb")
        inside(folder / "data.mdb", self.path)
        regular(folder / "data.mdb")
        whole_pages(folder / "data.mdb")
        try:
            with lmdb.open(str(folder), readonly=True, lock=False) as env, env.begin() as transaction:
                yield transaction
        except lmdb.Error as e:
            raise DataError(f"{folder}: cannot be read as LMDB ({e})") from e


MAGIC, HEAD = 0xBEEFC0DE, 152  # of LMDB; the bytes of a page's head and of a table of contents


def whole_pages(file: Path) -> None:
    """Raises DataError if a data.mdb is shorter than its own table of contents says.

    The library maps the file, and reading beyond its end would end the whole program with a signal.
    """
    size = file.stat().st_size
    with file.open("rb") as f:
        head = f.read(HEAD)
        if len(head) < HEAD or struct.unpack("<I", head[16:20])[0] != MAGIC:
            raise DataError(f"{file.parent}: data.mdb is no LMDB file, or cut off ({size} bytes)")
        page = struct.unpack("<I", head[40:44])[0]
        f.seek(page)
        second = f.read(HEAD)
    if not 512 <= page <= 65536 or len(second) < HEAD or struct.unpack("<I", second[16:20])[0] != MAGIC:
        raise DataError(f"{file.parent}: data.mdb is damaged or cut off ({size} bytes)")
    tables = [(struct.unpack("<Q", t[144:152])[0], struct.unpack("<Q", t[136:144])[0]) for t in (head, second)]
    last = max(tables)[1]  # of the newer transaction
    if (last + 1) * page > size:
        raise DataError(f"{file.parent}: data.mdb has {size} bytes of {(last + 1) * page}: it is cut off")


def read(path: Path, item: int | None) -> Measurement:
    """The record `item` of the folder at `path`; `item` may be None if there is only one. Raises DataError
    otherwise.
    """
    folder = Folder(path)
    if item is None and len(folder) > 1:
        raise DataError(f"{path}: holds {len(folder)} items; say which one: {path}#{folder.keys[0]} is the first")
    return folder[folder.keys[0] if item is None else item]


PLUGIN = Plugin("inversebench", readers={FOLDER: read})
