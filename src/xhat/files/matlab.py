"""Arrays in MATLAB's files of level 5 and 7 (`save`, `save -v7`): read as data, every length checked before it is used.

MathWorks, MAT-File Format, "Level 5 MAT-File Format". SciPy's reader ends the process on some damaged files.
"""

import struct
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np

from ..errors import DataError
from .room import fits, regular

HEADER = 128  # bytes before the first element
MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
# Classes of arrays that hold numbers, and what they are; whole ones of any class may be stored in fewer bytes.
DENSE = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
COMPLEX = 0x08  # a flag


def arrays_of(path: Path, most: int | None = None, imaginary: bool = False) -> dict[str, np.ndarray]:
    """The arrays of numbers in a file by name, those of no more than `most` bytes; complex ones only if they may be
    `imaginary`. All else is left out.

    Raises DataError for a file that is damaged, of another version, or larger than the memory.
    """
    regular(path)
    content = path.read_bytes()
    if content[:8] == b"\x89HDF\r\n\x1a\n" or content[126:128] not in (b"IM", b"MI"):
        raise DataError(f"{path}: is no MATLAB file of version 5 to 7; in MATLAB, save it with -v7")
    order = "<" if content[126:128] == b"IM" else ">"
    try:
        found: dict[str, np.ndarray] = {}
        for kind, body in _elements(content[HEADER:], order):
            if kind == COMPRESSED:
                body = _unpacked(body, path, most)
                ((kind, body),) = _elements(body, order)
            if kind == MATRIX and (named := _array(body, order, path, most, imaginary)):
                found[named[0]] = named[1]
        return found
    except (struct.error, ValueError, KeyError, zlib.error, OverflowError) as e:
        if isinstance(e, DataError):
            raise
        raise DataError(f"{path}: is damaged ({e or type(e).__name__})") from e


def _unpacked(body: bytes, path: Path, most: int | None) -> bytes:
    """What was compressed, whose length its own first 8 bytes declare."""
    stream = zlib.decompressobj()
    head = stream.decompress(body, 8)
    size = min(struct.unpack(f"{order}I", head[4:8])[0] for order in "<>")  # the other order makes it far too large
    fits(size, path, most)
    return head + stream.decompress(stream.unconsumed_tail, size)


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """The elements in `content`, each with its type."""
    at = 0
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        if kind >> 16:  # a small one, in a single word: its length, its type, its bytes
            kind, size = kind & 0xFFFF, kind >> 16
            body, step = content[at + 4 : at + 4 + min(size, 4)], 8
        else:
            body = content[at + 8 : at + 8 + size]
            step = 8 + size + (0 if kind == COMPRESSED else -size % 8)
        if len(body) != size:
            raise ValueError("an element is cut off")
        yield kind, body
        at += step


def _array(body: bytes, order: str, path: Path, most: int | None, imaginary: bool) -> tuple[str, np.ndarray] | None:
    """The name and the array of a matrix; None for text, cells, structures and sparse numbers, and for complex ones
    unless they may be `imaginary`.
    """
    parts = _elements(body, order)
    flags = struct.unpack_from(f"{order}I", next(parts, (0, b""))[1])[0]
    _, axes = next(parts, (0, b""))
    _, name = next(parts, (0, b""))
    if flags & 0xFF not in DENSE or (flags >> 8 & COMPLEX and not imaginary):
        return None
    shape = struct.unpack(f"{order}{len(axes) // 4}i", axes)
    layers = []
    for _ in range(2 if flags >> 8 & COMPLEX else 1):
        kind, numbers = next(parts, (0, b""))
        stored = np.frombuffer(numbers, f"{order}{NUMBERS[kind]}")
        if any(n < 0 for n in shape) or prod(shape) != len(stored):
            raise ValueError(f"{len(stored)} numbers for the shape {shape}")
        fits(len(stored) * 8, path, most)
        layers.append(stored.astype(DENSE[flags & 0xFF]).reshape(shape, order="F"))
    array = layers[0] if len(layers) == 1 else layers[0] + 1j * layers[1]
    return name.rstrip(b"\0").decode("latin-1"), array
