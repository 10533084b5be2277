"""The photographs that the prior is trained on, and those that it is watched with, cut into crops."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

HELD_OUT = 24
"""Photographs of BSDS500 that are not trained on."""

# How often a photograph is drawn at its full size and at half of it. Half sizes undo the colour subsampling of JPEG;
# the large photographs without its marks count for several, as each has many more crops to offer.
WEIGHTS = {"bsds": (0.8, 0.6), "imagenet": (0.25, 0.5), "open": (6.0, 3.0), "wallpapers": (5.0, 3.0)}

FREE = ("open", "wallpapers")
"""The kinds whose licences allow every use; the others are for research, or state none."""


class Photographs:
    """Photographs in memory, (h, w, 3) uint8 each, drawn with given probabilities; with `free` of the kinds FREE only.

    Those held out are the same either way.
    """

    def __init__(self, data: Path, wallpapers: Path | None, crop: int, free: bool = False) -> None:
        self.pictures: list[NDArray[np.uint8]] = []
        self.held_out: list[NDArray[np.uint8]] = []
        weights: list[float] = []
        bsds = 0
        for kind, im in _every(data, wallpapers):
            if kind == "bsds":
                bsds += 1
                if bsds % 16 == 0 and len(self.held_out) < HELD_OUT:
                    self.held_out.append(np.asarray(im))
                    continue
            if free and kind not in FREE:
                continue
            for scale, weight in zip((1.0, 0.5), WEIGHTS[kind], strict=True):
                size = (round(im.width * scale), round(im.height * scale))
                if min(size) >= crop:
                    shrunk = im if scale == 1 else im.resize(size, Image.Resampling.LANCZOS)
                    self.pictures.append(np.asarray(shrunk))
                    weights.append(weight)
        self.cumulative = np.cumsum(weights) / np.sum(weights)

    def draw(self, batch: int, side: int, rng: np.random.Generator) -> Tensor:
        """Random crops in the eight orientations, (batch, 3, side, side) float32 in [-1, 1].

        Of a photograph smaller than `side` another is drawn.
        """
        out = np.empty((batch, side, side, 3), np.uint8)
        done = 0
        while done < batch:
            k = int(np.searchsorted(self.cumulative, rng.random(), side="right"))
            picture = self.pictures[min(k, len(self.pictures) - 1)]
            top, left = picture.shape[0] - side, picture.shape[1] - side
            if min(top, left) < 0:
                continue
            i, j, turn = rng.integers(top + 1), rng.integers(left + 1), rng.integers(8)
            crop = picture[i : i + side, j : j + side]
            crop = crop[:, ::-1] if turn & 1 else crop
            crop = crop[::-1] if turn & 2 else crop
            out[done] = crop.transpose(1, 0, 2) if turn & 4 else crop
            done += 1
        return torch.from_numpy(out).permute(0, 3, 1, 2).float() / 127.5 - 1


def _every(data: Path, wallpapers: Path | None) -> Iterator[tuple[str, Image.Image]]:
    """(kind, photograph) of all sources, in a fixed order."""
    for name in ("photos_train.tar", "photos_open.tar"):
        with tarfile.open(data / name) as tar:
            for member in sorted(tar.getmembers(), key=lambda m: m.name):
                if member.isfile() and (file := tar.extractfile(member)):
                    kind = next((k for k in ("bsds", "imagenet") if f"/{k}/" in member.name), "open")
                    yield kind, Image.open(io.BytesIO(file.read())).convert("RGB")
    for path in sorted(wallpapers.glob("*.png")) if wallpapers else []:
        yield "wallpapers", Image.open(path).convert("RGB")


def centre(picture: NDArray[np.uint8], side: int | None) -> Tensor:
    """The central (3, side, side) of a picture, or all of it, float32 in [-1, 1]."""
    if side:
        i, j = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
        picture = picture[i : i + side, j : j + side]
    return torch.tensor(picture).permute(2, 0, 1).float() / 127.5 - 1


def marks(folder: Path, side: int = 128) -> Tensor:
    """The central crops (n, 3, side, side) of Set5 and Set14 without `woman`, `face` and the grey ones."""
    left_out = ("woman", "face", "man", "bridge")
    paths = [p for p in sorted(folder.glob("*/*.png")) if p.stem.split("_")[0] not in left_out]
    return torch.stack([centre(np.asarray(Image.open(p).convert("RGB")), side) for p in paths])
