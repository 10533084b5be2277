"""The noise of a photograph that was saved as a JPEG, which rounds it away in fine detail and keeps the rest.

A block's coefficients are c = q round(n / q) where noise n of standard deviation s falls into steps q, so

    E c² = Σ_j 2 (j q)² [Φ((j + ½) q / s) − Φ((j − ½) q / s)],

which is known for each frequency by its step and tells s. Texture adds to it. Blocks of little slow change are those
of skies and walls, and as noise is independent from frequency to frequency, to choose them by their slow change leaves
the noise in the others as it is. Of bands of frequencies the one with the least s counts: noise is in all of them.
"""

from dataclasses import dataclass
from math import pi, sqrt

import torch
from torch import Tensor

SIDE = 8  # of a block
SLOW = (1, 2)  # frequencies u + v by which a block is called quiet
BANDS = ((3, 4), (5, 6), (7, 9), (10, 14))  # of u + v, whose noise is estimated
FAST = (4, 9)  # by which quiet blocks are compared with others
QUIET, MORE = 0.15, 0.5  # the quietest portion of the blocks, and that of those compared with them
EVEN = 1.3  # up to which factor other blocks have the power of quiet ones, and bands one level, if noise makes them
FEWEST = 40  # blocks
MOST = 20_000
CLIPPED = 2.0  # grey levels from black or white within which noise may be cut off
LUMA = sqrt(0.299**2 + 0.587**2 + 0.114**2)  # of the noise of three channels, what their luma has (ITU-R BT.601)
LEVELS = torch.logspace(-1, 1.5, 150, dtype=torch.float64)  # of s, in grey levels


@dataclass(frozen=True)
class CodedNoise:
    """`sigma` in grey levels of a channel, at most; `even` if it is that in all bands, and in blocks of more change."""

    sigma: float
    even: bool


def coded_noise(luma: Tensor, steps: tuple[int, ...], colour: bool) -> CodedNoise | None:
    """The noise in `luma` (h, w) in grey levels, as a JPEG with the quantisation table `steps`, row by row, stores it.

    None for a picture of fewer than `FEWEST` blocks.
    """
    h, w = (n // SIDE * SIDE for n in luma.shape)
    blocks = luma[:h, :w].double().reshape(h // SIDE, SIDE, w // SIDE, SIDE).transpose(1, 2).reshape(-1, SIDE, SIDE)
    inside = (blocks.amin((1, 2)) > CLIPPED) & (blocks.amax((1, 2)) < 255 - CLIPPED)
    blocks = blocks[inside] if int(inside.sum()) >= FEWEST else blocks
    if len(blocks) < FEWEST:
        return None
    blocks = blocks[:: max(1, len(blocks) // MOST)]
    D, q = _cosines(), torch.tensor(steps, dtype=torch.float64).reshape(SIDE, SIDE)
    c = (D @ blocks @ D.T / q).round() * q
    at = torch.arange(SIDE)[:, None] + torch.arange(SIDE)

    def of(band: tuple[int, int]) -> Tensor:
        return (at >= band[0]) & (at <= band[1])

    order = c[:, of(SLOW)].square().sum(1).argsort()
    few, many = max(FEWEST // 4, int(QUIET * len(c))), int(MORE * len(c))
    quiet = c[order[:few]]
    found, told = [], []
    for band in BANDS:
        part, steps_of = quiet[:, of(band)], q[of(band)]
        least = float(steps_of.min()) ** 2 / part.numel()  # one coefficient: with less noise there may be none
        seen = float(part.square().mean())
        found.append(_level(max(seen, least), steps_of))
        told += [found[-1]] if seen > 4 * least else []
    power = c[:, of(FAST)].square().sum(1)[order]
    even = float(power[few:many].mean()) <= EVEN * float(power[:few].mean())
    even = even and len(told) > 1 and max(told) <= EVEN * min(told)
    return CodedNoise(min(found) / (LUMA if colour else 1.0), even)


def _cosines() -> Tensor:
    """The orthonormal cosine transform of `SIDE` numbers, a row for each frequency."""
    at = torch.arange(SIDE, dtype=torch.float64)
    D = (pi / SIDE * (at + 0.5) * at[:, None]).cos() * sqrt(2 / SIDE)
    D[0] /= sqrt(2)
    return D


def _level(power: float, q: Tensor) -> float:
    """s of the noise that leaves coefficients of the mean `power` behind steps `q` (n,)."""
    s = LEVELS[:, None, None]
    j = torch.arange(1, 200, dtype=torch.float64)
    below = torch.special.ndtr((j - 0.5) * q[:, None] / s), torch.special.ndtr((j + 0.5) * q[:, None] / s)
    expected = (2 * (j * q[:, None]).square() * (below[1] - below[0])).sum(-1).mean(-1)
    return float(LEVELS[int((expected < power).sum().clamp_max(len(LEVELS) - 1))])
