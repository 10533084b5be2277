"""Moments of a normal distribution that is cut off on both sides."""

import math

import numpy as np
import torch
from torch import Tensor

NODES, WEIGHTS = np.polynomial.legendre.leggauss(20)
CHUNK = 1 << 18  # elements whose nodes are in memory at once
FAR = 20.0  # what lies beyond the point where the density fell by e⁻²⁰ is neglected


def truncated(mean: Tensor, std: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mean and the variance of N(`mean`, `std`²) given that it lies in [`low`, `high`], element by element, and the
    logarithm of the probability that it does.

    `std` is positive and the bounds are finite. An interval in the far tail is no difficulty: Gauss-Legendre
    quadrature runs over that part of it where the density is not negligible beside its peak. The relative error of the
    variance is below 1e-3, that of the mean below 1e-5 of the smaller one of the interval and `std`.
    """
    shape = (mean + std + low + high).shape
    parts = [v.expand(shape).reshape(-1) for v in (mean, std, low, high)]
    starts = range(0, max(1, parts[0].numel()), CHUNK)
    found = [_truncated(*(v[i : i + CHUNK] for v in parts)) for i in starts]
    middle, spread, mass = (torch.cat(v).reshape(shape) for v in zip(*found, strict=True))
    return middle, spread, mass


def _truncated(mean: Tensor, std: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`truncated` of vectors."""
    a, b = (low - mean) / std, (high - mean) / std
    peak = torch.zeros_like(a).clamp(a, b)
    # |t| from the peak p on falls by e^−FAR within √(p² + 2 FAR) − |p|
    reach = 2 * FAR / ((peak**2 + 2 * FAR).sqrt() + peak.abs())
    a, b = torch.maximum(a, peak - reach), torch.minimum(b, peak + reach)
    half, middle = (b - a) / 2, (a + b) / 2
    nodes, weights = (torch.as_tensor(v).to(mean) for v in (NODES, WEIGHTS))
    offset = half[..., None] * nodes  # from the middle, so that narrow intervals keep their digits
    # log density relative to the peak's: −(t² − p²)/2 with t = middle + offset
    away = (middle - peak)[..., None] + offset
    density = weights * torch.exp(-away * (away / 2 + peak[..., None]))
    total = density.sum(-1)
    shift = (density * offset).sum(-1) / total
    spread = (density * (offset - shift[..., None]) ** 2).sum(-1) / total
    mass = (total * half).log() - peak**2 / 2 - math.log(2 * math.pi) / 2
    return (mean + std * middle) + std * shift, std**2 * spread, mass
