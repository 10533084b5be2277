"""JPEG compression, by libjpeg or as diffusion papers simplify it."""

import warnings
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor
from torch.nn import functional as F

from ..errors import DataError, ShapeError, SpecError
from ..numerics.build_dtype import built
from ..numerics.truncated import truncated
from ..ranges import Range
from ..types import Data, Image, PerImage
from .base import CellOperator, ProxyOperator
from .checks import one_of, planes
from .jpeg_codec import FACTORS, Codec
from .jpeg_simplified import CHROMA, LUMA, simplified, table

ORIENTATION, LYING = 274, (5, 6, 7, 8)  # EXIF's tag, and where it says that rows are columns
MODES = ("4:4:4", "4:2:2", "4:2:0")  # what Pillow writes
ROUNDING = 0.12  # variance of a coefficient by rounding to 8 bits: of R, G, B and again of Y, Cb, Cr, (0.45 + 1)/12
MARGIN = 2.0  # grey levels that a projection stays away from a cell's edge, because of the same rounding
Quality = Range(1, 100, note="tables=FILE takes the tables that a JPEG file itself has")
PASSES = 6  # of clipping to black and white and of moving into the cells, in turn


class JPEG(ProxyOperator, CellOperator):
    """y = dec(enc(x)) at `quality` 1 to 100, one for all images or one for each.

    `codec` libjpeg is the real one, through Pillow: x is clipped to [−1, 1] and rounded to 8 bits, and chroma is
    subsampled by `subsampling`, one for all images or one for each. `codec` simplified is the one with which diffusion
    papers measure: no clipping, no rounding of pixels, every second chroma pixel kept; 3 channels only. `tables` is a
    JPEG file, or one for each image: its tables and its subsampling take the place of `quality` and `subsampling`.
    Raises SpecError, ShapeError or DataError for options and files that are not valid.

    A file says of each coefficient, in the transform of `jpeg_codec`, in which cell it lies.
    """

    per_image: ClassVar[tuple[str, ...]] = ("quality", "steps", "sampled")
    source: ClassVar[str] = "ITU-T T.81; simplified: DDRM-JPEG, arXiv 2209.11888"

    quality: Tensor  # 0 if the tables are those of a file
    steps: Tensor  # (1 or b, 2, 8, 8), the tables of luma and chroma
    sampled: Tensor  # (1 or b), the number of the subsampling in MODES

    def __init__(
        self,
        shape: tuple[int, ...],
        quality: Annotated[int, Quality] | Sequence[Annotated[int, Quality]] = 5,
        codec: str = "libjpeg",
        subsampling: str | Sequence[str] = "4:2:0",
        tables: str | Path | Sequence[str] | None = None,
    ) -> None:
        super().__init__(shape)
        self.codec = one_of("codec", codec, ("libjpeg", "simplified"))
        modes = [subsampling] if isinstance(subsampling, str) else list(subsampling)
        for mode in modes:
            one_of("subsampling", mode, MODES)
        if codec == "simplified" and (modes != ["4:2:0"] or tables is not None):
            raise SpecError("the simplified codec has subsampling 4:2:0 only, and no tables of a file")
        c, *_ = planes(shape)
        if c != 3 and not (c == 1 and codec == "libjpeg"):
            raise ShapeError(f"jpeg takes colour images (grey ones too with codec=libjpeg), not {c} channels")
        each = [quality] if isinstance(quality, int) else list(quality)
        if not each or not modes:
            raise SpecError("jpeg: quality and subsampling must not be empty lists")
        if tables is None:
            made = [simplified_tables(q) if codec == "simplified" else libjpeg_tables(q) for q in each]
        elif quality != 5 or modes != ["4:2:0"]:
            raise SpecError("jpeg: tables takes the place of quality and subsampling; give either it or them")
        else:
            files = [tables] if isinstance(tables, str | Path) else list(tables)
            made, modes = map(list, zip(*(from_file(file, c) for file in files), strict=True))
            each = [0]
        self.register_buffer("quality", torch.tensor(each))
        self.register_buffer("steps", built(torch.tensor(made, dtype=torch.float64).reshape(-1, 2, 8, 8)))
        self.register_buffer("sampled", torch.tensor([MODES.index(mode) for mode in modes]))

    # --- the code itself ----------------------------------------------------------------------------

    def code(self, x: Image) -> Data:
        if self.codec == "simplified":
            quality = self.quality.expand(len(x)).tolist()
            return torch.cat([simplified(image[None], q) for image, q in zip(x, quality, strict=True)])
        tables, sampled = self.steps.expand(len(x), -1, -1, -1), self.sampled.expand(len(x)).tolist()
        return torch.stack([self.libjpeg(*one) for one in zip(x, tables, sampled, strict=True)])

    def libjpeg(self, image: Tensor, tables: Tensor, sampled: int) -> Tensor:
        """One image (c, h, w) after encoding to and decoding from a JPEG file in memory."""
        pixels = ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
        file = BytesIO()
        Pillow.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(
            file, "JPEG", qtables=tables.reshape(2, 64).long().tolist(), subsampling=MODES[sampled]
        )
        decoded = torch.from_numpy(np.array(Pillow.open(file, formats=["JPEG"]))).to(image)
        return decoded.reshape(*pixels.shape).permute(2, 0, 1) / 127.5 - 1

    # --- its cells: coefficients (1, mcu, n) of each image, in grey levels --------------------------------

    def parts(self, batch: int) -> list[tuple[Codec, Tensor]]:
        """For each image the transform, and the steps of its coefficients, (n,)."""
        c, h, w = planes(self.shape)
        tables, sampled = self.steps.expand(batch, -1, -1, -1), self.sampled.expand(batch).tolist()
        codecs = [transform(h, w, c, MODES[mode], self.codec == "simplified") for mode in sampled]
        return [(codec, codec.steps(t)) for codec, t in zip(codecs, tables, strict=True)]

    def cells(self, y: Data, noisy: bool) -> Tensor:
        """The middle and half the width of each cell, (b, 2, numbers), filled up with zeros where images differ.

        Where a decoder would not show y for the coefficients found, in blocks that reach over the border for instance,
        the cells are three times as wide. Warns if that is so for most of an image: it was coded otherwise.
        """
        found = []
        for (T, steps), image in zip(self.parts(len(y)), 127.5 * y, strict=True):
            steps = steps.to(y)
            if noisy:
                middle = T.analyse(image[None]) + T.zero().to(y)
                half = (steps / 2).expand_as(middle)
            else:
                middle = T.exact(image[None], steps)
                wrong = departs(T, middle, image[None])
                half = steps * torch.where(wrong, 1.5, 0.5)[..., None]
                if wrong.double().mean() > 0.5:
                    warnings.warn(
                        "jpeg: decoding with these tables does not give y in most blocks; it was coded with another "
                        "quality or subsampling. jpeg:tables=FILE takes both from a JPEG file",
                        stacklevel=2,
                    )
            found.append(torch.stack([middle - T.zero().to(y), half], 1).reshape(2, -1))
        most = max(v.shape[-1] for v in found)
        return torch.stack([F.pad(v, [0, most - v.shape[-1]]) for v in found])

    def posterior_mean(self, x: Image, var: PerImage, cells: Tensor, std: PerImage) -> Image:
        """One pass of expectation propagation (Minka, 2001): each cell becomes the Gaussian likelihood that gives the
        coefficient the mean and variance it has on the cell; then the linear problem is solved exactly. For wide `var`
        that Gaussian is the cell's middle with Δ²/12.
        """
        out = []
        for (T, _), image, r2, cell, s in zip(
            self.parts(len(x)), 127.5 * x, 127.5**2 * var, cells, 127.5 * std, strict=True
        ):
            at = T.analyse(image[None])
            middle, half = unpacked(cell, at)
            v, prior = half**2 / 3 + ROUNDING, r2 * T.squares.to(x).expand_as(at)
            if s > 0:
                v = v + s**2 * T.squares.to(x)
            else:
                reach = (3 * v).sqrt()
                mean, within, _ = truncated(at, prior.sqrt(), middle - reach, middle + reach)
                learned = (prior - within).clamp_min(1e-4 * prior)
                v, middle = within * prior / learned, at + (mean - at) * prior / learned
            out.append(image + T.adjoint(T.ridge(middle - at, v / r2))[0])
        return torch.stack(out) / 127.5

    def project(self, x: Image, cells: Tensor) -> Image:
        """Not the nearest image: luma is moved without chroma, and chroma in whole groups of pixels."""
        out = []
        for (T, _), image, cell in zip(self.parts(len(x)), x, cells, strict=True):
            one = image[None]
            for _ in range(PASSES):
                at = T.analyse(127.5 * one)
                middle, half = unpacked(cell, at)
                reach = (half - MARGIN).maximum(half / 2)
                one = (one + T.synthesise(at.clamp(middle - reach, middle + reach) - at) / 127.5).clamp(-1, 1)
            out.append(one[0])
        return torch.stack(out)


def unpacked(cell: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Middle and half width of the cells of one image in the shape of its coefficients."""
    middle, half = (v[: like.numel()].reshape(like.shape) for v in cell)
    return middle, half


def departs(T: Codec, z: Tensor, y: Tensor, most: float = 4.0) -> Tensor:
    """In which MCUs, (1, mcu), the decoded z differs from y, (1, c, h, w), by more than `most` grey levels, which the
    rounding of a decoder does not explain.
    """
    off = (T.decode(z)[0].clamp(-127.5, 127.5) - y).abs().amax(1, keepdim=True)
    return F.max_pool2d(T.padded(off), (8 * T.down, 8 * T.across)).flatten(1) > most


@lru_cache(maxsize=64)
def transform(height: int, width: int, channels: int, mode: str, picks: bool) -> Codec:
    """The transform of one size and subsampling, made once; a grey image has no chroma to be subsampled."""
    across, down = FACTORS[mode] if channels == 3 else (1, 1)
    return Codec(height, width, channels, across, down, picks)


def simplified_tables(quality: int) -> list[list[float]]:
    """Luma and chroma steps of the simplified codec."""
    return [table(base, quality).flatten().tolist() for base in (LUMA, CHROMA)]


@lru_cache(maxsize=100)
def libjpeg_tables(quality: int) -> list[list[float]]:
    """Luma and chroma steps, row by row, that libjpeg writes at a quality."""
    file = BytesIO()
    Pillow.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
    with Pillow.open(file, formats=["JPEG"]) as picture:
        return [[float(v) for v in picture.quantization[i]] for i in (0, 1)]  # type: ignore[attr-defined]


def from_file(file: str | Path, channels: int) -> tuple[list[list[float]], str]:
    """The steps of luma and chroma and the subsampling of a JPEG file, as they are once it is upright.

    Raises DataError if it is none of Y, Cb and Cr or of grey with what libjpeg can write again, and ShapeError if it
    has other than `channels`.
    """
    try:
        with Pillow.open(file, formats=["JPEG"]) as picture:
            layers, tables = list(picture.layer), dict(picture.quantization)  # type: ignore[attr-defined]
            rgb = picture.info.get("adobe_transform") == 0 and len(layers) == 3
            lying = picture.getexif().get(ORIENTATION, 1) in LYING
    except OSError as e:
        raise DataError(f"{file}: cannot be read as a JPEG file ({e})") from e
    if len(layers) not in (1, 3) or rgb:
        raise DataError(f"{file}: holds no Y, Cb and Cr and no grey, so its tables say nothing of these")
    if channels == 1:
        layers = layers[:1]  # a grey photograph stored in colour has nothing in the others
    if len(layers) != channels:
        raise ShapeError(f"{file}: has {len(layers)} channels, the images have {channels}")
    (_, h, v, own), *rest = layers
    if len(rest) == 2 and (rest[0][1:3] != rest[1][1:3] or tables[rest[0][3]] != tables[rest[1][3]]):
        raise DataError(f"{file}: Cb and Cr have tables or sizes of their own, which libjpeg's interface cannot write")
    factors = (h // rest[0][1], v // rest[0][2]) if rest else (2, 2)
    mode = next((mode for mode in MODES if FACTORS[mode] == factors), None)
    if mode is None:
        raise DataError(f"{file}: its chroma is subsampled by {factors}; there are {', '.join(MODES)}")
    chroma = tables[rest[0][3]] if rest else tables[own]
    if lying and mode == "4:2:2":
        raise DataError(f"{file}: lies on its side, and its chroma is subsampled by {mode} there; turn it upright")
    order = [8 * (i % 8) + i // 8 for i in range(64)] if lying else range(64)  # rows and columns change places
    return [[float(table[i]) for i in order] for table in (tables[own], chroma)], mode
