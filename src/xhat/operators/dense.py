"""Any linear map, given as a matrix."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError, ShapeError
from ..files.numbers import array_of
from ..files.room import LARGEST
from ..numerics.build_dtype import built
from ..types import Data, Image
from .base import SpectralOperator


class Dense(SpectralOperator):
    """y = M x for a matrix M, (data, pixels), and images of any shape; data (rows of M,).

    `matrix` is an array or the path of an .npy file. The singular value decomposition is a full one, n × n for n
    pixels, so this is for images of a few thousand pixels at most. Raises ShapeError or DataError if the matrix does
    not fit.
    """

    name: ClassVar[str] = "dense"
    source: ClassVar[str] = "linear algebra"
    tiny: ClassVar[float] = 1e-10  # singular values below this fraction of the largest count as 0

    s: Tensor
    matrix: Tensor
    left: Tensor
    right: Tensor

    def __init__(self, shape: tuple[int, ...], matrix: str | Path | Tensor | np.ndarray) -> None:
        super().__init__(shape)
        M = load(matrix) if isinstance(matrix, str | Path) else torch.as_tensor(matrix)
        n = int(np.prod(shape))
        if M.ndim != 2 or M.shape[1] != n or not len(M):
            raise ShapeError(f"a matrix of shape {tuple(M.shape)} does not act on the {n} numbers of shape {shape}")
        if not torch.isfinite(M).all():
            raise DataError("the matrix holds values that are NaN or infinite")
        left, values, right = torch.linalg.svd(M.double(), full_matrices=True)
        s, k = torch.zeros(1, n, dtype=torch.float64), len(values)
        s[0, :k] = torch.where(values > self.tiny * values[0], values, 0.0)
        for name, buffer in (("s", s), ("matrix", M), ("left", left[:, :k]), ("right", right)):
            self.register_buffer(name, built(buffer).contiguous())

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        raise ShapeError("dense: the data do not tell the shape of the image; give it")

    @property
    def support(self) -> Tensor:
        return (self.matrix != 0).any(1)[None]

    def forward(self, x: Image) -> Data:
        return x.flatten(1) @ self.matrix.T

    def Vt(self, x: Image) -> Tensor:
        return x.flatten(1) @ self.right.T

    def V(self, z: Tensor) -> Image:
        return (z @ self.right).reshape(len(z), *self.shape)

    def Ut(self, y: Data) -> Tensor:
        z = y.new_zeros(len(y), self.s.shape[1])
        k = self.left.shape[1]
        z[:, :k] = (y @ self.left) * (self.s[:, :k] > 0)
        return z

    def U(self, z: Tensor) -> Data:
        k = self.left.shape[1]
        return (z * (self.s > 0))[:, :k] @ self.left.T


def load(path: str | Path) -> Tensor:
    """The array in an .npy file, of any shape. Raises DataError if it cannot be read."""
    return torch.from_numpy(array_of(Path(path), most=LARGEST))
