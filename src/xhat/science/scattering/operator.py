"""The operator of linear inverse scattering."""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ...errors import ShapeError
from ...numerics.build_dtype import built
from ...numerics.linalg import bcast
from ...operators.base import AffineOperator, LinearOperator, SpectralOperator
from ...operators.checks import one_of
from ...ranges import Range
from ...types import Data, Image
from .born import Decomposition, Geometry, Points, decomposition, factors, positions


class Scattering(AffineOperator):
    """Linear inverse scattering, first Born approximation: y[t, r] = d² Σ_p f(p) conj(u_t(p)) G_r(p).

    f = (x + 1)/2 is the permittivity contrast on h × w pixels of side d = `side`/w metres at ((i − ⌊h/2⌋) d, (j −
    ⌊w/2⌋) d), rows along y. u_t(p) = g(|p − s_t|) and G_r(p) = k² g(|p − r_r|) with g(r) = i/4 H₀⁽¹⁾(k r) and k =
    2π/`wavelength`. `transmitters` and `receivers` are either how many there are on the circle of `radius` metres, at
    the angles linspace(0°, 359°), or their positions (n, 2) in metres, x first. Data are (transmitters, receivers, 2),
    real and imaginary part; noise of CN(0, s²) has sigma = s/√2. `solve` = svd decomposes the operator once per
    geometry and keeps the result on disk: this takes minutes, and then every solver has closed forms. cg does without
    it and needs tens of operator calls for each linear system. Raises ShapeError or SpecError for options that are not
    valid.
    """

    source: ClassVar[str] = "InverseBench, arXiv 2503.11043"
    example: ClassVar[tuple[int, ...]] = (1, 8, 16)

    def __init__(
        self,
        shape: tuple[int, ...],
        receivers: Annotated[int, Range(1, 10_000)] | Points = 360,
        transmitters: Annotated[int, Range(1, 10_000)] | Points = 20,
        wavelength: Annotated[float, Range(above=0, most=1e6)] = 0.0084375,
        side: Annotated[float, Range(above=0, most=1e6)] = 0.18,
        radius: Annotated[float, Range(above=0, most=1e6)] = 1.6,
        solve: str = "svd",
    ) -> None:
        super().__init__(shape)
        if len(shape) != 3 or shape[0] != 1:
            raise ShapeError(f"scattering: an image of the contrast has shape (1, height, width), not {tuple(shape)}")
        one_of("solve", solve, ("svd", "cg"))
        stands, hears = positions("transmitters", transmitters, radius), positions("receivers", receivers, radius)
        geometry = Geometry(self.shape[1], self.shape[2], stands, hears, wavelength, side)
        self.linear = (BornSVD if solve == "svd" else Born)(geometry)

    @classmethod
    def image_shape(cls, data_shape: tuple[int, ...], **options: object) -> tuple[int, ...]:
        """The image shape of the benchmark, because the data do not tell it."""
        return (1, 128, 128)

    def intake(self, y: Tensor) -> Data:
        """Complex data, (b, transmitters, receivers), as pairs."""
        return torch.view_as_real(y) if y.is_complex() else y


class Born(LinearOperator):
    """The part of `Scattering` that is linear in x: half of what the contrast x would give.

    Two factors, transmitters × pixels and receivers × pixels, replace the matrix: y = U* diag(x) Gᵀ, where complex
    numbers are two blocks of rows, real above imaginary.
    """

    incident: Tensor  # (2 transmitters, pixels)
    green: Tensor  # (2 receivers, pixels), times d²/2

    def __init__(self, geometry: Geometry) -> None:
        super().__init__((1, geometry.h, geometry.w))
        self.geometry = geometry
        for name, factor in zip(("incident", "green"), factors(geometry), strict=True):
            rows = torch.view_as_real(factor).movedim(-1, 0).flatten(0, 1)
            self.register_buffer(name, built(rows).contiguous())

    def forward(self, x: Image) -> Data:
        t, r = len(self.incident) // 2, len(self.green) // 2
        products = (x.flatten(1)[:, None] * self.incident) @ self.green.T
        m = products.reshape(len(x), 2, t, 2, r)  # u_a G_b with a, b real or imaginary
        return torch.stack([m[:, 0, :, 0] + m[:, 1, :, 1], m[:, 0, :, 1] - m[:, 1, :, 0]], -1)  # conj(u) G

    def adjoint(self, y: Data) -> Image:
        a, b = y.unbind(-1)
        rows = torch.cat([torch.cat([a, b], 2), torch.cat([-b, a], 2)], 1)  # what meets u_a, from what meets G_b
        return ((rows @ self.green) * self.incident).sum(1).reshape(len(y), *self.shape)


class BornSVD(Born, SpectralOperator):
    """`Born` with its singular value decomposition A = U diag(s) Vᵀ, which is made on first use.

    Spectral coordinates are those of the r right singular vectors V₁ above the cutoff, then the n pixels of (I − V₁V₁ᵀ)
    x, where s = 0: V = [V₁, I − V₁V₁ᵀ] has V Vᵀ = I, so that V maps white noise to white noise.
    """

    cutoff: ClassVar[float] = 1e-5  # relative size below which a singular value counts as 0

    @property
    def svd(self) -> Decomposition:
        """The decomposition for the precision and the device of this operator."""
        return decomposition(self.geometry, self.cutoff, self.incident.dtype, self.incident.device)

    @property
    def s(self) -> Tensor:  # type: ignore[override]
        """The singular values, (1, r + n)."""
        return self.svd.s

    def Vt(self, x: Image) -> Tensor:
        flat, V = x.flatten(1), self.svd.V
        seen = flat @ V
        return torch.cat([seen, flat - seen @ V.T], 1)

    def V(self, z: Tensor) -> Image:
        V = self.svd.V
        seen, rest = z[:, : V.shape[1]], z[:, V.shape[1] :]
        x: Tensor = rest + (seen - rest @ V) @ V.T
        return x.reshape(len(z), *self.shape)

    def Ut(self, y: Data) -> Tensor:
        svd = self.svd
        a, b, p, q = *y.unbind(-1), *svd.Q.unbind(-1)
        compressed = torch.stack([a @ p + b @ q, b @ p - a @ q], 1).flatten(1)  # y conj(Q)
        return torch.cat([compressed @ svd.U, y.new_zeros(len(y), svd.V.shape[0])], 1)

    def U(self, z: Tensor) -> Data:
        svd = self.svd
        p, q = svd.Q.unbind(-1)
        m = z[:, : svd.U.shape[1]] @ svd.U.T
        a, b = m.reshape(len(z), 2, -1, p.shape[1]).unbind(1)
        return torch.stack([a @ p.T - b @ q.T, a @ q.T + b @ p.T], -1)

    def pinv(self, y: Data) -> Image:
        return self.seen(self.inverse, y)

    def ridge(self, y: Data, rho: Tensor | float, close: Tensor | float = 0.0) -> Image:
        return self.seen(self.s / (self.s**2 + bcast(rho, y.flatten(1))), y)

    def seen(self, weight: Tensor, y: Data) -> Image:
        """V diag(weight) Uᵀ y, which needs V₁ only; `weight` is (1 or b, r + n)."""
        V = self.svd.V
        return ((weight * self.Ut(y))[:, : V.shape[1]] @ V.T).reshape(len(y), *self.shape)
