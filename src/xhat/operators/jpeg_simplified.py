"""The JPEG of diffusion papers: 8x8 cosine transform and rounding, without clipping or entropy coding."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .checks import planes

# Tables K.1 (luminance) and K.2 (chrominance) of ITU-T T.81
LUMA = """
16 11 10 16  24  40  51  61   12 12 14 19  26  58  60  55   14 13 16 24  40  57  69  56   14 17 22 29  51  87  80  62
18 22 37 56  68 109 103  77   24 35 55 64  81 104 113  92   49 64 78 87 103 121 120 101   72 92 95 98 112 100 103  99
"""
CHROMA = """
17 18 24 47 99 99 99 99   18 21 26 66 99 99 99 99   24 26 56 99 99 99 99 99   47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99
"""
YCBCR = ((0.299, 0.587, 0.114), (-0.1687, -0.3313, 0.5), (0.5, -0.4187, -0.0813))


def simplified(x: Tensor, quality: int) -> Tensor:
    """dec(enc(x)) of `x` (b, 3, h, w) in [−1, 1]; sides are padded to multiples of 16 and cropped again."""
    _, h, w = planes(x.shape[1:])
    x = F.pad(x, [0, -w % 16, 0, -h % 16], mode="replicate")
    M = torch.tensor(YCBCR, dtype=torch.float64)
    ycc = torch.einsum("ij,bjhw->bihw", M.to(x), (x + 1) * 127.5)
    luma = rounded(ycc[:, :1] - 128, table(LUMA, quality)) + 128
    chroma = rounded(ycc[:, 1:, ::2, ::2], table(CHROMA, quality))
    chroma = chroma.repeat_interleave(2, -2).repeat_interleave(2, -1)
    rgb = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(M).to(x), torch.cat([luma, chroma], 1))
    out: Tensor = rgb / 127.5 - 1
    return out[..., :h, :w]


def rounded(plane: Tensor, q: Tensor) -> Tensor:
    """Planes (b, c, h, w) with the cosine coefficients of every 8x8 block rounded to multiples of `q` (8, 8)."""
    C, q = dct().to(plane), q.to(plane)
    b, c, h, w = plane.shape
    blocks = plane.reshape(b, c, h // 8, 8, w // 8, 8).transpose(-2, -3)
    blocks = C.T @ ((C @ blocks @ C.T / q).round() * q) @ C
    return blocks.transpose(-2, -3).reshape(b, c, h, w)


def dct() -> Tensor:
    """The orthonormal 8-point cosine transform, (8, 8)."""
    k = torch.arange(8, dtype=torch.float64)
    C = torch.cos(math.pi / 8 * k[:, None] * (k + 0.5)) / 2
    C[0] /= 2**0.5
    return C


def table(base: str, quality: int) -> Tensor:
    """Quantisation steps (8, 8) at a quality from 1 to 100, scaled from the table `base` as libjpeg does."""
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    steps = torch.tensor([float(v) for v in base.split()], dtype=torch.float64).reshape(8, 8)
    return ((steps * scale + 50) / 100).floor().clamp(1, 255)
