"""How good posterior samples are as samples, judged by the one true image. In units of images in [−1, 1]."""

import torch
from torch import Tensor


def spread(x: Tensor, truth: Tensor) -> dict[str, float]:
    """CRPS, coverage of the central 50 and 90 % intervals, and diversity of samples `x` (n, *image), n > 1.

    `truth` is (*image).
    """
    return {
        "crps": float(crps(x, truth)),
        "cover50": float(coverage(x, truth, 0.5)),
        "cover90": float(coverage(x, truth, 0.9)),
        "diversity": float(x.var(0).mean().sqrt()),
    }


def crps(x: Tensor, truth: Tensor) -> Tensor:
    """Continuous ranked probability score E|X − x₀| − ½ E|X − X′|, mean over pixels; smaller is better.

    `x` is (n, *image), `truth` (*image). This is the fair form, over pairs of different samples: its mean does not
    depend on their number (Ferro, 2014, Q. J. R. Meteorol. Soc. 140, 1917).
    """
    n = len(x)
    ordered = x.sort(0).values
    weight = torch.arange(1 - n, n, 2, dtype=x.dtype).reshape(-1, *[1] * truth.ndim)  # Σ_{i<j} (x_j − x_i)
    return (x - truth).abs().mean() - (weight * ordered).sum(0).mean() / (n * (n - 1))


def coverage(x: Tensor, truth: Tensor, level: float) -> Tensor:
    """The fraction of pixels whose truth lies in the samples' central interval of probability `level`.

    `x` is (n, *image), `truth` (*image). The rank of the truth among n exact samples is uniform on 0 … n. Each rank
    stands for 1/(n + 1) of the unit interval and counts with the fraction of it that lies in the central `level`, so
    that exact samples score `level` for every n > 1.
    """
    n = len(x)
    rank = (x < truth).sum(0) + (x == truth).sum(0) / 2
    low, high = rank / (n + 1), (rank + 1) / (n + 1)
    a, b = (1 - level) / 2, (1 + level) / 2
    part = (high.clamp(a, b) - low.clamp(a, b)) * (n + 1)
    return part.mean()
