"""Labelled tiles on white, as one picture: the measurement, what was restored, and how far it is from the truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..errors import XhatError
from ..files.pictures import is_picture, normalised, to_pixels
from ..likelihoods import Likelihood
from ..metrics.base import Metric
from ..metrics.registry import row_of
from ..operators.answer import Answer
from ..operators.base import AffineOperator, LinearOperator
from ..operators.modality import Modality


@dataclass(frozen=True)
class Bar:
    """The scale of a map in the colours of `heat`: what its dark and its bright end stand for."""

    low: str
    high: str


Tile = tuple[str, Tensor | None] | tuple[str, Tensor | None, Bar]

GAP, EDGE, LINE = 12, 18, 19  # pixels between tiles, around them, per line of caption, for tiles of 320 pixels
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
INK, FAINT = (28, 28, 32), (150, 150, 156)
HEAT = ((4, 4, 20), (76, 18, 107), (176, 50, 90), (240, 112, 50), (252, 190, 60), (252, 253, 191))  # dark to bright


def panel(rows: Sequence[Sequence[Tile]], cell: int = 256) -> Image.Image:
    """Tiles (caption, picture (1 or 3, h, w) in [−1, 1], or None) in rows, as one picture.

    The first line of a caption stands out; lines too long for their tile go on in the next one. A tile that ends with
    a `Bar` has it below. All tiles have the size of the largest, between `cell` pixels and three times that; pictures
    are enlarged without smoothing.
    """
    side = max([max(tile[1].shape[1:]) for row in rows for tile in row if tile[1] is not None] + [0])
    side = min(max(side, cell), 3 * cell)
    k = max(1.0, side / 320)
    gap, edge, line_height = (round(k * n) for n in (GAP, EDGE, LINE))
    pictures = [[None if tile[1] is None else _scaled(tile[1], side) for tile in row] for row in rows]
    shown = [p for row in pictures for p in row if p is not None]
    width = max([p.width for p in shown] + [cell // 2])
    fonts = ImageFont.load_default(k * 15), ImageFont.load_default(k * 13)
    texts = [[_lines(tile[0], width, *fonts) for tile in row] for row in rows]
    captions = [max(map(len, row), default=0) * line_height + gap // 2 for row in texts]
    bars = [line_height + gap if any(len(tile) == 3 for tile in row) else 0 for row in rows]
    heights = [max([p.height for p in row if p is not None] + [cell // 2]) for row in pictures]
    columns = max(len(row) for row in rows)
    size = (
        2 * edge + columns * (width + gap) - gap,
        2 * edge + sum(captions) + sum(heights) + sum(bars) + gap * (len(rows) - 1),
    )
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    top = edge
    for row, images, lines, space, height, bar in zip(rows, pictures, texts, captions, heights, bars, strict=True):
        for column, (tile, image, text) in enumerate(zip(row, images, lines, strict=True)):
            left = edge + column * (width + gap)
            for n, (line, stands_out) in enumerate(text):
                ink, font = (INK, fonts[0]) if stands_out else (FAINT, fonts[1])
                draw.text((left, top + n * line_height), line, fill=ink, font=font)
            if len(tile) == 3:
                _draw_bar(draw, sheet, tile[2], (left, top + space + height + gap // 2), (width, gap // 2), fonts[1])
            if image is not None:
                sheet.paste(image, (left, top + space))
            elif text:
                draw.rectangle((left, top + space, left + width - 1, top + space + height - 1), outline=(225, 225, 228))
        top += space + height + bar + gap
    return sheet


def _lines(text: str, width: int, first: Font, other: Font) -> list[tuple[str, bool]]:
    """A caption in lines that are not wider than their tile, broken between words, and within words that are wider;
    each with whether it stands out.
    """
    out = []
    for n, line in enumerate(text.split("\n")):
        font = other if n else first
        rest = line
        while rest:
            end = len(rest)
            while end > 1 and font.getlength(rest[:end]) > width:
                space = rest.rfind(" ", 1, end - 1)
                end = space if space > 0 else end - 1
            out.append((rest[:end].rstrip(), n == 0))
            rest = rest[end:].lstrip()
        if not line:
            out.append(("", False))
    return out


def _draw_bar(
    draw: ImageDraw.ImageDraw, sheet: Image.Image, bar: Bar, corner: tuple[int, int], size: tuple[int, int], font: Font
) -> None:
    """Draws the colours from dark to bright and, under its ends, what they stand for."""
    ramp = heat(torch.linspace(0, 1, size[0]).expand(1, size[1], -1), 1.0)
    sheet.paste(Image.fromarray(to_pixels(ramp)), corner)
    left, below = corner[0], corner[1] + size[1]
    draw.text((left, below), bar.low, fill=INK, font=font)
    draw.text((left + size[0] - font.getlength(bar.high), below), bar.high, fill=INK, font=font)


def _scaled(x: Tensor, side: int) -> Image.Image:
    """`x` with a longer side of `side` pixels."""
    image = Image.fromarray(to_pixels(x)).convert("RGB")
    k = side / max(image.size)
    how = Image.Resampling.NEAREST if k > 1 else Image.Resampling.LANCZOS
    return image.resize((max(1, round(image.width * k)), max(1, round(image.height * k))), how)


def heat(x: Tensor, white: float) -> Tensor:
    """A map `x` (c, h, w) ≥ 0, averaged over channels, as colours from dark (0) to bright (`white`): (3, h, w) in [−1,
    1].
    """
    place = (x.mean(0) / max(white, 1e-12)).nan_to_num(1.0).clamp(0, 1) * (len(HEAT) - 1)  # overflows are bright
    colours = torch.tensor(HEAT, dtype=torch.float32) / 127.5 - 1
    low = place.long().clamp_max(len(HEAT) - 2)
    part = (place - low)[..., None]
    return (colours[low] * (1 - part) + colours[low + 1] * part).permute(2, 0, 1)


def data_picture(x: Tensor) -> Tensor | None:
    """Data `x` (*data) as a picture (1 or 3, h, w) in [−1, 1]; None if they are not a plane.

    Colour and grey pictures are returned as they are, other stacks of planes as their magnitude.
    """
    if is_picture(tuple(x.shape)) and not x.is_complex():
        return x
    if x.ndim not in (2, 3) or min(x.shape[-2:]) < 2:
        return None
    size = x.abs().square().reshape(-1, *x.shape[-2:]).sum(0, keepdim=True).sqrt()
    return normalised(size)


def measurement_tile(like: Likelihood) -> tuple[str, Tensor | None]:
    """The first measurement of `like` as a tile.

    It is the measurement if that is a picture, otherwise Aᵀ y, otherwise the logarithm of its magnitude, otherwise only
    its shape in the caption.
    """
    y, shape = like.y[0].cpu(), tuple(like.y.shape[1:])
    small = len(shape) == len(like.A.shape) and all(a <= b for a, b in zip(shape[-2:], like.A.shape[-2:], strict=True))
    if is_picture(shape) and small and not y.is_complex():
        wild = float(y.abs().max()) > 4  # so far outside [−1, 1] that a picture would show only black and white
        return ("measurement\nshown: 1 to 99 %", normalised(y)) if wild else ("measurement", y)
    A = like.A.linear if isinstance(like.A, AffineOperator) else like.A
    if isinstance(A, LinearOperator):
        try:
            back = like.A.modality.show(A.adjoint(like.y[:1])[0].cpu())
        except XhatError:
            back = None
        if back is not None:
            return "measurement\nshown: adjoint image", normalised(back)
    log = data_picture(y.abs().clamp_min(1e-6).log10()) if len(shape) in (2, 3) else None
    if log is not None:
        return "measurement\nshown: log magnitude", normalised(log.mean(0, keepdim=True))
    return f"measurement\n{' × '.join(map(str, shape))} numbers", None


def of(answer: Answer, like: Likelihood, made_by: str, most: int = 4) -> Image.Image:
    """The panel of a restoration: truth and measurement above; result, up to `most` samples, and error or deviation
    below.

    `made_by` names operator and noise in the caption of the measurement.
    """
    n, truth, kind = len(answer.images), answer.reference, like.A.modality
    text, y = measurement_tile(like)
    first: list[Tile] = [(f"{text}\n{made_by}", y)]
    if truth is not None:
        first.insert(0, ("truth", kind.show(truth)))
    if n == 1:
        first.append((f"restored\n{_score(answer, 0)}", kind.show(answer.first)))
    else:
        first.append((f"mean of {n}\n{_score(answer, None)}", kind.show(answer.mean)))
        if (std := answer.posterior_std) is not None:
            first.append(_map("standard deviation", kind.plane(std)))
    if truth is not None:
        error = ((answer.first if n == 1 else answer.mean) - truth).abs()
        first.append(_map("|error|", kind.plane(error)))
    rows = [first]
    if n > 1:
        mark = {int(answer.residual.argmin()): " (smallest residual)"}
        shown = range(min(n, most))
        rows.append([(f"sample {i}{mark.get(i, '')}\n{_score(answer, i)}", kind.show(answer.images[i])) for i in shown])
    return panel(rows)


def _map(name: str, x: Tensor | None) -> Tile:
    """A map ≥ 0 with its scale, which ends at its 99 % quantile."""
    if x is None:
        return name, None
    with np.errstate(invalid="ignore", over="ignore"):  # an error may be larger than any number
        white = max(float(np.quantile(x.mean(0).numpy(), 0.99)), 1e-3)
    return name, heat(x, white), Bar("0", f"{white:.2g}")


def _score(answer: Answer, i: int | None) -> str:
    """The metrics of image `i`, or of the mean, in a line; under it how well image `i` explains the measurement."""
    prefix, at = ("mean_", 0) if i is None else ("", i)
    scores = [
        row.text(float(v[at]))
        for name in answer.metrics
        if isinstance(row := row_of(name), Metric) and (v := answer.metrics.get(prefix + name)) is not None
    ]
    if i is not None:
        found, wanted = float(answer.residual[i]), float(answer.expected[i])
        fit = f"residual {found / wanted:.2f}x expected" if wanted > 0 else f"residual {found:.2g}"
        fit = f"{answer.verdict(i)}, {fit}"
    return "\n".join([*([", ".join(scores)] if scores else []), *([fit] if i is not None else [])])


def strip(frames: Sequence[tuple[int, Tensor]], kind: Modality, most: int = 8) -> Image.Image:
    """Up to `most` of the recorded (step, x̂₀) from left to right; the last one is always among them."""
    n = min(most, len(frames))
    picks = [round(i * (len(frames) - 1) / max(1, n - 1)) for i in range(n)]
    return panel([[(f"step {step}", kind.show(x)) for step, x in (frames[i] for i in picks)]])
