"""Video files ⇄ float32 tensors (c, t, h, w) in [−1, 1]: MP4 and its kin by PyAV, GIF by Pillow, numbered pictures."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageSequence, UnidentifiedImageError
from torch import Tensor

from ..errors import DataError
from .extras import extra
from .pictures import from_pixels, load_image, opened, save_image, to_pixels
from .room import LARGEST, fits
from .suffixes import PICTURES
from .volume import names_volume
from .writing import atomic

CODED = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")
VIDEOS = (*CODED, ".gif")
NUMBERED = re.compile(r"%(0?\d*)d")  # shot_%04d.png
RATE = 25.0  # frames a second where nothing says how many


@dataclass(frozen=True)
class Film:
    """The frames of a video, (c, t, h, w) in [−1, 1], and how many there are in a second."""

    x: Tensor
    rate: float


def is_numbered(path: str | Path) -> bool:
    """Whether a path names numbered pictures, as `frames/%04d.png` does."""
    return bool(NUMBERED.search(Path(path).name)) and Path(path).suffix.lower() in PICTURES


def names_video(path: str | Path) -> bool:
    """Whether a file of this name is a video, or numbered pictures that make one."""
    return Path(path).suffix.lower() in VIDEOS or is_numbered(path)


def animated(path: Path) -> bool:
    """Whether `path` is a video; a GIF of one frame is a picture."""
    if path.suffix.lower() != ".gif":
        return names_video(path)
    try:
        with opened(path) as picture:
            return getattr(picture, "n_frames", 1) > 1
    except (OSError, UnidentifiedImageError):
        return False


def numbered(path: Path, count: int) -> list[Path]:
    """The names of `count` numbered pictures, from 0."""
    head, digits, tail = NUMBERED.split(path.name)
    return [path.with_name(f"{head}{i:{digits or '1'}d}{tail}") for i in range(count)]


def load_video(path: str | Path) -> Film:
    """All frames of a video; one whose frames are all grey has one channel.

    Raises DataError for a file that is no video, holds frames of different sizes, is larger than memory, or needs PyAV
    where that is missing.
    """
    path = Path(path)
    frames: Iterator[Tensor]
    if is_numbered(path):
        frames, rate = map(load_image, pictures_of(path)), RATE
    elif not path.is_file():
        raise DataError(f"{path}: no such file")
    else:
        frames, rate = _gif(path) if path.suffix.lower() == ".gif" else _coded(path)
    kept: list[Tensor] = []
    for frame in frames:
        if kept and frame.shape[-2:] != kept[0].shape[-2:]:
            raise DataError(f"{path}: frame {len(kept)} has another size than the first")
        kept.append(frame)
        fits(4 * len(kept) * frame.numel(), f"{path}, {len(kept)} frames of it", LARGEST)
    if not kept:
        raise DataError(f"{path}: holds no frames")
    channels = max(len(f) for f in kept)
    x = torch.stack([f.expand(channels, -1, -1) for f in kept], 1)
    return Film(x[:1] if bool((x == x[:1]).all()) else x, rate)


def _gif(path: Path) -> tuple[Iterator[Tensor], float]:
    try:
        with opened(path) as picture:
            pages = [np.asarray(page.convert("RGB")) for page in ImageSequence.Iterator(picture)]
            pause = float(picture.info.get("duration") or 0)
    except (OSError, ValueError, SyntaxError, EOFError) as e:
        raise DataError(f"{path}: cannot be read as a GIF ({str(e).splitlines()[0]})") from e
    return (from_pixels(page, path) for page in pages), 1000 / pause if pause > 0 else RATE


def pictures_of(path: Path) -> list[Path]:
    """The numbered pictures that `path` names, in order. Raises DataError if there are none or one is missing."""
    head, _, tail = NUMBERED.split(path.name)
    named = re.compile(re.escape(head) + r"(\d+)" + re.escape(tail))
    found = {int(m[1]): p for p in path.parent.glob("*") if (m := named.fullmatch(p.name))}
    if not found:
        raise DataError(f"{path}: there are no such pictures")
    if missing := sorted(set(range(min(found), max(found) + 1)) - found.keys()):
        raise DataError(f"{path}: picture {missing[0]} is missing")
    return [found[k] for k in sorted(found)]


def _coded(path: Path) -> tuple[Iterator[Tensor], float]:
    av = extra("av", str(path), "video")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DataError(f"{path}: holds no pictures")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = float(stream.average_rate or RATE)
            pages = []
            for frame in container.decode(stream):
                pages.append(from_pixels(frame.to_ndarray(format="rgb24"), path))
                fits(4 * len(pages) * pages[0].numel(), f"{path}, {len(pages)} frames of it", LARGEST)
    except (av.error.FFmpegError, OSError, ValueError) as e:
        raise DataError(f"{path}: cannot be read as a video ({str(e).splitlines()[0][:120]})") from e
    return iter(pages), rate


def check_writable(path: str | Path) -> None:
    """Raises DataError if a video or volume `path` cannot be written here, so that a long run does not end with it."""
    suffix = Path(path).suffix.lower()
    if suffix in CODED:
        extra("av", f"a {suffix} file", "video")
    if names_volume(path):
        extra("nibabel", Path(path).name)


def save_video(path: str | Path, x: Tensor, rate: float | int = RATE) -> None:
    """Writes `x`, (1 or 3, t, h, w) in [−1, 1], clipped and rounded to 8 bits, in the format of the suffix of `path`.

    MP4 and its kin are H.264 of high quality (crf 14), in which each second row and column of colour is left out; sides
    that are odd lose one pixel. GIF has 256 colours. Numbered pictures, `out/%04d.png`, are exact to 8 bits.
    """
    path = Path(path)
    if is_numbered(path):
        for name, frame in zip(numbered(path, x.shape[1]), x.unbind(1), strict=True):
            save_image(name, frame)
        return
    if path.suffix.lower() not in VIDEOS:
        raise DataError(f"{path}: a video is written as {', '.join(VIDEOS)}, or as pictures, %04d.png")
    pages = [to_pixels(frame) for frame in x.unbind(1)]
    write = _write_gif if path.suffix.lower() == ".gif" else _write_coded
    atomic(path, lambda file: write(file, pages, float(rate)))


def _write_gif(file: Path, pages: list[np.ndarray], rate: float) -> None:
    first, *rest = [Image.fromarray(page) for page in pages]
    first.save(file, "GIF", save_all=True, append_images=rest, duration=round(1000 / rate), loop=0)


def _write_coded(file: Path, pages: Iterable[np.ndarray], rate: float) -> None:
    av = extra("av", f"a {file.suffix} file", "video")
    with av.open(str(file), "w") as container:
        stream: Any = None
        for page in pages:
            page = page if page.ndim == 3 else page[..., None].repeat(3, -1)
            h, w = (side - side % 2 for side in page.shape[:2])
            if stream is None:
                stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
                stream.width, stream.height, stream.pix_fmt = w, h, "yuv420p"
                stream.options = {"crf": "14", "preset": "medium"}
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(page[:h, :w]), format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
