"""Pictures of any size in bounded memory: a network runs on overlapping tiles, whose results are blended."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

WHOLE = 2**20
"""Pixels that are processed at once, over all images of a batch; more are split. A call takes some 400 bytes each."""

SIDE = 1024
"""The side of a tile."""

MARGIN = 48
"""Pixels along an inner edge of a tile that are not used: a network hardly sees further than that."""

RAMP = 32
"""Pixels over which one tile fades into the next."""


def in_tiles(run: Callable[[Tensor], Tensor], u: Tensor, multiple: int = 1) -> Tensor:
    """run(u) for images `u` (b, c, h, w), by parts of a batch and of an image if it has over `WHOLE` pixels in all.

    `run` keeps the shape, and a pixel of its result hardly depends on pixels more than `MARGIN` away, as in a
    convolutional network without normalisation; one with normalisation sees the contrast of the tile. Tiles begin
    at multiples of `multiple`, as the whole image does. Where a derivative is taken, a part is computed again instead
    of kept.
    """
    b, _, h, w = u.shape
    if b * h * w <= WHOLE:
        return run(u)
    step: Callable[[Tensor], Tensor] = run
    if torch.is_grad_enabled() and u.requires_grad:
        step = lambda part: checkpoint(run, part, use_reentrant=False)
    if h * w <= WHOLE:
        return torch.cat([step(part) for part in torch.split(u, max(1, WHOLE // (h * w)))])
    return torch.cat([_blended(step, image, multiple) for image in torch.split(u, 1)])


def _blended(run: Callable[[Tensor], Tensor], u: Tensor, multiple: int) -> Tensor:
    """run(u) of one image (1, c, h, w) from its tiles, each fading into the next."""
    total, weight = torch.zeros_like(u), u.new_zeros(1, 1, *u.shape[-2:])
    for top, bottom, down in _spans(u.shape[-2], multiple):
        for left, right, across in _spans(u.shape[-1], multiple):
            ramp = (down.to(u)[:, None] * across.to(u))[None, None]
            part = run(u[..., top:bottom, left:right].contiguous())
            total[..., top:bottom, left:right] += ramp * part
            weight[..., top:bottom, left:right] += ramp
    return total / weight


def _spans(n: int, multiple: int) -> Iterator[tuple[int, int, Tensor]]:
    """(begin, end, weights (end − begin,)) of the tiles along a side of `n` pixels."""
    shared = 2 * MARGIN + RAMP
    stride = (SIDE - shared) // multiple * multiple
    count = max(1, -(-(n - shared) // stride))
    for i in range(count):
        begin, end = i * stride, n if i == count - 1 else i * stride + SIDE
        place = torch.arange(end - begin) + 0.5
        rise = (place - MARGIN) / RAMP if begin else torch.ones(end - begin)
        fall = (end - begin - place - MARGIN) / RAMP if end < n else torch.ones(end - begin)
        yield begin, end, torch.minimum(rise, fall).clamp(0, 1)
