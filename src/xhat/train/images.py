"""Reads training images: a folder, a tar, an `.npz` of uint8 or an IDX file, as uint8 tensors (c, h, w)."""

import gzip
import io
import math
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePath

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import DataError
from ..files.numbers import fields_of
from ..files.pictures import PROGRAMS, load_image, to_pixels
from ..files.room import LARGEST, fits

Named = tuple[str, Tensor]


def read_images(path: str | Path) -> list[Named]:
    """Every image in `path`, (c, h, w) uint8 with c 1 or 3, with a name that says where it comes from.

    `path` is a folder (with all its subfolders) or a tar of pictures in any format that Pillow reads; an `.npz` with
    one uint8 array (n, h, w), (n, h, w, c) or (n, c, h, w); or an IDX file (n, h, w), gzipped or not. Raises DataError
    that names the file.
    """
    root = Path(path).expanduser()
    if root.is_dir():
        found = list(_folder(root))
    elif not root.exists():
        raise DataError(f"{root}: no such file or folder")
    elif not root.is_file():
        raise DataError(f"{root}: is no regular file")
    elif root.suffix == ".npz":
        found = _stack(root, _npz(root))
    elif tarfile.is_tarfile(root):
        found = list(_tar(root))
    else:
        found = _stack(root, _idx(root))
    if not found:
        raise DataError(f"{root}: holds no images; pictures end in {', '.join(sorted(suffixes()))}")
    return found


def suffixes() -> set[str]:
    """The suffixes of the picture files that Pillow reads."""
    endings = Image.registered_extensions()
    return {end for end, name in endings.items() if name in Image.OPEN and name not in PROGRAMS}


def _is_picture(name: str) -> bool:
    file = PurePath(name)
    return file.suffix.lower() in suffixes() and not file.name.startswith(".")


def _folder(root: Path) -> Iterator[Named]:
    for file in sorted(root.rglob("*")):
        if file.is_file() and _is_picture(file.name):
            yield str(file), eight_bit(load_image(file))


def _tar(root: Path) -> Iterator[Named]:
    try:
        with tarfile.open(root) as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.isfile() and _is_picture(member.name) else None
                if stream is not None:
                    name = f"{root}/{member.name}"
                    if member.size > root.stat().st_size and _plain(root):
                        raise DataError(f"{name}: says that it has {member.size} bytes, more than the whole file")
                    fits(member.size, name, LARGEST)
                    yield name, eight_bit(load_image(name, io.BytesIO(stream.read())))
    except (tarfile.TarError, OSError, EOFError, zlib.error) as e:
        raise DataError(f"{root}: cannot be read as a tar ({e})") from e


def _plain(root: Path) -> bool:
    """Whether a tar is not compressed."""
    with root.open("rb") as file:
        return b"ustar" in file.read(512)


def eight_bit(x: Tensor) -> Tensor:
    """`x` (c, h, w) in [−1, 1] as uint8."""
    pixels = to_pixels(x)
    return torch.from_numpy(pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _npz(root: Path) -> np.ndarray:
    """The one array of images in the file."""
    held = fields_of(root)
    images = [a for a in held.values() if a.dtype == np.uint8 and a.ndim in (3, 4)]
    if len(images) != 1:
        text = ", ".join(f"{k} {a.dtype} {a.shape}" for k, a in held.items())
        raise DataError(f"{root}: needs one uint8 array (n, h, w) or (n, h, w, c), it holds {text or 'nothing'}")
    found: np.ndarray = images[0]
    return found


def _idx(root: Path) -> np.ndarray:
    """An IDX file: two zero bytes, 8 for uint8, the number of axes, their lengths, the pixels."""
    try:
        with root.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        if not packed:
            fits(root.stat().st_size, root)
        with gzip.open(root) if packed else root.open("rb") as stream:
            head = stream.read(20)
            size = 4 + 4 * head[3] + math.prod(_axes(head)) if len(head) == 20 and head[3] in (3, 4) else 20
            fits(size, root)
            raw = head + stream.read(max(0, size - 20) + 1)  # one more byte than is said tells a longer file
    except (OSError, EOFError, zlib.error) as e:
        raise DataError(f"{root}: cannot be read ({e})") from e
    if len(raw) < 4 or raw[:2] != b"\0\0":
        raise DataError(f"{root}: is neither a folder nor a tar, .npz or IDX file")
    kind, axes = raw[2], raw[3]
    if kind != 8 or axes not in (3, 4) or len(raw) < 4 + 4 * axes:
        raise DataError(f"{root}: an IDX file of type {kind} and {axes} axes; images are type 8 with 3 or 4")
    shape = _axes(raw)
    if math.prod(shape) != len(raw) - 4 - 4 * axes:
        raise DataError(f"{root}: {len(raw) - 4 - 4 * axes} pixels, its header says {shape}; is it truncated?")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _axes(raw: bytes) -> tuple[int, ...]:
    """The lengths of the axes in the header of an IDX file."""
    return struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])


def _stack(root: Path, images: np.ndarray) -> list[Named]:
    """The images of an array, channels found where they are 1 or 3."""
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[-1] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    elif images.shape[1] not in (1, 3):
        raise DataError(f"{root}: images of shape {images.shape[1:]} have neither 1 nor 3 channels")
    whole = torch.from_numpy(images.copy())
    return [(f"{root}[{i}]", x) for i, x in enumerate(whole)]
