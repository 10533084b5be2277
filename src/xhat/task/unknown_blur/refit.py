"""A camera's path, fitted to what the photograph's prior restores through it: a step of expectation and maximisation.

A picture x̂ restored from y holds noise of y. A kernel fitted to both explains that noise, too: it becomes sharper than
it is, the next x̂ smoother, and so on. So y is split into y + n and y − n with fresh noise n as strong as its own: their
noise is independent (data fission: Leiner et al., JASA 2023, arXiv 2112.11079). x̂ is restored from one, and the kernel

    k = argmin ‖k ∗ ∇x̂ − ∇(y − n)‖² + (v / e²) ‖k − k₀‖²

is fitted to the other where all of its pixels are seen, v being the misfit of the kernel k₀ before. The prior of paths
removes the error e of its entries.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ...numerics.linalg import cg
from ...rng import Rng
from .shake import centred, like_a_path

SPLIT = 2**0.5  # times the noise of y: what its two parts have
CG_STEPS = 25


def refitted(
    y: Tensor, k: Tensor, sigma: float, restored: Callable[[Tensor], Tensor], error: float, draw: int
) -> Tensor:
    """The kernel `k`, `fitted` to one half of the picture `y` (c, h, w) and to what is `restored` from the other.

    `sigma` is the noise of y, and SPLIT `sigma` that of a half. `draw` is the seed of the split.
    """
    noise = sigma * Rng([draw]).randn_like(y[None])[0]
    return fitted(restored(y + noise).mean(0), (y - noise).mean(0), k, error)


def fitted(x: Tensor, y: Tensor, k: Tensor, error: float) -> Tensor:
    """A kernel near `k`, (side, side), through which the image `x` explains its measurement `y` better.

    Both pictures are grey, (h, w), in [−1, 1]; k is for correlation, has sum 1, its entries are known up to `error`.
    """
    k, n = k.float(), len(k)
    rim = n // 2
    pairs = [
        (dx, dy[rim : len(dy) - rim, rim : dy.shape[1] - rim]) for dx, dy in zip(_slopes(x), _slopes(y), strict=True)
    ]
    spectra = [(torch.fft.rfft2(dx), dx.shape, dy.shape) for dx, dy in pairs]

    def through(k: Tensor) -> list[Tensor]:
        return [
            torch.fft.irfft2(X * torch.fft.rfft2(k, s=full).conj(), s=full)[: seen[0], : seen[1]]
            for X, full, seen in spectra
        ]

    def back(parts: list[Tensor]) -> Tensor:
        adjoint = (
            torch.fft.irfft2(X * torch.fft.rfft2(r, s=full).conj(), s=full)[:n, :n]
            for r, (X, full, _) in zip(parts, spectra, strict=True)
        )
        return torch.stack(list(adjoint)).sum(0)

    left = [dy - seen for seen, (_, dy) in zip(through(k), pairs, strict=True)]
    near = float(torch.cat([r.flatten() for r in left]).square().mean()) / error**2
    step = cg(lambda d: back(through(d[0]))[None] + near * d, back(left)[None], CG_STEPS)[0]
    return centred(like_a_path(k + step, error)).double()


def _slopes(x: Tensor) -> tuple[Tensor, Tensor]:
    """The differences to the next column and the next row, without the last of each."""
    return x.diff(dim=1)[:-1], x.diff(dim=0)[:, :-1]
