"""Line integrals through a pixel grid as a sparse matrix, and its exact transpose."""

import warnings
from typing import Any

import torch
from torch import Tensor

FEW = 3  # vectors that are multiplied one by one, which is faster than as the columns of a matrix


def joseph(points: Tensor, directions: Tensor, h: int, w: int) -> tuple[Tensor, Tensor, Tensor]:
    """Joseph's interpolation (1982): row, pixel and weight of the nonzero entries, in float64, sorted by row.

    `points` and the unit vectors `directions`, both (rays, 2), are (x, y), with the image in [−½, ½] from left to
    right, square pixels, x to the right and y upwards. A ray is sampled once in each row of pixels, or in each column
    if it is more horizontal than vertical, and interpolates linearly between the two nearest pixels.
    """
    found = []
    for steep in (True, False):
        main, other = (1, 0) if steep else (0, 1)
        rays = ((directions[:, 1].abs() >= directions[:, 0].abs()) == steep).nonzero().flatten()
        n, m = (h, w) if steep else (w, h)
        centres = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) / w
        at = -centres if steep else centres  # rows count downwards
        p, d = points[rays], directions[rays]
        across = p[:, other, None] + (at - p[:, main, None]) * (d[:, other] / d[:, main])[:, None]
        place = (across if steep else -across) * w + (m - 1) / 2
        low = place.floor()
        length = (1 / (w * d[:, main].abs()))[:, None]
        for index, part in ((low, 1 - (place - low)), (low + 1, place - low)):
            inside = (index >= 0) & (index < m) & (part > 0)
            i, k = inside.nonzero(as_tuple=True)
            j = index[i, k].long()
            found.append((rays[i], k * w + j if steep else j * w + k, (part * length)[i, k]))
    row, pixel, weight = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = (row * (h * w) + pixel).argsort()
    return row[order], pixel[order], weight[order]


def sparse(row: Tensor, column: Tensor, weight: Tensor, rows: int, columns: int) -> Tensor:
    """A CSR matrix, (rows, columns), of entries sorted by row: `weight`, `row` and `column` are (entries,)."""
    start = torch.zeros(rows + 1, dtype=torch.long)
    start[1:] = torch.bincount(row, minlength=rows).cumsum(0)
    # Indices of 32 bits: the library converts those of 64 bits in every product, which then takes twice as long.
    index = torch.int32 if len(weight) < 2**31 else torch.int64
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "beta state"; what is used of it is tested here
        return torch.sparse_csr_tensor(start.to(index), column.to(index), weight, (rows, columns))


def transposed(row: Tensor, column: Tensor, weight: Tensor, rows: int, columns: int) -> Tensor:
    """The transpose, (columns, rows), of the matrix that `sparse` makes of these entries, sorted anew."""
    order = column.argsort(stable=True)
    return sparse(column[order], row[order], weight[order], columns, rows)


class Apply(torch.autograd.Function):
    """Sparse products with a derivative, for which Mᵀ is a matrix of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, M: Tensor, Mt: Tensor) -> Tensor:
        """M x for each row of `x` (b, n)."""
        ctx.pair = M, Mt
        if len(x) == 1:
            return torch.mv(M, x.reshape(-1))[None]
        if len(x) <= FEW:
            return torch.stack([torch.mv(M, row) for row in x.contiguous()])
        return (M @ x.T.contiguous()).T.contiguous()

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> tuple[Tensor, None, None]:
        """Mᵀ g for each row of the gradient."""
        M, Mt = ctx.pair
        return apply(g[0], Mt, M), None, None


def apply(x: Tensor, M: Tensor, Mt: Tensor) -> Tensor:
    """M x for each row of `x` (b, n): (b, m). `Mt` is the transpose of `M`, used for derivatives."""
    y: Tensor = Apply.apply(x, M, Mt)  # type: ignore[no-untyped-call]
    return y
