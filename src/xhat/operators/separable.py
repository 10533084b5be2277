"""Linear maps that act along rows and columns one after the other."""

from typing import ClassVar

import torch
from torch import Tensor

from ..numerics.build_dtype import built
from ..types import Data, Image
from .base import SpectralOperator
from .checks import planes


class Separable(SpectralOperator):
    """y = R_h x R_wᵀ, the same along the rows and columns of every channel.

    With R = U S Vᵀ along either axis, A = (U_h ⊗ U_w)(S_h ⊗ S_w)(V_h ⊗ V_w)ᵀ: two small dense decompositions, made once
    in float64, solve every linear problem with A exactly.
    """

    cutoff: ClassVar[float] = 1e-6  # relative size below which a singular value is rounding error and counts as 0

    R_h: Tensor
    R_w: Tensor
    U_h: Tensor
    U_w: Tensor
    V_h: Tensor
    V_w: Tensor

    def __init__(self, shape: tuple[int, ...], R_h: Tensor, R_w: Tensor) -> None:
        """`R_h` is (height out, height in) and `R_w` (width out, width in), in float64."""
        super().__init__(shape)
        planes(shape)
        sides = {}
        for axis, R in (("h", R_h), ("w", R_w)):
            U, s, Vt = torch.linalg.svd(R.double())
            sides[axis] = torch.cat([s, s.new_zeros(len(Vt) - len(s))])
            for name, buffer in (("R", R), ("U", U), ("V", Vt.mT)):
                self.register_buffer(f"{name}_{axis}", built(buffer).contiguous())
        s = sides["h"][:, None] * sides["w"]
        s = torch.where(s > self.cutoff * s.max(), s, 0.0)
        self.register_buffer("s", built(s[None, None]))

    def forward(self, x: Image) -> Data:
        return self.R_h @ x @ self.R_w.mT

    def adjoint(self, y: Data) -> Image:
        return self.R_h.mT @ y @ self.R_w

    def Vt(self, x: Image) -> Tensor:
        return self.V_h.mT @ x @ self.V_w

    def V(self, z: Tensor) -> Image:
        return self.V_h @ z @ self.V_w.mT

    def Ut(self, y: Data) -> Tensor:
        z = self.U_h.mT @ y @ self.U_w
        h, w = self.s.shape[-2:]
        return torch.nn.functional.pad(z, [0, w - z.shape[-1], 0, h - z.shape[-2]]) * (self.s > 0)

    def U(self, z: Tensor) -> Data:
        h, w = len(self.U_h), len(self.U_w)
        return self.U_h @ (z * (self.s > 0))[..., :h, :w] @ self.U_w.mT
