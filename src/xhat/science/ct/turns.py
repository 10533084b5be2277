"""A Aᵀ of parallel views, averaged over turns of the image: what preconditions solves with few views."""

import math

import torch
from torch import Tensor
from torch.fft import rfft

from ...numerics.linalg import bcast
from ...types import Data
from .geometry import Geometry

MOST = 0.35  # of the pixels across, how many views are few: from 45 of 128 on the average saves less than it costs
WORK = 1e9  # products of two entries that the average may take


def turnable(g: Geometry, h: int, w: int, entries: int) -> bool:
    """Whether a turn from each view to the next maps the rays of `g` on each other, and is worth averaging over.

    These are parallel views, equally far apart over 180 degrees, of a detector that is centred on the axis, in the
    middle of the image. With many views, or a matrix of many `entries`, there is little to gain for the work.
    """
    count = len(g.angles)
    steps = torch.tensor(g.angles, dtype=torch.float64).diff() - 180 / count
    return (
        not g.diverges
        and not g.offset
        and not g.shift
        and not any(g.axis)
        and 2 < count <= MOST * max(h, w)
        and entries**2 / (h * w) < WORK
        and float(steps.abs().max()) < 1e-6
    )


class Turns:
    """(K + ρ I)⁻¹ with K the mean of A Aᵀ over the turns that map the views on each other, exact for an image that is a
    disc.

    A view and its opposite, θ + 180°, are one view read from both ends, so that 2 V views make a full turn. K is a
    convolution over them: diagonal in their harmonics m, and for each m a matrix of detector cells, of which only
    vectors of one parity count, y_m(−s) = (−1)^m y_m(s). Its eigenvectors are found once.
    """

    def __init__(self, M: Tensor, Mt: Tensor, views: int, detectors: int, square: bool, mirrored: bool) -> None:
        """`M` and its transpose are sparse, ((views · detectors), pixels). If the image is `square`, a quarter of a
        turn maps it on itself, and if the views are `mirrored`, so that θ and −θ are both among them, the other half of
        the views says the same; both save work.
        """
        self.views, self.detectors, self.half = views, detectors, (detectors + 1) // 2
        period = views // 2 if square and views % 2 == 0 else views
        chosen = range(period // 2 + 1) if mirrored else range(period)
        kernel = torch.zeros(self.half, 2 * views, detectors, dtype=torch.float64)
        for v in chosen:
            once = not mirrored or v == 0 or 2 * v == period
            kernel += (1 if once else 2) / period * self.seen_from(M, Mt, v)
        # The real part is the mean with the mirror image.
        blocks = rfft(kernel, dim=1).real[..., : self.half].transpose(0, 1)
        # In the basis (δ_s ± δ_−s)/√2; the cell in the middle is its own opposite.
        both, middle = torch.full((self.half,), 0.5**0.5, dtype=torch.float64), bool(detectors % 2)
        size = torch.ones_like(both)
        if middle:
            size[-1] = 0.5**0.5
        blocks = blocks * size * size[:, None]
        values, vectors = torch.linalg.eigh((blocks + blocks.mT) / 2)
        into, back = vectors * (both * size)[:, None], vectors.mT * (both / size)
        self.device = M.device
        # Never negative but for rounding. Both orders are kept: products with either are fast by rows only.
        self.values, self.into, self.back, self.waves = (
            part.contiguous().to(M) for part in (values.clamp_min(0), into, back, waves(views))
        )

    def seen_from(self, M: Tensor, Mt: Tensor, v: int) -> Tensor:
        """A Aᵀ from the cells of view `v` up to the middle to all cells of the 2 V views from there on."""
        start, column, value = (part.cpu() for part in (M.crow_indices(), M.col_indices(), M.values()))
        first, last = (int(start[v * self.detectors + i]) for i in (0, self.half))
        own = start[v * self.detectors : v * self.detectors + self.half + 1] - first
        size = (self.half, M.shape[1])
        rows = torch.sparse_csr_tensor(own, column[first:last], value[first:last].double(), size)
        found = (rows @ Mt.cpu().double()).to_dense().reshape(self.half, self.views, self.detectors)
        return torch.cat([found, found.flip(2)], 1).roll(-v, 1)

    def __call__(self, r: Data, rho: Tensor | float) -> Data:
        """(K + ρ I)⁻¹ r for `r` (b, c, views, detectors)."""
        b, c, V, n = *r.shape[:2], self.views, self.half
        other = r.flip(3)
        y = torch.cat([r + other, r - other], 2)[..., :n].permute(2, 0, 1, 3).reshape(2 * V, -1)
        z = ((self.waves @ y).reshape(V + 1, -1, n) @ self.into).reshape(V + 1, 2, b, c, n)
        z = z / (self.values[:, None, None, None] + bcast(rho, z[0, 0]))
        y = self.waves.mT @ (z.reshape(V + 1, -1, n) @ self.back).reshape(2 * V + 2, -1)
        plus, minus = y.reshape(2, V, b, c, n).permute(0, 2, 3, 1, 4)
        return torch.cat([plus + minus, (plus - minus)[..., : self.detectors // 2].flip(3)], 3)


def waves(views: int) -> Tensor:
    """The waves of the harmonics m = 0 … V of 2 V views, orthonormal or 0: (cosine and sine of each, 2 V).

    The first V columns are for sums of opposite cells, which have even harmonics only, the others for differences.
    """
    m = torch.arange(views + 1, dtype=torch.float64)[:, None]
    angle = math.pi / views * m * torch.arange(views)
    alone = ((m == 0) | (m == views)).double()  # no sine belongs to them
    size = ((2 - alone) / views).sqrt()
    both = torch.stack([size * angle.cos(), (1 - alone) * size * angle.sin()], 1)
    even = (m % 2 == 0)[:, None]
    return torch.cat([torch.where(even, both, 0.0), torch.where(even, 0.0, both)], 2).reshape(-1, 2 * views)
